import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { selfSigned } from "../identity/device-pki.ts";
import { DatagramSocket } from "../platform/datagram-socket.ts";
import { AgentProcess } from "./agent-process.ts";
import { FakeTime, offsetTo1970, whyNoFakeTime } from "./fake-time.ts";
import { Gateway } from "./gateway.ts";

/*
 * The sentence that `systemctl status latebind` shows, word for word, where something is missing that a field engineer can mend: it says what
 * happened and what to do. No network, no DNS: offline.process.test.ts; a new device with a wrong clock: wrong-clock.process.test.ts.
 */

if (whyNoFakeTime !== undefined) console.log(`skipped: wrong clocks: ${whyNoFakeTime}`);

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0, pollAfterSeconds: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

async function sentence(
  gateway: Gateway,
  pattern: RegExp,
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  await using manager = await DatagramSocket.open();
  await using agent = new AgentProcess(gateway, { NOTIFY_SOCKET: manager.path, ...environment });
  const said = await manager.says(pattern);
  expect(agent.lines.filter(({ event }) => event === "agent.bug")).toEqual([]);
  return said.replace(/^STATUS=/, "").replace(/; next: .*$/, "");
}

/** A device that has a hub already. */
async function assigned(): Promise<Gateway> {
  const gateway = new Gateway(cloud);
  const { registrationId, key: primaryKey } = gateway;
  cloud.levers.enrollments.put({ registrationId, primaryKey, hub: "test" });
  await gateway.start();
  await gateway.connected();
  await gateway.stop();
  return gateway;
}

test("a proxy that is not there", async () => {
  await using gateway = new Gateway(cloud);
  const file = join(gateway.folder, "etc", "config.toml");
  writeFileSync(file, `proxy = "http://127.0.0.1:9"\n${readFileSync(file, "utf8")}`);
  expect(await sentence(gateway, /^STATUS=not connected: .*proxy/)).toBe(
    "not connected: the proxy http://127.0.0.1:9 cannot be reached (ECONNREFUSED). Check proxy in the configuration, and the network [platform/proxy-unreachable]",
  );
});

test("a certificate that expired while the device was off", async () => {
  const registrationId = "gw-expired";
  const credential = await selfSigned(registrationId, { fromDays: -30, toDays: -2 });
  await using gateway = new Gateway(cloud, { registrationId, credential });
  expect(await sentence(gateway, /^STATUS=not connected: the certificate/)).toMatch(
    /^not connected: the certificate in .*device\.pem cannot be used: "CN=gw-expired" expired on \d{4}-\d\d-\d\d, and the clock says \d{4}-\d\d-\d\d\. Renew it, or set the clock \[identity\/certificate-expired\]$/,
  );
});

test.skipIf(whyNoFakeTime !== undefined).for([
  {
    name: "1970",
    offset: offsetTo1970(),
    says: /^not connected: this device's clock is wrong: it says 1970-01-01 00:0\d UTC, but this software was built on \d{4}-\d\d-\d\d\. No certificate can be checked with it\. Set the clock or mend NTP; the agent goes on by itself once the clock is right \[hub\/clock-doubtful\]$/,
  },
  {
    name: "a year that has yet to come",
    offset: "+5y",
    says: /^not connected: this device's clock is in doubt: it says \d{4}-\d\d-\d\d \d\d:\d\d UTC, (and it is not synchronised, )?5 years after anything that this device knows of\. By it the server's certificate does not hold\. Set the clock or mend NTP; the agent goes on by itself once the clock is right \[hub\/clock-doubtful\]$/,
  },
])("a device that has a hub, with a clock in $name", async ({ offset, says }) => {
  await using gateway = await assigned();
  const { environment } = new FakeTime(gateway, offset);
  expect(await sentence(gateway, /^STATUS=not connected: this device's clock/, environment)).toMatch(says);
});
