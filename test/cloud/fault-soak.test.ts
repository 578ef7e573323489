import mqtt from "mqtt";
import { expect, it } from "vitest";
import { startCloud } from "./cloud.ts";
import type { FaultAct } from "./fault-spec.ts";
import { provision, sasToken } from "./test-device.ts";

const acts: readonly (readonly [probability: number, act: FaultAct])[] = [
  [0.03, { act: "drop", how: "reset" }],
  [0.03, { act: "drop", how: "close" }],
  [0.02, { act: "drop", how: "reset", deliver: true }],
  [0.02, { act: "duplicate" }],
  [0.02, { act: "delay", delayMs: 5 }],
  [0.01, { act: "trickle", bytes: 7, everyMs: 0 }],
];

it("telemetry with QoS 1 survives whatever chance does to its line", async () => {
  const faultSeed = process.env["FAULT_SEED"];
  await using cloud = await startCloud({
    pollAfterSeconds: 0,
    ...(faultSeed === undefined ? {} : { faultSeed }),
  });
  process.stdout.write(`to repeat these faults: FAULT_SEED=${cloud.faults.seed}\n`);
  const { primaryKey: key } = cloud.levers.enrollments.put({ registrationId: "gateway-1" });
  await provision(cloud, "gateway-1", key);
  for (const [probability, act] of acts) {
    cloud.faults.add({ endpoint: "test", when: { at: "chance", probability }, do: act, times: "always" });
  }
  const { host, port } = cloud.hub("test");
  const client = mqtt.connect(`mqtts://${host}:${port}`, {
    ca: cloud.caPem,
    clientId: "gateway-1",
    username: `${host}/gateway-1/?api-version=2021-04-12`,
    password: sasToken({ resource: `${host}/devices/gateway-1`, key }),
    clean: false,
    reconnectPeriod: 1,
  });
  client.on("error", () => {});
  const bodies = Array.from({ length: 200 }, (_, index) => `message ${index}`);
  for (const body of bodies) {
    await client.publishAsync("devices/gateway-1/messages/events/", body, { qos: 1 });
  }
  await client.endAsync();

  const kept = new Set(cloud.levers.telemetry("test", "gateway-1").map(({ body }) => body));
  expect(bodies.filter((body) => !kept.has(body))).toEqual([]);
  const struck = new Set(
    cloud.journal.events().flatMap((event) => (event.kind === "fault" ? [event.act] : [])),
  );
  expect(struck.size).toBeGreaterThan(1);
  const connections = cloud.journal
    .events()
    .filter(({ kind, endpoint }) => kind === "connect" && endpoint === "test");
  expect(connections.length).toBeGreaterThan(3);
});
