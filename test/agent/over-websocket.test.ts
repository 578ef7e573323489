import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { Gateway } from "./gateway.ts";

/** The firewall of many a plant: nothing but 443. */
function closePort8883(cloud: Cloud): void {
  cloud.faults.add({
    when: { at: "connection", port: 8883 },
    do: { act: "drop", how: "reset" },
    times: "always",
  });
}

test("a device whose firewall lets only port 443 pass makes its whole way over WebSocket", async () => {
  await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
  closePort8883(cloud);
  await using gateway = new Gateway(cloud, { overWebSocket: true });
  const id = gateway.registrationId;
  const initialTwin = { desired: { site: { name: "Hall 7" } } };
  cloud.levers.enrollments.put({ registrationId: id, hub: "test", initialTwin, primaryKey: gateway.key });

  await gateway.start();
  await gateway.connected();
  expect(gateway.site()).toEqual({ name: "Hall 7" });
  cloud.levers.patchTwin("test", id, { desired: { site: { name: "Hall 8" } } });
  await gateway.until(() => gateway.events("report.accepted").length > 1, "the change is reported");
  expect(gateway.site()).toEqual({ name: "Hall 8" });

  cloud.levers.moveEnrollment(id, "production");
  cloud.levers.deleteDevice("test", id);
  await gateway.until(() => gateway.lastHealth.includes(cloud.hub("production").host), "it moved", 20_000);
  await gateway.connected();
  expect(gateway.failures()).toEqual(["mqtt/connection-lost", "hub/refused", "hub/refused"]);
  expect(cloud.journal.events().filter(({ kind }) => kind === "fault")).toEqual([]);
});

test("case 50: a device that is told to use WebSocket never tries MQTT over TLS", async () => {
  await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
  const { host, httpsPort } = cloud.dps;
  cloud.faults.add({
    when: { at: "connection", port: httpsPort },
    do: { act: "drop", how: "reset" },
    times: "always",
  });
  await using gateway = new Gateway(cloud, { overWebSocket: true });
  cloud.levers.enrollments.put({ registrationId: gateway.registrationId, primaryKey: gateway.key });
  await gateway.start();
  await gateway.until(() => gateway.failures().length > 1, "it failed twice", 20_000);
  expect(gateway.lastHealth).toContain(`cannot connect to ${host}:${httpsPort}`);
  expect(cloud.journal.events().filter(({ kind }) => kind === "connect")).toEqual([]);
});

test("row 4: a device in a network that blocks port 8883 finds the way over 443 by itself, and remembers", async () => {
  await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
  closePort8883(cloud);
  await using gateway = new Gateway(cloud);
  const { registrationId, key: primaryKey } = gateway;
  cloud.levers.enrollments.put({ registrationId, hub: "test", primaryKey });
  await gateway.start();
  await gateway.connected();
  // DPS is knocked at twice; the hub is not even asked on 8883 any more.
  expect(gateway.failures()).toEqual(["mqtt/unreachable"]);
  expect(knocks(cloud)).toEqual(["dps", "dps"]);
  expect(gateway.events("line.way-changed")).toMatchObject([
    { level: "notice", server: cloud.dps.host, from: "mqtt", to: "websocket" },
  ]);

  await gateway.stop();
  gateway.health.length = 0;
  await gateway.start();
  await gateway.connected();
  expect(knocks(cloud)).toHaveLength(2);
  expect(gateway.desk.health).toMatchObject({
    warnings: [
      expect.stringMatching(
        /^MQTT over TLS does not get through this network \(.+\), so it goes over WebSocket/,
      ),
    ],
  });
});

test("row 4: a hub that is down for good is no blocked port: nothing is remembered", async () => {
  await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
  cloud.faults.add({ when: { at: "connection" }, do: { act: "drop", how: "reset" }, times: 8 });
  await using gateway = new Gateway(cloud);
  const { registrationId, key: primaryKey } = gateway;
  cloud.levers.enrollments.put({ registrationId, hub: "test", primaryKey });
  await gateway.start();
  await gateway.until(() => gateway.failures().length >= 2, "it failed over both", 30_000);
  await gateway.until(() => gateway.events("line.way-closed").length > 0, "the other way was tried");
  expect(readdirSync(gateway.stateDirectory).filter((name) => name.startsWith("line."))).toEqual([]);
});

/** Where 8883 was knocked at in vain. */
function knocks(cloud: Cloud): readonly string[] {
  return cloud.journal.events().flatMap(({ kind, endpoint }) => (kind === "fault" ? [endpoint] : []));
}
