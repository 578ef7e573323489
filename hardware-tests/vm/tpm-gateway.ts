import { setTimeout as sleep } from "node:timers/promises";
import { startCloud, type Cloud } from "../../test/cloud/cloud.ts";
import { openCloudPorts, type CloudPorts } from "./cloud-ports.ts";
import { machineImage } from "./machine-image.ts";
import { Machine } from "./machine.ts";
import { packPayload, type Payload } from "./payload.ts";

type Hub = "test" | "production";

/** Everything is emulated, and Node alone takes seconds to start. */
const arrivalMs = 240_000;

/** Shell that writes a file. */
function write(file: string, lines: readonly string[]): string {
  return `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(" ")} > ${file}`;
}

/** A virtual gateway with a TPM and the Debian packages on it, and a cloud outside that it can reach. */
export class TpmGateway implements AsyncDisposable {
  readonly machine: Machine;
  readonly cloud: Cloud;
  readonly #payload: Payload;
  readonly #ports: CloudPorts;
  #registrationId = "";

  private constructor(machine: Machine, cloud: Cloud, payload: Payload, ports: CloudPorts) {
    this.machine = machine;
    this.cloud = cloud;
    this.#payload = payload;
    this.#ports = ports;
  }

  /** Starts machine and cloud, and installs the packages; nothing is configured yet. */
  static async install(): Promise<TpmGateway> {
    const image = await machineImage(console.log);
    const cloud = await startCloud({ pollAfterSeconds: 1 });
    const ports = await openCloudPorts(cloud, ["test", "production"]);
    const payload = await packPayload({ packages: true, sources: true, files: { "ca.pem": cloud.caPem } });
    const gateway = new TpmGateway(await Machine.create(image, payload.path), cloud, payload, ports);
    await gateway.machine.start();
    await gateway.machine.sh(ports.setUp);
    await gateway.machine.sh("dpkg -i /payload/deb/*.deb 2>&1");
    return gateway;
  }

  /** Who the machine says it is: what an operator copies into the enrollment. */
  async identity(): Promise<{ readonly registrationId: string; readonly endorsementKey: string }> {
    const facts: unknown = JSON.parse(await this.machine.sh("latebind identity --json"));
    if (typeof facts !== "object" || facts === null) throw new Error("no identity");
    const { registrationId, endorsementKey } = { registrationId: "", endorsementKey: "", ...facts };
    return { registrationId, endorsementKey };
  }

  async enroll(): Promise<string> {
    const { registrationId, endorsementKey } = await this.identity();
    this.#registrationId = registrationId;
    const initialTwin = { desired: { site: { name: "Hall 7" } } };
    const attestation = { type: "tpm", endorsementKey } as const;
    this.cloud.levers.enrollments.put({ registrationId, attestation, hub: "test", initialTwin });
    return registrationId;
  }

  async configure(): Promise<void> {
    const { dps, idScope } = this.cloud;
    const config = [
      `id_scope = "${idScope}"`,
      'key = "tpm2:"',
      "[provisioning]",
      `endpoint = "${dps.host}"`,
      `port = ${dps.httpsPort}`,
      "[hub]",
      'refusal_retry = "1s"',
      "[tls]",
      'trust_bundle = "/etc/latebind/ca.pem"',
      "[[apply]]",
      'property = "site"',
      'file = "/srv/site/site.json"',
    ];
    const dropIn = ["[Service]", "ReadWritePaths=/srv/site", "TimeoutStartSec=10min", "WatchdogSec=30min"];
    await this.machine.sh("install -m 0644 /payload/ca.pem /etc/latebind/ca.pem");
    await this.machine.sh("install -d -o latebind -g latebind /srv/site");
    await this.machine.sh("mkdir -p /etc/systemd/system/latebind.service.d /etc/latebind/config.d");
    await this.machine.sh(write("/etc/systemd/system/latebind.service.d/site.conf", dropIn));
    await this.machine.sh(write("/etc/latebind/config.d/site.toml", config));
    await this.machine.sh(
      "systemctl daemon-reload && systemctl enable -q latebind && systemctl restart --no-block latebind",
    );
  }

  /** Waits until the device serves at this hub and has put in force what it wants. */
  async arrivesAt(hub: Hub, afterSeq = 0): Promise<void> {
    const { host } = this.cloud.hub(hub);
    const isAccepted = await this.cloud
      .waitFor(({ kind, endpoint }) => kind === "twin-patch" && endpoint === hub, arrivalMs, afterSeq)
      .catch(async (error: unknown) => {
        const log = await this.machine.attempt(
          "journalctl -u latebind --no-pager -n 30 -o cat; systemctl status --no-pager latebind",
        );
        throw new Error(`the device does not arrive at ${host}:\n${log.output}`, { cause: error });
      });
    const until = performance.now() + arrivalMs;
    while (this.site(hub) !== 200) {
      if (performance.now() > until)
        throw new Error(`the device is at ${host} since ${isAccepted.seq} without its site`);
      await sleep(200);
    }
  }

  /** Lets the enrollment point to another hub, and the present one forget the device. */
  move(from: Hub, to: Hub): void {
    this.cloud.levers.moveEnrollment(this.#registrationId, to);
    this.cloud.levers.deleteDevice(from, this.#registrationId);
  }

  /** How the device acknowledged its site at this hub; undefined where the hub does not know it, or knows nothing of a site. */
  site(hub: Hub): number | undefined {
    if (!this.cloud.levers.devices(hub).some(({ deviceId }) => deviceId === this.#registrationId))
      return undefined;
    const site: unknown = this.cloud.levers.twin(hub, this.#registrationId).reported.properties["site"];
    return typeof site === "object" && site !== null && "ac" in site ? Number(site.ac) : undefined;
  }

  registrations(): number {
    return this.cloud.journal
      .events()
      .filter((event) => event.kind === "register" && event.registrationStatus !== undefined).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
    await this.#ports[Symbol.asyncDispose]();
    await this.cloud[Symbol.asyncDispose]();
    await this.#payload[Symbol.asyncDispose]();
  }
}
