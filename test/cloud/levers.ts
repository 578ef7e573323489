import * as v from "valibot";
import type { CaCertificateInfo, CaCertificates } from "./ca-certificates.ts";
import { CloudError } from "./cloud-error.ts";
import type { CredentialPolicies } from "./credential-policies.ts";
import { hubName, type LinkedHubs } from "./linked-hubs.ts";
import { parse } from "./enrollment-spec.ts";
import type { Enrollment, Enrollments } from "./enrollments.ts";
import type { DeviceAuth, DeviceKeys, Hub, Telemetry } from "./hub.ts";
import { putDevice, type DeviceSpec } from "./hub-device-spec.ts";
import type { JsonObject } from "./json.ts";
import type { ProvisioningPace } from "./dps-operations.ts";
import type { Registrations } from "./registrations.ts";
import { decodeBase64 } from "./sas-token.ts";
import type { ServerClock } from "./server-clock.ts";
import type { TlsEndpoint } from "./tls-endpoint.ts";
import type { Twin } from "./twin.ts";

/** An endpoint's name (`dps` or a hub's), where it listens, and whether its line is up. */
export interface EndpointInfo {
  readonly name: string;
  readonly host: string;
  readonly dnsName: string;
  readonly port: number;
  /** HTTPS and MQTT over WebSocket. */
  readonly httpsPort: number;
  readonly isUp: boolean;
}

export type DeviceInfo = DeviceAuth & {
  readonly deviceId: string;
  readonly enabled: boolean;
  readonly etag: string;
};

interface LeversOptions {
  readonly enrollments: Enrollments;
  readonly caCertificates: CaCertificates;
  readonly credentialPolicies: CredentialPolicies;
  readonly linkedHubs: LinkedHubs;
  readonly registrations: Registrations;
  readonly hubs: ReadonlyMap<string, Hub>;
  readonly endpoints: ReadonlyMap<string, EndpointPlace>;
  readonly clock: ServerClock;
  readonly pace: ProvisioningPace;
  readonly addHub: (name: string) => Promise<void>;
  readonly lineMoved: (endpoint: string, up: boolean) => void;
}

/** A listening endpoint with its addresses. */
export interface EndpointPlace {
  readonly host: string;
  readonly dnsName: string;
  /** MQTT. */
  readonly tls: TlsEndpoint;
  /** HTTPS and MQTT over WebSocket. */
  readonly https: TlsEndpoint;
}

const wholeNumber = v.pipe(v.number(), v.integer(), v.minValue(0));
export const paceChange = v.strictObject({
  pollAfterSeconds: v.optional(wholeNumber),
  assigningAnswers: v.optional(wholeNumber),
  waitingStatus: v.optional(v.picklist(["assigning", "unassigned"])),
  pollsPer10Seconds: v.optional(wholeNumber),
  registersPerMinute: v.optional(wholeNumber),
  operationLifetimeSeconds: v.optional(wholeNumber),
});
type PaceChange = v.InferInput<typeof paceChange>;

/**
 * Everything an operator can do to the cloud, for tests in process and for the admin API alike.
 * All of it throws CloudError: 400 for nonsense, 404 for what does not exist, 409 for a name that is taken.
 */
export class Levers {
  readonly enrollments: Enrollments;
  readonly caCertificates: CaCertificates;
  readonly credentialPolicies: CredentialPolicies;
  /** How far each hub is said to be, and whether DPS may assign to it. */
  readonly linkedHubs: LinkedHubs;
  readonly #options: LeversOptions;

  constructor(options: LeversOptions) {
    this.#options = options;
    this.enrollments = options.enrollments;
    this.caCertificates = options.caCertificates;
    this.credentialPolicies = options.credentialPolicies;
    this.linkedHubs = options.linkedHubs;
  }

  /** Points an individual enrollment at another hub; it takes effect at the device's next register call. */
  moveEnrollment(registrationId: string, hub: string): Enrollment {
    this.hub(hub);
    return this.enrollments.change(registrationId, { hub });
  }

