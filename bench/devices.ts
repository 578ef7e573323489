import { createHmac } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, watch, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleFile } from "../packaging/bundle-file.ts";
import type { BenchCloud } from "./cloud.ts";
import { Contestant } from "./contestant.ts";
import { installation } from "./installation.ts";
import type { ControlName } from "./table.ts";

export type Player = ControlName | "agent";

/** A device in the hub that any of the players can play. */
export interface BenchDevice {
  readonly deviceId: string;
  /** Where the agent keeps its state. */
  readonly stateDirectory: string;
  /** The agent logs as by default, or more (`info`), so that it can be seen to be acknowledged. */
  play(player: Player, level?: "notice" | "info"): Contestant;
  /** The agent's link on its own, publishing payloads of many lengths; the control without what the agent does about them. */
  publishLengths(player: "control" | "agent"): Contestant;
}

/** The lines in which they say that they have the twin (the agent: that the device is what the twin says). */
export const twinReached: Readonly<Record<Player, string>> = {
  bare: "twin received",
  control: "twin received",
  agent: '"twin.applied"',
};

/** The lines in which they say that the hub has taken their reported properties. */
export const acknowledged: Readonly<Record<Player, string>> = {
  bare: "acknowledged",
  control: "acknowledged",
  agent: '"report.accepted"',
};

/** Bundles the programs, and makes devices with an enrollment, a configuration and folders of their own. */
export class Workshop implements AsyncDisposable {
  readonly #cloud: BenchCloud;
  readonly #folder: string;
  readonly #onDisk: string[] = [];

  private constructor(cloud: BenchCloud, folder: string) {
    this.#cloud = cloud;
    this.#folder = folder;
  }

  static async open(cloud: BenchCloud): Promise<Workshop> {
    // In memory: how long a disk takes to make a file durable, and who else is writing to it, is not what is measured.
    const folder = await mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "latebind-bench-"));
    const bundle = async (name: string, outfile: string, isTrimmed: boolean) =>
      bundleFile(join(import.meta.dirname, `${name}.ts`), join(folder, outfile), { isTrimmed });
    await bundle("bare", "bare.cjs", true);
    await bundle("control", "control.cjs", false);
    await bundle("publish-lengths", "lengths-agent.cjs", true);
    await bundle("publish-lengths", "lengths-control.cjs", false);
    await writeFile(join(folder, "ca.pem"), cloud.caPem);
    await mkdir(join(folder, "sites"));
    await mkdir(join(folder, "cache"));
    return new Workshop(cloud, folder);
  }

  /** Where the agent keeps compiled code from start to start, as systemd's CacheDirectory. */
  get cacheDirectory(): string {
    return join(this.#folder, "cache");
  }

  /** Lets the agent live until it has kept its code, as it does once after each update. */
  async keepCode(device: BenchDevice): Promise<void> {
    await using agent = device.play("agent");
    await Promise.race([appearsIn(this.cacheDirectory, "code-"), agent.said("never said")]);
  }

  /** A device whose files are in memory. */
  async make(deviceId: string): Promise<BenchDevice> {
    return this.#makeIn(this.#folder, deviceId);
  }

  /** One whose files are where programs have theirs. */
  async makeOnDisk(deviceId: string): Promise<BenchDevice> {
    const folder = await mkdtemp(join(tmpdir(), "latebind-bench-"));
    this.#onDisk.push(folder);
    await mkdir(join(folder, "sites"));
    return this.#makeIn(folder, deviceId);
  }

  async #makeIn(place: string, deviceId: string): Promise<BenchDevice> {
    const key = await this.#cloud.enroll(deviceId);
    const folder = join(place, deviceId);
    const stateDirectory = join(folder, "state");
    const runtimeDirectory = join(folder, "run");
    await mkdir(stateDirectory, { recursive: true });
    await mkdir(runtimeDirectory);
    await writeFile(join(folder, "device.key"), key, { mode: 0o600 });
    for (const level of ["notice", "info"]) {
      await writeFile(join(folder, `${level}.toml`), this.#configuration(place, deviceId, level));
    }
    const { agent } = installation;
    const environment = this.#environment(deviceId, key);
    return {
      deviceId,
      stateDirectory,
      play: (player, level = "notice") =>
        player === "agent"
          ? new Contestant([agent, "run", "--config", join(folder, `${level}.toml`)], {
              STATE_DIRECTORY: stateDirectory,
              RUNTIME_DIRECTORY: runtimeDirectory,
              CACHE_DIRECTORY: this.cacheDirectory,
            })
          : new Contestant([join(this.#folder, `${player}.cjs`)], environment),
      publishLengths: (player) =>
        new Contestant(["--expose-gc", join(this.#folder, `lengths-${player}.cjs`), player], environment),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const folder of [this.#folder, ...this.#onDisk]) await rm(folder, { recursive: true });
  }

  #configuration(place: string, deviceId: string, level: string): string {
    return `id_scope = "${this.#cloud.idScope}"
registration_id = "${deviceId}"
[provisioning]
endpoint = "${this.#cloud.dpsHost}"
[tls]
trust_bundle = "${join(this.#folder, "ca.pem")}"
[log]
level = "${level}"
[[apply]]
property = "site"
file = "${join(place, "sites", `${deviceId}.json`)}"
format = "json"
`;
  }

  #environment(deviceId: string, key: string): Readonly<Record<string, string>> {
    const { hubHost } = this.#cloud;
    return {
      MQTT_HOST: hubHost,
      MQTT_CA: join(this.#folder, "ca.pem"),
      MQTT_DEVICE: deviceId,
      MQTT_USERNAME: `${hubHost}/${deviceId}/?api-version=2021-04-12`,
      MQTT_PASSWORD: token(`${hubHost}/devices/${deviceId}`, key),
    };
  }
}

/** Resolves when a file of this kind is whole: it is renamed into place. */
async function appearsIn(folder: string, start: string): Promise<void> {
  for await (const { filename } of watch(folder))
    if (filename?.includes("-node") === true && filename.startsWith(start)) return;
}

function token(resource: string, key: string): string {
  const sr = encodeURIComponent(resource);
  const se = Math.floor(Date.now() / 1000) + 3600;
  const sig = createHmac("sha256", Buffer.from(key, "base64")).update(`${sr}\n${se}`).digest("base64");
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${se}`;
}
