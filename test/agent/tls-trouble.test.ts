import tls from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import type { LinkOptions } from "../../src/mqtt/link.ts";
import { Secret } from "../../src/platform/secret.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { failureOf } from "../failure-of.ts";
import { selfSigned, type Credential } from "../identity/device-pki.ts";

/* Handshakes that fail, at the link and with both versions of TLS: each failure by its code. */

const never = new AbortController().signal;
const versions = ["TLSv1.2", "TLSv1.3"] as const;
const newest = tls.DEFAULT_MAX_VERSION;
let cloud: Cloud;
let credential: Credential;

beforeAll(async () => {
  cloud = await startCloud();
  credential = await selfSigned("gw-1");
});

afterAll(async () => {
  tls.DEFAULT_MAX_VERSION = newest;
  await cloud[Symbol.asyncDispose]();
});

function toHub(): LinkOptions {
  const { host, port } = cloud.hub("test");
  const key = { tlsKey: new Secret(credential.keyPem), failure: undefined };
  return {
    host,
    port,
    trustedRoots: cloud.caPem,
    clientId: "gw-1",
    username: `${host}/gw-1/?api-version=2021-04-12`,
    clientCertificate: { chain: credential.chainPem, key },
    cleanSession: true,
    keepAliveMs: 60_000,
    connectTimeoutMs: 5_000,
    onMessage: () => {},
  };
}

async function failureOver(version: (typeof versions)[number]) {
  tls.DEFAULT_MAX_VERSION = version;
  return failureOf(openMqttLink(toHub(), never));
}

const refusals = [
  "bad_certificate",
  "unsupported_certificate",
  "certificate_revoked",
  "certificate_expired",
  "certificate_unknown",
  "unknown_ca",
] as const;

test.each(refusals.flatMap((alert) => versions.map((version) => [alert, version] as const)))(
  "row 15, case 39: the alert %s over %s is the certificate's refusal",
  async (alert, version) => {
    cloud.faults.add({ when: { at: "connection" }, do: { act: "alert", alert, after: "certificate" } });
    const error = await failureOver(version);
    expect(error).toMatchObject({ code: "mqtt/certificate-refused" });
    expect(error.message).toMatch(/this device's certificate|device certificate/);
  },
);

test("row 15: over TLS 1.3 a missing certificate is refused after the handshake seemed to be done", async () => {
  cloud.faults.add({
    when: { at: "connection" },
    do: { act: "alert", alert: "certificate_required", after: "certificate" },
  });
  const { clientCertificate: _none, ...without } = toHub();
  tls.DEFAULT_MAX_VERSION = "TLSv1.3";
  const error = await failureOf(openMqttLink(without, never));
  expect(error).toMatchObject({ code: "mqtt/certificate-refused" });
  expect(error.message).toMatch(/wants a client certificate/);
});

const servers = [
  { fault: "expired", code: "mqtt/tls-validity", remedy: "operator" },
  { fault: "not-yet-valid", code: "mqtt/tls-validity", remedy: "operator" },
  { fault: "wrong-name", code: "mqtt/tls-wrong-name", remedy: "operator" },
  { fault: "unknown-ca", code: "mqtt/tls-untrusted", remedy: "operator" },
  { fault: "old-protocol", code: "mqtt/tls-incompatible", remedy: "operator" },
] as const;

test.for(servers)(
  "row 14, case 39: a server of $fault is told as $code ($remedy)",
  async ({ fault, code, remedy }) => {
    for (const version of versions) {
      cloud.faults.add({ when: { at: "connection" }, do: { act: "tls", fault } });
      expect(await failureOver(version)).toMatchObject({ code, remedy });
    }
  },
);

test.for(["protocol_version", "handshake_failure"] as const)(
  "row 14: the alert %s in answer to our hello is about versions and ciphers",
  async (alert) => {
    cloud.faults.add({ when: { at: "connection" }, do: { act: "alert", alert, after: "hello" } });
    expect(await failureOver("TLSv1.3")).toMatchObject({ code: "mqtt/tls-incompatible", remedy: "operator" });
  },
);

test.for(["internal_error", "access_denied", "unrecognized_name", "insufficient_security"] as const)(
  "row 26: the alert %s says nothing about us: it is retried, and its name is kept",
  async (alert) => {
    cloud.faults.add({ when: { at: "connection" }, do: { act: "alert", alert, after: "hello" } });
    const error = await failureOver("TLSv1.3");
    expect(error).toMatchObject({ code: "mqtt/tls-failed", remedy: "retry" });
    expect(error.message).toMatch(new RegExp(alert.split("_")[0] ?? "", "i"));
  },
);

test.each(versions)("case 39: over %s nothing is wrong with the handshake as such", async (version) => {
  tls.DEFAULT_MAX_VERSION = version;
  const result = await openMqttLink(toHub(), never);
  // The hub does not know this device: that is an answer, and comes after the handshake.
  expect(result).toMatchObject({ status: "refused" });
});
