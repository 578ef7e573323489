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
