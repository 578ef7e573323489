import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { Gateway } from "./gateway.ts";

const initialTwin = { desired: { site: { name: "Hall 7" } } };
const special = { user: "gate way", password: "p@ss:wörd%/" };

interface Through {
  readonly url: string;
  readonly hasLogin?: boolean;
  readonly overWebSocket?: boolean;
  readonly overHttps?: boolean;
}

/** A device whose only way out is a proxy. */
function behindProxy(cloud: Cloud, { url, hasLogin = false, ...over }: Through): Gateway {
  const top = [`proxy = "${url}"`, ...(hasLogin ? [`proxy_credentials = "file:proxy.login"`] : [])];
  const gateway = new Gateway(cloud, { ...over, top });
  const { registrationId, key } = gateway;
  cloud.levers.enrollments.put({ registrationId, hub: "test", initialTwin, primaryKey: key });
  return gateway;
}

function writeLogin(gateway: Gateway, { user, password }: typeof special): void {
  writeFileSync(join(gateway.folder, "etc", "proxy.login"), `${user}:${password}\n`, { mode: 0o600 });
}

/** Every tunnel that was asked for, as `host:port status`. */
function tunnels(cloud: Cloud): readonly string[] {
  return cloud.journal
    .events()
    .flatMap((event) => (event.kind === "proxy" ? [`${event.target} ${event.status}`] : []));
}

/** How many connections DPS and hubs have had, whatever came of them. */
function conversations(cloud: Cloud): number {
  const kinds = new Set(["connect", "https", "tls-failure"]);
  return cloud.journal.events().filter(({ kind }) => kinds.has(kind)).length;
}

describe("case 49: a proxy", () => {
  test.each([
    ["MQTT", {}, (cloud: Cloud) => [cloud.dps.port, cloud.hub("test").port]],
    ["WebSocket", { overWebSocket: true }, (cloud: Cloud) => [cloud.dps.httpsPort, cloud.dps.httpsPort]],
    ["HTTPS, and MQTT to the hub,", { overHttps: true }, (cloud: Cloud) => [cloud.dps.httpsPort, 8883]],
  ])("carries %s to DPS and the hub", async (_, over, ports) => {
    await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
    const { url } = await cloud.proxies.open({ credentials: special });
    await using gateway = behindProxy(cloud, { url, hasLogin: true, ...over });
    writeLogin(gateway, special);
    await gateway.start();
    await gateway.connected();
    expect(gateway.site()).toEqual({ name: "Hall 7" });
    const [dpsPort, hubPort] = ports(cloud);
    expect(tunnels(cloud)).toEqual([
      `${cloud.dps.host}:${dpsPort} 200`,
      `${cloud.hub("test").host}:${hubPort} 200`,
    ]);
    expect(JSON.stringify(gateway.lines)).not.toContain("wörd");
  });

  test("that refuses our password is told, asked slowly, and never gone around; a mended file heals", async () => {
    await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
    const { url } = await cloud.proxies.open({ credentials: special });
    await using gateway = behindProxy(cloud, { url, hasLogin: true });
    writeLogin(gateway, { ...special, password: "wrong" });
    await gateway.start();
    await gateway.until(() => gateway.failures().length > 0, "it failed");
    expect(gateway.failures()).toEqual(["platform/proxy-login"]);
    expect(gateway.lastHealth).toMatch(
      /^not connected: the proxy http:\/\/127\.0\.0\.1:\d+ does not accept our user name or password \(HTTP 407\)\. Mend the file that proxy_credentials names \[platform\/proxy-login\]; next: ask DPS at /,
    );
    const waiting = gateway.health.at(-1);
    expect(waiting?.at === "waiting" && waiting.forMs).toBeGreaterThanOrEqual(30_000);
    expect(conversations(cloud)).toBe(0);

    await gateway.stop();
    writeLogin(gateway, special);
    await gateway.start();
    await gateway.connected();
  });

  test.each([
    ["asks for a password we do not have", { credentials: special }, "platform/proxy-login"],
    ["forbids the tunnel", { answer: 403 }, "platform/proxy-forbids"],
    ["is overloaded", { answer: 503 }, "platform/proxy-failed"],
    ["is a login page", { answer: "portal" }, "platform/not-a-proxy"],
    ["closes at once", { answer: "drop" }, "platform/proxy-failed"],
  ] as const)("that %s is never gone around", async (_, behaviour, code) => {
    await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
    const { url } = await cloud.proxies.open(behaviour);
    await using gateway = behindProxy(cloud, { url });
    await gateway.start();
    await gateway.until(() => gateway.failures().length > 0, "it failed");
    expect(gateway.failures()).toEqual([code]);
    expect(conversations(cloud)).toBe(0);
  });

  test("that is gone is named, and never gone around", async () => {
    await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
    const { id, url } = await cloud.proxies.open();
    await cloud.proxies.close(id);
    await using gateway = behindProxy(cloud, { url });
    await gateway.start();
    await gateway.until(() => gateway.failures().length > 0, "it failed");
    expect(gateway.failures()).toEqual(["platform/proxy-unreachable"]);
    expect(gateway.lastHealth).toContain(`the proxy ${url} cannot be reached (ECONNREFUSED)`);
    expect(conversations(cloud)).toBe(0);
  });

  test("whose file with the credentials is missing is not even asked", async () => {
    await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
    const { url } = await cloud.proxies.open({ credentials: special });
    await using gateway = behindProxy(cloud, { url, hasLogin: true });
    await gateway.start();
    await gateway.until(() => gateway.failures().length > 0, "it failed");
    expect(gateway.failures()).toEqual(["platform/proxy-credentials"]);
    expect(tunnels(cloud)).toEqual([]);
  });

  test("whose tunnel dies in the middle of a session is asked for another one", async () => {
    await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
    const { id, url } = await cloud.proxies.open();
    await using gateway = behindProxy(cloud, { url });
    await gateway.start();
    await gateway.connected();
    gateway.health.length = 0;
    cloud.proxies.cut(id);
    await gateway.connected();
    expect(gateway.failures()).toEqual(["mqtt/connection-lost"]);
    const lost = gateway.events("hub.failed")[0]?.error?.message;
    expect(lost).toContain(`${cloud.hub("test").host}:8883 (through the proxy ${url}) ended`);
    expect(tunnels(cloud)).toHaveLength(3);
  });

  test("whose tunnel dies in the handshake says so", async () => {
    await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
    const { url } = await cloud.proxies.open({ resetAfterBytes: 100 });
    await using gateway = behindProxy(cloud, { url });
    await gateway.start();
    await gateway.until(() => gateway.failures().length > 0, "it failed");
    expect(["mqtt/unreachable", "mqtt/closed-early"]).toContain(gateway.failures()[0]);
    expect(gateway.lastHealth).toContain(`(through the proxy ${url})`);
  });
});
