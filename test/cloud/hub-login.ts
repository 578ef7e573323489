import type { X509Certificate } from "node:crypto";
import { commonNameOf, sha256ThumbprintOf } from "./ca-certificates.ts";
import { areAllValid, findAuthority, type Chain } from "./dps-x509.ts";
import type { Device, DeviceAuth, Hub } from "./hub.ts";
import type { ConnectRequest } from "./mqtt-service.ts";
import { expiryObjection, isSignedWith, parseSasToken } from "./sas-token.ts";

/** A device that may connect. */
export interface HubLogin {
  readonly status: "granted";
  readonly deviceId: string;
  readonly apiVersion: string;
  readonly proof: "token" | "certificate";
  /** A certificate that runs out does not end a connection. */
  readonly tokenExpiresAtMs?: number;
}

/** In words, for people: the wire does not carry it. */
interface Objection {
  readonly status: "refused";
  readonly because: string;
}

/** Versions that today's SDKs and the documentation name. */
const apiVersions = new Set(["2019-10-01", "2020-09-30", "2021-04-12", "2025-08-01-preview"]);

/** May this client connect to the hub now? A password counts before certificates. */
export function judgeHubLogin(hub: Hub, request: ConnectRequest, nowMs: number): HubLogin | Objection {
  const [, host = "", clientId, query = ""] = /^([^/]+)\/(.+)\/\?(.+)$/.exec(request.username) ?? [];
  if (!hub.hostNames.includes(host.toLowerCase())) {
    return refuse("user name does not start with this hub's host");
  }
  if (clientId !== request.clientId) return refuse("client ID differs from the user name's");
  const apiVersion = new URLSearchParams(query).get("api-version") ?? "";
  if (!apiVersions.has(apiVersion)) return refuse(`unknown api-version "${apiVersion}"`);
  if (request.willTopic?.startsWith(`devices/${clientId}/messages/events/`) === false) {
    return refuse("will for an unknown topic");
  }
  const verdict = judgeHubProof(hub, clientId, request, nowMs);
  return verdict.status === "granted" ? { ...verdict, apiVersion } : verdict;
}

/** What a client shows, whatever it is carried by. */
type HubProof = Pick<ConnectRequest, "password" | "certificates">;

/** Is whoever shows this that device, and may it come in now? */
export function judgeHubProof(
  hub: Hub,
  deviceId: string,
  { password = "", certificates }: HubProof,
  nowMs: number,
): Omit<HubLogin, "apiVersion"> | Objection {
  const device = hub.find(deviceId);
  const [leaf, ...issuers] = certificates;
  const hasPassword = password !== "";
  if (!hasPassword && leaf === undefined) return refuse("neither password nor certificate");
  if (device === undefined) return refuse("unknown device");
  if (!device.isEnabled) return refuse("disabled device");
  const granted = { status: "granted", deviceId } as const;
  if (!hasPassword && leaf !== undefined) {
    const because = findCertificateObjection(hub, device, [leaf, ...issuers], nowMs);
    return because === undefined ? { ...granted, proof: "certificate" } : refuse(because);
  }
  const token = judgeToken(hub, device, password, nowMs);
  return "because" in token ? refuse(token.because) : { ...granted, proof: "token", ...token };
}

function judgeToken(
  hub: Hub,
  { deviceId, auth }: Device,
  password: string,
  nowMs: number,
): { readonly tokenExpiresAtMs: number } | { readonly because: string } {
  const token = parseSasToken(password);
  if ("malformed" in token) return { because: `token ${token.malformed}` };
  const resources = hub.hostNames.map((host) => `${host}/devices/${deviceId}`.toLowerCase());
  if (!resources.includes(token.resource.toLowerCase())) return { because: "token for another resource" };
  if (token.keyName !== undefined && token.keyName !== "")
    return { because: "token of a shared access policy" };
  const objection = expiryObjection(token, nowMs);
  if (objection !== undefined) return { because: objection };
  if (auth.type !== "sas") return { because: "token for a device with certificates" };
  const isSigned = [auth.primaryKey, auth.secondaryKey].some((key) => isSignedWith(token, key));
  return isSigned ? { tokenExpiresAtMs: token.expiresAtMs } : { because: "signature mismatch" };
}

/** @returns in words why these certificates are not this device's, or undefined. */
function findCertificateObjection(
  hub: Hub,
  { deviceId, auth }: Device,
  chain: Chain,
  nowMs: number,
): string | undefined {
  const [leaf] = chain;
  switch (auth.type) {
    case "sas":
      return "certificate for a device with keys";
    case "selfSigned":
      if (!hasThumbprint(leaf, auth)) return "certificate with another thumbprint";
      return areAllValid([leaf], nowMs) ? undefined : "certificate expired or not yet valid";
    case "ca": {
      // Case-sensitive, as device IDs are.
      if (commonNameOf(leaf) !== deviceId) return "certificate for another common name";
      const candidates = hub.trustedAuthorities().map((authority) => ({ authority }));
      const found = findAuthority(chain, candidates);
      if (found === undefined) return "certificate of an unknown CA";
      return areAllValid(found.path, nowMs) ? undefined : "certificate chain expired or not yet valid";
    }
  }
}

/** SHA-1 thumbprints are what the portal shows; either kind may be registered. */
function hasThumbprint(leaf: X509Certificate, auth: Extract<DeviceAuth, { type: "selfSigned" }>): boolean {
  const { primaryThumbprint = "", secondaryThumbprint = "" } = auth;
  const known = new Set([primaryThumbprint.toUpperCase(), secondaryThumbprint.toUpperCase()]);
  return known.has(sha256ThumbprintOf(leaf)) || known.has(leaf.fingerprint.replaceAll(":", ""));
}

function refuse(because: string): Objection {
  return { status: "refused", because };
}
