import { describe, expect, test } from "vitest";
import { openSession } from "../../src/hub/session.ts";
import { openOverMqtt } from "../../src/provisioning/over-mqtt.ts";
import { connectFailure } from "../../src/platform/connect-failure.ts";
import { connectCodes } from "../../src/mqtt/connect-codes.ts";
import { unansweredFailure } from "../../src/mqtt/unanswered-failure.ts";
import { failureOf } from "../failure-of.ts";

const never = new AbortController().signal;

/** Every return code that a byte can hold; MQTT 3.1.1 (table 3.1) gives a meaning to five of them. */
const all = Array.from({ length: 255 }, (_, index) => index + 1);

interface Class {
  readonly code: string;
  readonly remedy: string;
}
const atHub: Readonly<Record<number, Class>> = {
  1: { code: "hub/protocol-refused", remedy: "operator" },
  2: { code: "hub/refused", remedy: "reprovision" },
  3: { code: "hub/busy", remedy: "retry" },
  4: { code: "hub/refused", remedy: "reprovision" },
  5: { code: "hub/refused", remedy: "reprovision" },
};
const atDps: Readonly<Record<number, Class>> = {
  1: { code: "provisioning/protocol-refused", remedy: "operator" },
  2: { code: "provisioning/not-accepted", remedy: "operator" },
  3: { code: "provisioning/unavailable", remedy: "retry" },
  4: { code: "provisioning/not-accepted", remedy: "operator" },
  5: { code: "provisioning/not-accepted", remedy: "operator" },
};

describe("case 37: every CONNACK code has its class, and one that is unknown is retried and keeps its number", () => {
  test("rows 19, 20, 22 and 26: at the hub", async () => {
    for (const returnCode of all) {
      const to = { hub: "hub.test", port: 8883, trustedRoots: "", deviceId: "gw", username: "u" };
      const opening = openSession(
        async () => ({ status: "refused", returnCode }),
        { ...to, keepAliveMs: 60_000 },
        never,
      );
      const error = await failureOf(opening);
      expect(error).toMatchObject(atHub[returnCode] ?? { code: "hub/connack-unknown", remedy: "retry" });
      expect(error.message).toContain(`CONNACK ${returnCode}`);
    }
  });

  test("rows 19, 21, 22 and 26: at DPS", async () => {
    for (const returnCode of all) {
      const to = { endpoint: "dps.test", port: 8883, trustedRoots: "", registrationId: "gw", username: "u" };
      const error = await failureOf(openOverMqtt(async () => ({ status: "refused", returnCode }), to, never));
      const unknown = { code: "provisioning/connack-unknown", remedy: "retry" };
      expect(error).toMatchObject(atDps[returnCode] ?? unknown);
      expect(error.message).toContain(`CONNACK ${returnCode}`);
    }
  });
});

describe("case 38: no failure of the network or of TLS leads to DPS, and an unknown one keeps its code", () => {
  const peer = { codes: connectCodes, host: "hub.test", port: 8883 };
  const known = [
    ["ENOTFOUND", "mqtt/name-not-found", "retry"],
    ["EAI_AGAIN", "mqtt/name-not-found", "retry"],
    ["ECONNREFUSED", "mqtt/unreachable", "retry"],
    ["EHOSTUNREACH", "mqtt/unreachable", "retry"],
    ["ENETUNREACH", "mqtt/unreachable", "retry"],
    ["ETIMEDOUT", "mqtt/unreachable", "retry"],
    ["ECONNRESET", "mqtt/unreachable", "retry"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "mqtt/tls-intercepted", "retry"],
    ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "mqtt/tls-incompatible", "operator"],
    ["ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", "mqtt/tls-incompatible", "operator"],
    ["ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE", "mqtt/tls-incompatible", "operator"],
    ["ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE", "mqtt/certificate-refused", "operator"],
    ["ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_REVOKED", "mqtt/certificate-refused", "operator"],
    ["ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED", "mqtt/certificate-refused", "operator"],
    ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "mqtt/certificate-refused", "operator"],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "mqtt/certificate-refused", "operator"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "mqtt/tls-untrusted", "operator"],
    ["SELF_SIGNED_CERT_IN_CHAIN", "mqtt/tls-untrusted", "operator"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "mqtt/tls-wrong-name", "operator"],
    ["CERT_HAS_EXPIRED", "mqtt/tls-validity", "operator"],
    ["CERT_NOT_YET_VALID", "mqtt/tls-validity", "operator"],
    ["ERR_SSL_SOMETHING_NEW", "mqtt/tls-failed", "retry"],
  ] as const;

  test.each(known)("rows 3, 6, 11 to 16: %s is %s (%s)", (systemCode, code, remedy) => {
    const error = connectFailure(Object.assign(new Error("it failed"), { code: systemCode }), peer);
    expect(error).toMatchObject({ code, remedy });
  });

  test("row 16: a code that nobody knows is in the message", () => {
    const error = connectFailure(Object.assign(new Error("it failed"), { code: "ERR_SSL_NEW" }), peer);
    expect(error).toMatchObject({ code: "mqtt/tls-failed", remedy: "retry" });
    expect(error.message).toContain("(ERR_SSL_NEW)");
  });

  test.each(known.filter(([systemCode]) => systemCode.includes("ALERT")))(
    "row 15: %s after the handshake, as TLS 1.3 has it, is the same failure",
    (systemCode, code, remedy) => {
      const error = unansweredFailure(Object.assign(new Error("it failed"), { code: systemCode }), peer);
      expect(error).toMatchObject({ code, remedy });
    },
  );
});
