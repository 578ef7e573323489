import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { selfSigned } from "../identity/device-pki.ts";
import { whyNotPort443 } from "../low-ports.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

/* A wall clock that is wrong while TLS still holds: only the agent's own clock is simulated. */

const hour = 60 * 60_000;
const noServerTime = whyNotPort443();
if (noServerTime !== undefined) console.log(`skipped: clocks measured by a server: ${noServerTime}`);

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0, pollAfterSeconds: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

function enroll(gateway: Gateway, primaryKey = gateway.key): void {
  const initialTwin = { desired: { site: { name: "Hall 7" } } };
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey,
    hub: "test",
    initialTwin,
  });
}

/** How often somebody asked DPS for the time: a request that fits none of its operations. */
function timesAsked(since: number): number {
  return cloud.journal
    .events(since)
    .filter((event) => event.kind === "https" && event.method === "HEAD" && event.endpoint === "dps").length;
}

function goOn(clock: ManualClock): void {
  clock.advance(clock.nextIn() ?? 0);
}

test.skipIf(noServerTime !== undefined)(
  "a hub that refuses the token of a clock that is behind is connected with the server's time, and DPS is not asked",
  async () => {
    const clock = new ManualClock();
    await using gateway = new Gateway(cloud, { clock, isClockSynchronised: false });
    enroll(gateway);
    await gateway.start();
    await gateway.connected();
    await gateway.stop();
    const registrations = gateway.events("provisioning.started").length;
    gateway.health.length = 0;

    clock.jump(-3 * hour);
    await gateway.start();
    await gateway.until(() => gateway.failures().length === 1, "the hub refused");
    expect(gateway.failures()).toEqual(["hub/clock-doubtful"]);
    expect(gateway.lastHealth).toMatch(
      /^not connected: this device's clock is 3 h behind the time of .*, and the hub refused its token; the next one is signed with the server's time\. Set the clock or mend NTP \[hub\/clock-doubtful\]; next: connect to/,
    );
    await clock.someoneSleeps();
    goOn(clock);
    await gateway.connected();
    expect(gateway.events("provisioning.started")).toHaveLength(registrations);
    expect(clock.now()).toBeLessThan(Date.now() - 2 * hour);
  },
);

test.skipIf(noServerTime !== undefined)(
  "a key that is wrong for days, on a machine that cannot tell whether its clock is right, asks for the time once",
  async () => {
    const clock = new ManualClock();
    await using gateway = new Gateway(cloud, { clock });
    enroll(gateway, randomBytes(32).toString("base64"));
    const since = cloud.journal.lastSeq;
    await gateway.start();
    for (let failures = 1; failures <= 5; failures += 1) {
      await gateway.until(() => gateway.failures().length === failures, "DPS refused");
      await clock.someoneSleeps();
      goOn(clock);
    }
    expect(new Set(gateway.failures())).toEqual(new Set(["provisioning/unauthorized"]));
    expect(timesAsked(since)).toBeLessThanOrEqual(1);
  },
);

test("where no server tells the time, an unsynchronised clock is named, and the right one leads to a connection", async () => {
  const own = await startCloud({ assigningAnswers: 0, pollAfterSeconds: 0, httpsPort: 4433 });
  await using _ = own;
  const clock = new ManualClock();
  clock.jump(-3 * hour);
  await using gateway = new Gateway(own, { clock, isClockSynchronised: false });
  const { registrationId, key: primaryKey } = gateway;
  own.levers.enrollments.put({ registrationId, primaryKey });
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "DPS refused");
  expect(gateway.failures()).toEqual(["provisioning/clock-doubtful"]);
  expect(gateway.lastHealth).toMatch(
    /DPS refused the token while this device's clock is in doubt: it says \d{4}-\d\d-\d\d \d\d:\d\d UTC, and it is not synchronised, so the token may look expired\. Set the clock or mend NTP; the agent goes on by itself/,
  );
  clock.jump(3 * hour);
  await clock.someoneSleeps();
  goOn(clock);
  await gateway.connected();
});

test("a clock that is synchronised is never blamed: the hub's expired certificate is told as such", async () => {
  const clock = new ManualClock();
  await using gateway = new Gateway(cloud, { clock, isClockSynchronised: true });
  enroll(gateway);
  cloud.faults.add({
    endpoint: "test",
    when: { at: "connection" },
    do: { act: "tls", fault: "expired" },
  });
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "the handshake failed");
  expect(gateway.failures()).toEqual(["mqtt/tls-validity"]);
});

test("the same certificate with a clock that is not synchronised is a matter of the clock", async () => {
  const clock = new ManualClock();
  await using gateway = new Gateway(cloud, { clock, isClockSynchronised: false });
  enroll(gateway);
  cloud.faults.add({
    endpoint: "test",
    when: { at: "connection" },
    do: { act: "tls", fault: "expired" },
  });
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "the handshake failed");
  expect(gateway.failures()).toEqual(["hub/clock-doubtful"]);
  expect(gateway.lastHealth).toMatch(
    /this device's clock is in doubt: it says .* UTC, and it is not synchronised\. By it the server's certificate does not hold/,
  );
  await clock.someoneSleeps();
  goOn(clock);
  await gateway.connected();
});

test("a certificate that expired while the device was off is told as expired, with the day", async () => {
  const registrationId = `gw-${randomBytes(4).toString("hex")}`;
  const credential = await selfSigned(registrationId, { toDays: 10 });
  const clock = new ManualClock(Date.now() + 20 * 24 * hour);
  await using gateway = new Gateway(cloud, {
    registrationId,
    credential,
    clock,
    isClockSynchronised: false,
  });
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "the identity is refused");
  expect(gateway.failures()).toEqual(["identity/certificate-expired"]);
  expect(gateway.lastHealth).toMatch(
    /^not connected: the certificate in .* cannot be used: .* expired on \d{4}-\d\d-\d\d, and the clock says \d{4}-\d\d-\d\d\. Renew it, or set the clock \[identity\/certificate-expired\]/,
  );
});

test("a certificate that does not hold yet in 1970 is a matter of the clock", async () => {
  const registrationId = `gw-${randomBytes(4).toString("hex")}`;
  const credential = await selfSigned(registrationId);
  const clock = new ManualClock(60_000);
  await using gateway = new Gateway(cloud, { registrationId, credential, clock });
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "the identity is refused");
  expect(gateway.failures()).toEqual(["identity/clock-doubtful"]);
  expect(gateway.lastHealth).toMatch(
    /^not connected: this device's clock is wrong: it says 1970-01-01 00:01 UTC, but this software was built on/,
  );
});
