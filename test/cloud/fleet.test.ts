import { afterAll, beforeAll, expect, it } from "vitest";
import { deriveKey } from "./sas-token.ts";
import { startCloudProcess, type CloudProcess } from "./test-cloud-process.ts";
import { connectToHub, provision, twinTopics, type TestDevice } from "./test-device.ts";

const size = 500;
/** How many devices are under way at the same time. */
const crowd = 50;
const groupKey = Buffer.alloc(64, 7).toString("base64");
const ids = Array.from({ length: size }, (_, index) => `device-${index}`);

let cloud: CloudProcess;
const devices: TestDevice[] = [];

beforeAll(async () => {
  cloud = await startCloudProcess("--quiet");
  await cloud.admin("PUT", "/enrollment-groups/fleet", { primaryKey: groupKey });
  await cloud.admin("PATCH", "/pace", { pollAfterSeconds: 0 });
});
afterAll(async () => {
  for (const device of devices) await device[Symbol.asyncDispose]();
  await cloud[Symbol.asyncDispose]();
});

async function inCrowds<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const walk = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: crowd }, walk));
}

it(`${size} devices provision, connect to their hub, and stay connected`, { timeout: 60_000 }, async () => {
  const before = cloud.residentBytes();
  const startedAtMs = performance.now();
  await inCrowds(ids, async (id) => {
    const { body } = await provision(cloud, id, deriveKey(groupKey, id));
    expect(body.status).toBe("assigned");
  });
  const provisionedInMs = performance.now() - startedAtMs;
  await inCrowds(ids, async (id) => {
    const device = await connectToHub(cloud, "test", id, deriveKey(groupKey, id));
    devices.push(device);
    await device.client.subscribeAsync([twinTopics.answers, twinTopics.desired], { qos: 1 });
    expect(await device.ask(twinTopics.get)).toMatchObject({ status: 200 });
  });
  const perDevice = (cloud.residentBytes() - before) / size;

  const wasCutOff = Promise.race(devices.map(async ({ closed }) => closed.then(() => "cut off" as const)));
  const pushed = Promise.all(devices.map(async (device) => device.next("$iothub/twin/PATCH/")));
  await inCrowds(ids, async (id) => {
    await cloud.admin("PATCH", `/hubs/test/devices/${id}/twin`, { desired: { greeting: id } });
  });
  const greetings = await Promise.race([pushed, wasCutOff]);
  expect(greetings).toHaveLength(size);
  expect(devices.every(({ client }) => client.connected)).toBe(true);

  const perSecond = size / (provisionedInMs / 1000);
  const kibibytes = perDevice / 1024;
  process.stdout.write(
    `${size} devices: ${perSecond.toFixed(0)} registrations per second, ${kibibytes.toFixed(0)} KiB of the cloud's memory each\n`,
  );
  expect(perSecond).toBeGreaterThan(20);
  expect(kibibytes).toBeLessThan(1024);
});
