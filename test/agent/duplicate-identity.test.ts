import { expect, test, vi } from "vitest";
import { startCloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

const minute = 60_000;

function last(gateway: Gateway): string {
  return gateway.health.at(-1)?.at ?? "";
}

test("two agents with one identity are found by the pattern, reported, and both calm down", async () => {
  await using cloud = await startCloud({ assigningAnswers: 0 });
  const clock = new ManualClock();
  await using one = new Gateway(cloud, { clock });
  const { registrationId, key } = one;
  await using other = new Gateway(cloud, { clock, registrationId, key });
  cloud.levers.enrollments.put({ registrationId, primaryKey: key, hub: "test" });
  const both = [one, other];
  const isSettled = () =>
    both.every((gateway) => ["waiting", "connected"].includes(last(gateway))) &&
    both.filter((gateway) => last(gateway) === "connected").length < 2;
  await one.start();
  await one.connected();
  await other.start();

  const connectsPerTenMinutes: number[] = [];
  for (let window = 0; window < 18; window += 1) {
    const before = connects();
    for (const until = (window + 1) * 10 * minute; clock.monotonic() < until;) {
      await vi.waitUntil(isSettled, { timeout: 5_000, interval: 2 });
      clock.advance(Math.min(clock.nextIn() ?? minute, until - clock.monotonic()));
      // Who woke has to be seen before anybody is called settled.
      await vi.waitUntil(() => !isSettled(), { timeout: 100, interval: 1 }).catch(() => undefined);
    }
    connectsPerTenMinutes.push(connects() - before);
  }
  console.log(`connects of both in each ten minutes: ${connectsPerTenMinutes.join(" ")}`);

  const suspected = both.filter((gateway) => gateway.failures().includes("hub/duplicate-identity-suspected"));
  expect(suspected.length).toBeGreaterThanOrEqual(1);
  const sentences = suspected
    .flatMap((gateway) => gateway.events("hub.failed"))
    .map(({ error }) => error?.message);
  expect(sentences.join("\n")).toContain(`another device connects as "${registrationId}"`);
  expect(connectsPerTenMinutes[0]).toBeGreaterThanOrEqual(5);
  expect(Math.max(...connectsPerTenMinutes)).toBeLessThanOrEqual(20);
  // Later on the two take turns of minutes, where a naive client would fight for the line every second.
  for (const count of connectsPerTenMinutes.slice(3)) expect(count).toBeLessThanOrEqual(12);

  function connects(): number {
    return cloud.journal.events().filter((event) => event.kind === "connect" && event.endpoint === "test")
      .length;
  }
}, 60_000);
