import { describe, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { Gateway } from "./gateway.ts";

/** A device that was connected, and has lost its line. */
async function disconnected(cloud: Cloud): Promise<Gateway> {
  const gateway = new Gateway(cloud);
  const { registrationId, key: primaryKey } = gateway;
  cloud.levers.enrollments.put({ registrationId, hub: "test", primaryKey });
  await gateway.start();
  await gateway.connected();
  gateway.health.length = 0;
  return gateway;
}

async function waits(gateway: Gateway): Promise<{ readonly forMs: number; readonly message: string }> {
  await gateway.until(
    () => gateway.failures().filter((code) => code !== "mqtt/connection-lost").length > 0,
    "it failed",
    20_000,
  );
  await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "it waits");
  const facts = gateway.health.at(-1);
  if (facts?.at !== "waiting") throw new Error("it does not wait");
  return { forMs: facts.forMs, message: facts.error.message };
}

describe("row 6, case 40: a captive portal", () => {
  test.each([
    ["that speaks HTTP on 8883", "http", /does not speak TLS/],
    ["with its own CA", "tls", /comes from an authority that is not trusted here/],
  ] as const)("%s is named as such, and asked again within a minute", async (_, portal, because) => {
    await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
    await using gateway = await disconnected(cloud);
    cloud.faults.add({ when: { at: "connection" }, do: { act: "portal", portal }, times: "always" });
    cloud.levers.dropConnection("test", gateway.registrationId);
    const { forMs, message } = await waits(gateway);
    expect(gateway.failures().at(-1)).toBe("mqtt/network-intercepted");
    expect(message).toContain(
      `neither ${cloud.hub("test").host} nor ${cloud.dps.host} proves its name in this network`,
    );
    expect(message).toMatch(because);
    expect(message).toMatch(/Log in to the network/);
    expect(forMs).toBeGreaterThanOrEqual(30_000);
    expect(forMs).toBeLessThanOrEqual(60_000);
    // No credential was touched, and DPS was not asked for another place.
    expect(cloud.journal.events().filter(({ kind }) => kind === "register")).toHaveLength(1);
  });
});

test("rows 11 and 12: a hub that alone has the wrong certificate is told apart from the network", async () => {
  await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
  await using gateway = await disconnected(cloud);
  cloud.faults.add({
    endpoint: "test",
    when: { at: "connection" },
    do: { act: "tls", fault: "unknown-ca" },
    times: "always",
  });
  cloud.levers.dropConnection("test", gateway.registrationId);
  const { message } = await waits(gateway);
  const { host } = cloud.hub("test");
  expect(gateway.failures().at(-1)).toBe("mqtt/tls-untrusted");
  expect(message).toContain(
    `${cloud.dps.host} proves its name over the same network, so it is ${host} that is to be looked at`,
  );
});

test("row 6: a device that has never been connected has nothing to compare with, and says what it saw", async () => {
  await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
  cloud.faults.add({ when: { at: "connection" }, do: { act: "portal", portal: "http" }, times: "always" });
  await using gateway = new Gateway(cloud);
  await gateway.start();
  const { message } = await waits(gateway);
  expect(gateway.failures().at(-1)).toBe("mqtt/tls-intercepted");
  expect(message).toMatch(/A captive portal or a proxy may stand in between/);
});
