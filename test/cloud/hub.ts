import { randomBytes, type X509Certificate } from "node:crypto";
import { CaCertificates, parseCertificate } from "./ca-certificates.ts";
import { CloudError } from "./cloud-error.ts";
import type { CredentialPolicies } from "./credential-policies.ts";
import { CertificateIssuance } from "./hub-issuance.ts";
import { CloudMessages } from "./hub-messages.ts";
import { DirectMethods } from "./hub-methods.ts";
import { HubThrottle } from "./hub-throttle.ts";
import type { JsonObject } from "./json.ts";
import type { ServerClock } from "./server-clock.ts";
import { createTwin, patchSection, patchTags, type Twin, type TwinPatchResult } from "./twin.ts";

export interface DeviceKeys {
  readonly primaryKey: string;
  readonly secondaryKey: string;
}

/**
 * What a device must show to connect: a token made with one of its keys, one of two certificates known by their
 * thumbprint (SHA-256, upper-case hexadecimal without colons), or any certificate with its device ID as CN that was
 * issued under a CA this hub trusts.
 */
export type DeviceAuth =
  | ({ readonly type: "sas" } & DeviceKeys)
  | {
      readonly type: "selfSigned";
      readonly primaryThumbprint?: string;
      readonly secondaryThumbprint?: string;
    }
  | { readonly type: "ca" };

export interface Telemetry {
  readonly atMs: number;
  readonly properties: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Device {
  readonly deviceId: string;
  readonly auth: DeviceAuth;
  readonly isEnabled: boolean;
  readonly twin: Twin;
  readonly telemetry: readonly Telemetry[];
  /** Changes with the identity: credential and whether it is enabled. */
  readonly etag: string;
  /** Changes with the twin, whoever changes it. */
  readonly twinEtag: string;
}

interface HubOptions {
  readonly name: string;
  /** Address first, then names: all of them are this hub in user names and tokens. */
  readonly hostNames: readonly string[];
  readonly clock: ServerClock;
  /** The issuing CAs of the cloud, which every hub trusts. */
  readonly credentialPolicies: CredentialPolicies;
}

/** What a transport does when the registry changes under a connected device. */
export interface HubListener {
  revoked(deviceId: string, because: string): void;
  desiredChanged(deviceId: string, patch: JsonObject, version: number): void;
}

/** One IoT Hub: its device registry, twins and what passes through it, whatever the transport. Device IDs are case-sensitive. */
export class Hub {
  readonly name: string;
  readonly hostNames: readonly string[];
  readonly methods: DirectMethods;
  readonly messages: CloudMessages;
  readonly issuance: CertificateIssuance;
  readonly throttle: HubThrottle;
  /** For devices whose credential is a CA. */
  readonly caCertificates: CaCertificates = new CaCertificates();
  readonly #credentialPolicies: CredentialPolicies;
  readonly #devices = new Map<string, Device & { readonly telemetry: Telemetry[] }>();
  readonly #listeners = new Set<HubListener>();
  #lastEtag = 0;

  constructor({ name, hostNames, clock, credentialPolicies }: HubOptions) {
    this.name = name;
    this.hostNames = hostNames;
    this.methods = new DirectMethods(clock);
    this.messages = new CloudMessages(clock);
    this.issuance = new CertificateIssuance(clock, credentialPolicies);
    this.throttle = new HubThrottle(clock);
    this.#credentialPolicies = credentialPolicies;
  }

  listen(listener: HubListener): void {
    this.#listeners.add(listener);
  }

  has(deviceId: string): boolean {
    return this.#devices.has(deviceId);
  }

