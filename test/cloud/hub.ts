import { randomBytes } from "node:crypto";
import { CloudError } from "./cloud-error.ts";
import type { JsonObject } from "./json.ts";
import { isSignedWith, type SasToken } from "./sas-token.ts";
import { createTwin, mergePatch, patchSection, type Twin, type TwinPatchResult } from "./twin.ts";

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

interface Device {
  readonly deviceId: string;
  auth: DeviceAuth;
  isEnabled: boolean;
  twin: Twin;
  readonly telemetry: Telemetry[];
}

/** What a transport does when the registry changes under a connected device. */
export interface HubListener {
  revoked(deviceId: string, because: string): void;
  desiredChanged(deviceId: string, patch: JsonObject, version: number): void;
}

/** One IoT Hub: its device registry and twins, whatever the transport. Device IDs are case-sensitive. */
export class Hub {
  readonly name: string;
  /** Address first, then names: all of them are this hub in user names and tokens. */
  readonly hostNames: readonly string[];
  readonly #devices = new Map<string, Device>();
  readonly #listeners = new Set<HubListener>();

  constructor(name: string, hostNames: readonly string[]) {
    this.name = name;
    this.hostNames = hostNames;
  }

  listen(listener: HubListener): void {
    this.#listeners.add(listener);
  }

  has(deviceId: string): boolean {
    return this.#devices.has(deviceId);
  }

  devices(): readonly { readonly deviceId: string; readonly enabled: boolean }[] {
    return [...this.#devices.values()].map(({ deviceId, isEnabled }) => ({ deviceId, enabled: isEnabled }));
  }

  device(deviceId: string): Readonly<Device> {
    return this.#find(deviceId);
  }

  create(deviceId: string, auth: DeviceAuth, twin: Twin = createTwin({})): void {
    this.#devices.set(deviceId, { deviceId, auth, isEnabled: true, twin, telemetry: [] });
  }

  remove(deviceId: string, because = "device deleted"): void {
    this.#find(deviceId);
    this.#devices.delete(deviceId);
    this.#revoke(deviceId, because);
  }

  setEnabled(deviceId: string, isEnabled: boolean): void {
    this.#find(deviceId).isEnabled = isEnabled;
    if (!isEnabled) this.#revoke(deviceId, "device disabled");
  }

  /** Open connections stay, as at the service: a credential is looked at when a device connects. */
  setAuth(deviceId: string, auth: DeviceAuth): void {
    this.#find(deviceId).auth = auth;
  }

  rotateKey(deviceId: string, which: "primary" | "secondary", key = createKey()): DeviceKeys {
    const device = this.#find(deviceId);
    if (device.auth.type !== "sas") throw new CloudError(400, `device ${deviceId} has no symmetric keys`);
    device.auth = { ...device.auth, [which === "primary" ? "primaryKey" : "secondaryKey"]: key };
    return device.auth;
  }

  dropConnection(deviceId: string): void {
    this.#find(deviceId);
    this.#revoke(deviceId, "dropped by the operator");
  }

  /**
   * May the bearer of this token connect as this device now?
   * @returns undefined for yes, or in words why not.
   */
  findObjection(deviceId: string, token: SasToken, nowMs: number): string | undefined {
    const device = this.#devices.get(deviceId);
    if (device === undefined) return "unknown device";
    if (!device.isEnabled) return "disabled device";
    const resources = this.hostNames.map((host) => `${host}/devices/${deviceId}`.toLowerCase());
    if (!resources.includes(token.resource.toLowerCase())) return "token for another resource";
    if (token.keyName !== undefined && token.keyName !== "") return "token of a shared access policy";
    if (token.expiresAtMs <= nowMs) return "token expired";
    if (device.auth.type !== "sas") return "token for a device with certificates";
    const { primaryKey, secondaryKey } = device.auth;
    if (isSignedWith(token, primaryKey) || isSignedWith(token, secondaryKey)) return undefined;
    return "signature mismatch";
  }

  patchReported(deviceId: string, body: Parameters<typeof patchSection>[1]): TwinPatchResult {
    const device = this.#find(deviceId);
    const result = patchSection(device.twin.reported, body);
    if (result.status === "merged") device.twin = { ...device.twin, reported: result.section };
    return result;
  }

  /** The operator's change. The patch goes to the device if it is connected and listens; it is never queued. */
  patchTwin(deviceId: string, change: { readonly desired?: JsonObject; readonly tags?: JsonObject }): Twin {
    const device = this.#find(deviceId);
    const result =
      change.desired === undefined ? undefined : patchSection(device.twin.desired, change.desired);
    if (result?.status === "rejected") throw new CloudError(400, `desired: ${result.because}`);
    device.twin = {
      ...device.twin,
      ...(result === undefined ? {} : { desired: result.section }),
      tags: mergePatch(device.twin.tags, change.tags ?? {}),
    };
    if (result !== undefined) {
      for (const listener of this.#listeners) {
        listener.desiredChanged(deviceId, result.patch, result.section.version);
      }
    }
    return device.twin;
  }

  keepTelemetry(deviceId: string, telemetry: Telemetry): void {
    const { telemetry: kept } = this.#find(deviceId);
    kept.push(telemetry);
    if (kept.length > 10_000) kept.splice(0, 5_000);
  }

  #find(deviceId: string): Device {
    const device = this.#devices.get(deviceId);
    if (device === undefined) throw new CloudError(404, `hub ${this.name} has no device ${deviceId}`);
    return device;
  }

  #revoke(deviceId: string, because: string): void {
    for (const listener of this.#listeners) listener.revoked(deviceId, because);
  }
}

/** A fresh symmetric key as the portal makes them: 64 bytes in base64. */
export function createKey(): string {
  return randomBytes(64).toString("base64");
}
