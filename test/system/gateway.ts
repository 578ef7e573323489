import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import type { CloudEvent } from "../cloud/journal.ts";
import { Machine } from "./machine.ts";
import type { Packages } from "./packages.ts";
import type { Release } from "./system-root.ts";

/** What an operator writes in place of the README's. */
const idScope = "0ne00XXXXXX";
/** Of the README, for a gateway with its key in a file. */
const firstSteps = /^(echo 'id_scope|install |latebind config check|systemctl start)/;
const registrationId = "gw-0042";

/** A machine with its cloud at the other end of the cable: what latebind runs on, before it is installed. */
export class Gateway implements AsyncDisposable {
  readonly machine: Machine;
  readonly cloud: Cloud;
  /** The device key, base64. */
  readonly key: string;

  private constructor(machine: Machine, cloud: Cloud, key: string) {
    this.machine = machine;
    this.cloud = cloud;
    this.key = key;
  }

  static async boot(release: Release): Promise<Gateway> {
    const machine = await Machine.boot(release);
    return Gateway.on(machine);
  }

  /** Lays a cloud at the other end of a machine's cable. */
  static async on(machine: Machine): Promise<Gateway> {
    try {
      const cloud = await startCloud({ network: machine.network, idScope, pollAfterSeconds: 1 });
      const gateway = new Gateway(machine, cloud, randomBytes(32).toString("base64"));
      cloud.levers.enrollments.put({
        registrationId,
        primaryKey: gateway.key,
        initialTwin: { desired: { site: { name: "plant 7" } } },
      });
      return gateway;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where the local cloud is, in place of Azure; everything else comes from the README. */
  async pointAtCloud(): Promise<void> {
    await this.machine.write(
      "/etc/latebind/config.d/local-cloud.toml",
      [
        `[provisioning]`,
        `endpoint = "${this.cloud.dps.host}"`,
        `[tls]`,
        `trust_bundle = "/usr/local/share/ca-certificates/local-cloud.crt"`,
        ``,
      ].join("\n"),
    );
    await this.machine.write("/usr/local/share/ca-certificates/local-cloud.crt", this.cloud.caPem);
    await this.machine.write("/root/device.key", `${this.key}\n`, 0o600);
  }

  /** Commands of the README's part about gateways, in order; the packages and the key lie in /root. */
  async followReadme(line: RegExp): Promise<string> {
    const readme = await readFile(join(import.meta.dirname, "../../README.md"), "utf8");
    const [, part = ""] = /^## On a gateway$([\s\S]*?)^## /m.exec(readme) ?? [];
    const blocks = [...part.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = ""]) => block.split("\n"));
    const commands = blocks.filter((command) => line.test(command));
    if (commands.length === 0) throw new Error(`the README has no command like ${String(line)}`);
    return this.machine.run(`cd /root; set -e\n${commands.join("\n")}`);
  }

  async install({ runtime, agent }: Packages): Promise<void> {
    await this.machine.bring(runtime, agent);
    await this.followReadme(/^apt-get /);
  }

  /** Installed, configured with a key in a file, and connected. */
  async commission(packages: Packages): Promise<void> {
    await this.install(packages);
    await this.pointAtCloud();
    await this.connected(async () => this.followReadme(firstSteps));
  }

  /** Waits for the next time that a hub accepts the device. @param cause runs first. @returns what the cloud saw. */
  async connected(cause: () => Promise<unknown>, withinMs = 20_000): Promise<CloudEvent> {
    const { lastSeq } = this.cloud.journal;
    const seen = this.cloud.waitFor(
      (event) => event.kind === "connect" && event.endpoint !== "dps" && event.returnCode === 0,
      withinMs,
      lastSeq,
    );
    await Promise.all([cause(), seen]);
    return seen;
  }

  /** One property of latebind.service. */
  async property(name: string, unit = "latebind.service"): Promise<string> {
    return this.machine.run(`systemctl show ${unit} --property ${name} --value`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cloud[Symbol.asyncDispose]();
    await this.machine[Symbol.asyncDispose]();
  }
}