  devices(): readonly Device[] {
    return [...this.#devices.values()];
  }

  find(deviceId: string): Device | undefined {
    return this.#devices.get(deviceId);
  }

  /** @throws CloudError 404 */
  device(deviceId: string): Device {
    const device = this.#devices.get(deviceId);
    if (device === undefined)
      throw new CloudError(404, `hub ${this.name} has no device ${deviceId}`, 404_001);
    return device;
  }

  create(deviceId: string, auth: DeviceAuth, twin: Twin = createTwin({})): void {
    const etags = { etag: this.#nextEtag(), twinEtag: this.#nextEtag() };
    this.#devices.set(deviceId, { deviceId, auth, isEnabled: true, twin, telemetry: [], ...etags });
  }

  remove(deviceId: string, because = "device deleted"): void {
    this.device(deviceId);
    this.#devices.delete(deviceId);
    this.messages.purge(deviceId);
    this.issuance.forget(deviceId);
    this.#revoke(deviceId, because);
  }

  setEnabled(deviceId: string, isEnabled: boolean): void {
    this.device(deviceId);
    this.#changeIdentity(deviceId, { isEnabled });
    if (!isEnabled) this.#revoke(deviceId, "device disabled");
  }

  /** Open connections stay, as at the service: a credential is looked at when a device connects. */
  setAuth(deviceId: string, auth: DeviceAuth): void {
    this.device(deviceId);
    this.#changeIdentity(deviceId, { auth });
  }

  rotateKey(deviceId: string, which: "primary" | "secondary", key = createKey()): DeviceKeys {
    const { auth } = this.device(deviceId);
    if (auth.type !== "sas") throw new CloudError(400, `device ${deviceId} has no symmetric keys`);
    const rotated = { ...auth, [which === "primary" ? "primaryKey" : "secondaryKey"]: key };
    this.setAuth(deviceId, rotated);
    return rotated;
  }

  dropConnection(deviceId: string): void {
    this.device(deviceId);
    this.#revoke(deviceId, "dropped by the operator");
  }

  /** CAs under which a device's certificate may be issued: verified ones, and those of the credential policies. */
  trustedAuthorities(): readonly X509Certificate[] {
    const verified = this.caCertificates
      .list()
      .flatMap(({ name }) => this.caCertificates.verified(name) ?? []);
    const issuing = this.#credentialPolicies.list().map(({ rootPem }) => parseCertificate(rootPem));
    return [...verified, ...issuing];
  }

  patchReported(deviceId: string, body: Parameters<typeof patchSection>[1]): TwinPatchResult {
    const { twin } = this.device(deviceId);
    const result = patchSection(twin.reported, body);
    if (result.status === "merged") this.#changeTwin(deviceId, { ...twin, reported: result.section });
    return result;
  }

  /**
   * The operator's change. The patch goes to the device if it is connected and listens; it is never queued.
   * @throws CloudError 400 when the twin cannot hold it; then nothing has changed.
   */
  patchTwin(deviceId: string, change: { readonly desired?: JsonObject; readonly tags?: JsonObject }): Twin {
    const { twin } = this.device(deviceId);
    const tags = change.tags === undefined ? undefined : patchTags(twin.tags, change.tags);
    if (tags?.status === "rejected") throw new CloudError(400, `tags: ${tags.because}`, 400_004);
    const desired = change.desired === undefined ? undefined : patchSection(twin.desired, change.desired);
    if (desired?.status === "rejected") throw new CloudError(400, `desired: ${desired.because}`, 400_004);
    this.#changeTwin(deviceId, {
      ...twin,
      ...(desired === undefined ? {} : { desired: desired.section }),
      ...(tags === undefined ? {} : { tags: tags.tags }),
    });
    if (desired !== undefined) {
      for (const listener of this.#listeners) {
        listener.desiredChanged(deviceId, desired.patch, desired.section.version);
      }
    }
    return this.device(deviceId).twin;
  }

  keepTelemetry(deviceId: string, telemetry: Telemetry): void {
    const kept = this.#devices.get(deviceId)?.telemetry ?? [];
    kept.push(telemetry);
    if (kept.length > 10_000) kept.splice(0, 5_000);
  }

  #changeIdentity(deviceId: string, change: Partial<Pick<Device, "auth" | "isEnabled">>): void {
    this.#replace(deviceId, { ...change, etag: this.#nextEtag() });
  }

  #changeTwin(deviceId: string, twin: Twin): void {
    this.#replace(deviceId, { twin, twinEtag: this.#nextEtag() });
  }

  #replace(deviceId: string, change: Partial<Omit<Device, "telemetry">>): void {
    const device = this.#devices.get(deviceId);
    if (device !== undefined) this.#devices.set(deviceId, { ...device, ...change });
  }

  /** As the service writes them: eight bytes in base64. */
  #nextEtag(): string {
    this.#lastEtag += 1;
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(this.#lastEtag, 4);
    return bytes.toString("base64");
  }

  #revoke(deviceId: string, because: string): void {
    for (const listener of this.#listeners) listener.revoked(deviceId, because);
  }
}

/** A fresh symmetric key as the portal makes them: 64 bytes in base64. */
export function createKey(): string {
  return randomBytes(64).toString("base64");
}
