import { connect as connectTcp } from "node:net";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { alertNames, alertNumbers, type ConnectionAct } from "./fault-spec.ts";
import { connectToDps, connectToHub, provision, refusalOf } from "./test-device.ts";

let cloud: Cloud;
let key: string;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
  key = cloud.levers.enrollments.put({ registrationId: "gateway-1" }).primaryKey;
  await provision(cloud, "gateway-1", key);
});
afterEach(() => cloud.faults.clear());
afterAll(async () => cloud[Symbol.asyncDispose]());

/** What a client of DPS is told when this is done to its connections. */
async function symptomOf(
  act: ConnectionAct,
  options: Parameters<typeof connectToDps>[3] = {},
): Promise<string> {
  cloud.faults.add({ endpoint: "dps", when: { at: "connection" }, do: act, times: "always" });
  try {
    const device = await connectToDps(cloud, "gateway-1", key, { connectTimeout: 300, ...options });
    await device[Symbol.asyncDispose]();
    return "connected";
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    // EPROTO is all that OpenSSL's failures have in common when they come while the client writes.
    return "code" in error && error.code !== "EPROTO" ? String(error.code) : error.message;
  }
}

describe("a client of an endpoint with a bad certificate is told", () => {
  it.each([
    ["expired", "CERT_HAS_EXPIRED"],
    ["not-yet-valid", "CERT_NOT_YET_VALID"],
    ["wrong-name", "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["unknown-ca", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
  ] as const)("%s: %s", async (fault, code) => {
    expect(await symptomOf({ act: "tls", fault })).toBe(code);
    const struck = cloud.journal.events().findLast(({ kind }) => kind === "fault");
    expect(struck).toMatchObject({ endpoint: "dps", moment: "connection", act: "tls" });
  });

  it("nothing when it does not look", async () => {
    expect(await symptomOf({ act: "tls", fault: "expired" }, { rejectUnauthorized: false })).toBe(
      "connected",
    );
  });
});

describe("a handshake", () => {
  it("fails when only TLS 1.0 and 1.1 are offered", async () => {
    expect(await symptomOf({ act: "tls", fault: "old-protocol" })).toMatch(/alert protocol version/);
  });

  it.each(["hello", "certificate"] as const)(
    "ends by any alert after the client's %s, on TLS 1.2 and 1.3",
    async (after) => {
      for (const alert of alertNames) {
        for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
          cloud.faults.clear();
          cloud.faults.add({
            when: { at: "connection" },
            do: { act: "alert", alert, after },
          });
          const attempt = connectToDps(cloud, "gateway-1", key, { maxVersion });
          await expect(attempt).rejects.toThrow(new RegExp(`SSL alert number ${alertNumbers[alert]}\\b`));
        }
      }
    },
  );

  it("on TLS 1.3 looks finished to the client before the alert about its certificate comes", async () => {
    cloud.faults.add({
      when: { at: "connection" },
      do: { act: "alert", alert: "certificate_required", after: "certificate" },
    });
    const socket = connectTls({ host: cloud.dps.host, port: cloud.dps.port, ca: cloud.caPem });
    const order: string[] = [];
    const ended = Promise.withResolvers<void>();
    socket.on("secureConnect", () => order.push("secureConnect"));
    socket.on("error", (error) => order.push("code" in error ? String(error.code) : error.message));
    socket.on("close", () => ended.resolve());
    await ended.promise;
    expect(order).toEqual(["secureConnect", "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"]);
  });

  it.each([
    ["close", "ECONNRESET"],
    ["reset", "ECONNRESET"],
  ] as const)("is over before it began by %s", async (how, code) => {
    expect(await symptomOf({ act: "drop", how })).toBe(code);
  });

  it("never goes on when there is silence", async () => {
    expect(await symptomOf({ act: "silence" })).toBe("connack timeout");
  });
});

describe("a captive portal", () => {
  it("that speaks HTTP on the MQTT port is not TLS to a client", async () => {
    expect(await symptomOf({ act: "portal", portal: "http" })).toMatch(/wrong.version.number/i);
  });

  it("redirects who speaks HTTP to it", async () => {
    cloud.faults.add({ when: { at: "connection" }, do: { act: "portal", portal: "http" } });
    const socket = connectTcp({ host: cloud.dps.host, port: cloud.dps.port });
    socket.write("GET / HTTP/1.1\r\n\r\n");
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 302 Found\r\nLocation: http:\/\/portal\.example/);
  });

  it("that intercepts TLS has a CA that nobody knows", async () => {
    expect(await symptomOf({ act: "portal", portal: "tls" })).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  });

  it("redirects inside TLS who believes it all the same", async () => {
    cloud.faults.add({ when: { at: "connection" }, do: { act: "portal", portal: "tls" } });
    const { host, httpsPort } = cloud.dps;
    const socket = connectTls({ host, port: httpsPort, rejectUnauthorized: false });
    expect(await text(socket)).toContain("302 Found");
  });
});

describe("a fault at the connection", () => {
  it("strikes as often as it says, at one endpoint and one port only", async () => {
    const { httpsPort } = cloud.dps;
    cloud.faults.add({
      endpoint: "dps",
      when: { at: "connection", port: 8883 },
      do: { act: "drop", how: "reset" },
      times: 2,
    });
    expect(await refusalOf(connectToHub(cloud, "test", "gateway-1", key))).toBe(0);
    const overWebSocket = { protocol: "wss", port: httpsPort, path: "/$iothub/websocket" } as const;
    expect(await refusalOf(connectToDps(cloud, "gateway-1", key, overWebSocket))).toBe(0);
    await expect(connectToDps(cloud, "gateway-1", key)).rejects.toThrow("ECONNRESET");
    await expect(connectToDps(cloud, "gateway-1", key)).rejects.toThrow("ECONNRESET");
    expect(await refusalOf(connectToDps(cloud, "gateway-1", key))).toBe(0);
    expect(cloud.faults.list()).toMatchObject([{ struck: 2 }]);
  });
});