  /** @param proofPem a certificate issued under the CA whose CN is the verification code. */
  verifyCaCertificate(name: string, proofPem: string): CaCertificateInfo {
    return this.caCertificates.verify(name, proofPem, this.#options.clock.now());
  }

  registrations(): ReturnType<Registrations["list"]> {
    return this.#options.registrations.list();
  }

  /** DPS forgets where it sent this device; the device itself stays in its hub. */
  forgetRegistration(registrationId: string): void {
    if (!this.#options.registrations.forget(registrationId)) {
      throw new CloudError(404, `there is no registration ${registrationId}`);
    }
  }

  endpoints(): readonly EndpointInfo[] {
    return [...this.#options.endpoints].map(([name, { host, dnsName, tls, https }]) => ({
      name,
      host,
      dnsName,
      port: tls.port,
      httpsPort: https.port,
      isUp: tls.isUp,
    }));
  }

  endpoint(name: string): EndpointInfo {
    const info = this.endpoints().find((endpoint) => endpoint.name === name);
    if (info === undefined) throw new CloudError(404, `there is no endpoint ${name}`);
    return info;
  }

  /** Cuts every connection to an endpoint and refuses new ones, or listens again. */
  async setLine(endpoint: string, up: boolean): Promise<void> {
    const place = this.#options.endpoints.get(endpoint);
    if (place === undefined) throw new CloudError(404, `there is no endpoint ${endpoint}`);
    if (place.tls.isUp === up) return;
    await Promise.all([place.tls.setLine(up), place.https.setLine(up)]);
    this.#options.lineMoved(endpoint, up);
  }

  async addHub(name: string): Promise<EndpointInfo> {
    parse(hubName, name);
    if (this.#options.hubs.has(name)) throw new CloudError(409, `there is a hub ${name} already`);
    await this.#options.addHub(name);
    return this.endpoint(name);
  }

  /** A hub itself: its methods, messages, throttle, certificate issuance, CA certificates and registry. */
  hub(name: string): Hub {
    const hub = this.#options.hubs.get(name);
    if (hub === undefined) throw new CloudError(404, `there is no hub ${name}`);
    return hub;
  }

  /** Registers a device without DPS, or gives it another credential. */
  putDevice(hub: string, deviceId: string, spec: DeviceSpec): DeviceInfo {
    putDevice(this.hub(hub), deviceId, spec);
    return this.device(hub, deviceId);
  }

  devices(hub: string): readonly DeviceInfo[] {
    return this.hub(hub)
      .devices()
      .map(({ deviceId }) => this.device(hub, deviceId));
  }

  device(hub: string, deviceId: string): DeviceInfo {
    const { auth, isEnabled, etag } = this.hub(hub).device(deviceId);
    return { deviceId, enabled: isEnabled, etag, ...auth };
  }

  /** The connection, if any, is closed; the next CONNECT is refused with 5. */
  deleteDevice(hub: string, deviceId: string): void {
    this.hub(hub).remove(deviceId);
  }

  setDeviceEnabled(hub: string, deviceId: string, enabled: boolean): DeviceInfo {
    this.hub(hub).setEnabled(deviceId, enabled);
    return this.device(hub, deviceId);
  }

  /** The old key is refused from the next CONNECT on. `key` left out: a new one is made. */
  rotateKey(hub: string, deviceId: string, which: "primary" | "secondary", key?: string): DeviceKeys {
    if (key !== undefined && decodeBase64(key) === undefined) throw new CloudError(400, "key: not base64");
    return this.hub(hub).rotateKey(deviceId, which, key);
  }

  /** Closes the device's connection without a word; it may come back at once. */
  dropConnection(hub: string, deviceId: string): void {
    this.hub(hub).dropConnection(deviceId);
  }

  twin(hub: string, deviceId: string): Twin & { readonly etag: string } {
    const { twin, twinEtag } = this.hub(hub).device(deviceId);
    return { ...twin, etag: twinEtag };
  }

  /** Merges into desired and tags (null deletes). A connected device that has subscribed gets the desired patch. */
  patchTwin(
    hub: string,
    deviceId: string,
    change: { readonly desired?: JsonObject; readonly tags?: JsonObject },
  ): Twin & { readonly etag: string } {
    this.hub(hub).patchTwin(deviceId, change);
    return this.twin(hub, deviceId);
  }

  telemetry(hub: string, deviceId: string): readonly Telemetry[] {
    return this.hub(hub).device(deviceId).telemetry;
  }

  /** Moves the time that the cloud believes in; tokens whose grace is over lose their connection. */
  setClockOffset(offsetMs: number): void {
    if (!Number.isSafeInteger(offsetMs)) throw new CloudError(400, "offsetMs: not a whole number");
    this.#options.clock.setOffset(offsetMs);
  }

  clock(): { readonly now: string; readonly offsetMs: number } {
    const { clock } = this.#options;
    return { now: new Date(clock.now()).toISOString(), offsetMs: clock.offsetMs };
  }

  pace(): Readonly<ProvisioningPace> {
    return { ...this.#options.pace };
  }

  /** Changes what is named: how soon devices may poll, how often they hear `assigning`, how many polls are too many. */
  setPace(change: PaceChange): Readonly<ProvisioningPace> {
    Object.assign(this.#options.pace, parse(paceChange, change));
    return this.pace();
  }
}
