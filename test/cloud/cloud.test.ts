import { connect as connectTcp } from "node:net";
import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import { startCloud } from "./cloud.ts";
import { connectToDps, connectToHub, provision, refusalOf } from "./test-device.ts";

async function codeOfConnecting(host: string, port: number): Promise<string> {
  const socket = connectTcp({ host, port });
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.once("connect", () => resolve("connected"));
  socket.once("error", (error) => resolve("code" in error ? String(error.code) : error.message));
  const result = await promise;
  socket.destroy();
  return result;
}

describe("a cloud", () => {
  it("is not believed by a client that does not know its CA", async () => {
    await using cloud = await startCloud();
    await expect(connectToDps(cloud, "x", "AAAA", { ca: "" })).rejects.toThrow("certificate");
    await using other = await startCloud();
    await expect(connectToDps(cloud, "x", "AAAA", { ca: other.caPem })).rejects.toThrow("certificate");
  });

  it("refuses TLS older than 1.2 and says so in the journal", async () => {
    await using cloud = await startCloud();
    const { host, port } = cloud.dps;
    const socket = connectTls({
      host,
      port,
      ca: cloud.caPem,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    const errors: unknown[] = await once(socket, "error");
    expect(String(errors[0])).toMatch(/version|unsupported protocol/);
    await cloud.waitFor(({ kind, endpoint }) => kind === "tls-failure" && endpoint === "dps");
  });

  it("has certificates for its addresses and its names", async () => {
    await using cloud = await startCloud();
    const { host, port, dnsName } = cloud.hub("test");
    for (const servername of [undefined, dnsName]) {
      const socket = connectTls({
        host,
        port,
        ca: cloud.caPem,
        ...(servername === undefined ? {} : { servername }),
      });
      await once(socket, "secureConnect");
      expect(socket.authorized).toBe(true);
      socket.destroy();
    }
  });

  it("refuses a network that another one has, and stands beside it on its own", async () => {
    await using first = await startCloud();
    await expect(startCloud({ network: first.network })).rejects.toThrow("EADDRINUSE");
    await using second = await startCloud();
    expect(second.network).not.toBe(first.network);
    expect([first.dps.port, second.dps.port]).toEqual([8883, 8883]);
  });

  it("cuts and refuses connections while a line is down, and takes them again after", async () => {
    await using cloud = await startCloud({ pollAfterSeconds: 0 });
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "gateway-1" });
    await provision(cloud, "gateway-1", primaryKey);
    await using device = await connectToHub(cloud, "test", "gateway-1", primaryKey);
    await cloud.levers.setLine("test", false);
    await device.closed;
    const { host, port } = cloud.hub("test");
    expect(await codeOfConnecting(host, port)).toBe("ECONNREFUSED");
    expect(await codeOfConnecting(cloud.dps.host, port)).toBe("connected");
    await cloud.levers.setLine("test", true);
    expect(await refusalOf(connectToHub(cloud, "test", "gateway-1", primaryKey))).toBe(0);
    expect(cloud.journal.events().filter(({ kind }) => kind === "line")).toMatchObject([
      { up: false },
      { up: true },
    ]);
  });

  it("takes hubs while it runs", async () => {
    await using cloud = await startCloud({ hubs: ["only"], pollAfterSeconds: 0 });
    const third = await cloud.levers.addHub("late");
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "gateway-1", hub: "late" });
    const { body } = await provision(cloud, "gateway-1", primaryKey);
    expect(body.registrationState).toMatchObject({ assignedHub: third.host });
    expect(await refusalOf(connectToHub(cloud, "late", "gateway-1", primaryKey))).toBe(0);
  });

  it("believes in the time that it is told", async () => {
    await using cloud = await startCloud({ now: () => Date.parse("2030-01-01T00:00:00Z") });
    const { primaryKey } = cloud.levers.enrollments.put({ registrationId: "gateway-1" });
    await expect(connectToDps(cloud, "gateway-1", primaryKey)).rejects.toThrow("Not authorized");
    expect(cloud.journal.events()).toMatchObject([
      { kind: "connect", because: "token expired", atMs: 1893456000000 },
    ]);
  });

  it("frees its ports when it is disposed of, with devices connected and a line down", async () => {
    const cloud = await startCloud();
    const device = await connectToDps(cloud, "x", "AAAA");
    await cloud.levers.setLine("production", false);
    await cloud[Symbol.asyncDispose]();
    await device.closed;
    for (const { host, port } of [cloud.dps, cloud.hub("test"), cloud.hub("production")]) {
      expect(await codeOfConnecting(host, port)).toBe("ECONNREFUSED");
    }
    const admin = new URL(cloud.adminUrl);
    expect(await codeOfConnecting(admin.hostname, Number(admin.port))).toBe("ECONNREFUSED");
  });
});

describe("waiting for an event", () => {
  it("fails in time and tells what was seen instead", async () => {
    await using cloud = await startCloud();
    await cloud.levers.setLine("dps", false);
    await expect(cloud.waitFor(({ kind }) => kind === "register", 10)).rejects.toThrow('"kind":"line"');
  });

  it("looks only at what comes after the given number", async () => {
    await using cloud = await startCloud();
    await cloud.levers.setLine("dps", false);
    const { lastSeq } = cloud.journal;
    await expect(cloud.waitFor(({ kind }) => kind === "line", 10, lastSeq)).rejects.toThrow("10 ms");
    expect(await cloud.waitFor(({ kind }) => kind === "line")).toMatchObject({ up: false });
  });
});
