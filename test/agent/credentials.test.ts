import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

/*
 * What DPS refuses must say why, must not loop, and must heal by itself when the operator mends it. Waiting is simulated, the
 * conversation is real.
 */
let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

interface Case {
  readonly name: string;
  /** What the cloud answered on the wire. */
  readonly wire: { readonly returnCode?: number; readonly status?: number; readonly errorCode?: number };
  readonly code: string;
  /** Words that only this case's message has. */
  readonly says: RegExp;
  readonly breakIt: (gateway: Gateway) => void;
  /** What the operator does. */
  readonly mend: (gateway: Gateway) => void | Promise<void>;
}

function enroll(
  gateway: Gateway,
  change: { readonly primaryKey?: string; readonly enabled?: boolean } = {},
): void {
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    initialTwin: { desired: { site: { name: "Hall 7" } } },
    ...change,
  });
}

const cases: readonly Case[] = [
  {
    name: "a wrong key",
    wire: { status: 401, errorCode: 401002 },
    code: "provisioning/unauthorized",
    says: /does not accept this device's key/,
    breakIt: (gateway) => enroll(gateway, { primaryKey: randomBytes(32).toString("base64") }),
    mend: (gateway) => enroll(gateway),
  },
  {
    name: "an unknown registration ID",
    wire: { status: 404, errorCode: 404201 },
    code: "provisioning/enrollment-not-found",
    says: /knows no enrollment/,
    breakIt: () => {},
    mend: (gateway) => enroll(gateway),
  },
  {
    name: "a disabled enrollment",
    wire: { status: 200 },
    code: "provisioning/disabled",
    says: /enrollment is disabled/,
    breakIt: (gateway) => enroll(gateway, { enabled: false }),
    mend: (gateway) => enroll(gateway),
  },
  {
    name: "a wrong ID scope",
    wire: { returnCode: 5 },
    code: "provisioning/not-accepted",
    says: /does not know the ID scope/,
    breakIt: (gateway) => {
      enroll(gateway);
      gateway.writeConfig({ idScope: "0ne00000000" });
    },
    // As `systemctl reload` does after the operator edited the file.
    mend: async (gateway) => {
      await gateway.stop();
      gateway.writeConfig({});
      await gateway.start();
    },
  },
];

function answers(gateway: Gateway): readonly object[] {
  return cloud.journal
    .events()
    .filter(
      (event) =>
        event.endpoint === "dps" &&
        "clientId" in event &&
        event.clientId === gateway.registrationId &&
        (event.kind === "register" || (event.kind === "connect" && event.returnCode !== 0)),
    );
}

/** Lets simulated time pass until something else than waiting happens `attempts` times. */
async function passTime(gateway: Gateway, clock: ManualClock, attempts: number): Promise<readonly number[]> {
  const waits: number[] = [];
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const seen = gateway.failures().length;
    await clock.someoneSleeps();
    const wait = clock.nextIn() ?? 0;
    waits.push(wait);
    clock.advance(wait);
    await gateway.until(() => gateway.failures().length > seen, "the next attempt failed");
  }
  return waits;
}

test.for(cases)("$name is told apart, does not loop, and heals by itself", async (row) => {
  const clock = new ManualClock();
  await using gateway = new Gateway(cloud, { clock, isClockSynchronised: true });
  row.breakIt(gateway);
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "the first attempt failed");

  expect(gateway.failures()).toEqual([row.code]);
  expect(answers(gateway)[0]).toMatchObject(row.wire);
  expect(gateway.lastHealth).toMatch(row.says);
  expect(cases.filter(({ says }) => says.test(gateway.lastHealth))).toHaveLength(1);

  const waits = await passTime(gateway, clock, 5);
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(30_000);
  expect(new Set(gateway.failures())).toEqual(new Set([row.code]));
  expect(answers(gateway)).toHaveLength(6);

  await row.mend(gateway);
  await gateway.until(
    () => ["waiting", "holding", "connected"].includes(gateway.health.at(-1)?.at ?? ""),
    "it waits",
  );
  if (gateway.health.at(-1)?.at !== "connected") await clock.someoneSleeps();
  clock.advance(6 * 60 * 60_000);
  await gateway.connected();
  expect(gateway.site()).toEqual({ name: "Hall 7" });
});

test("a token that DPS finds expired, with a clock that is not synchronised, is told as a doubtful clock", async () => {
  const clock = new ManualClock(Date.now() - 3 * 60 * 60_000);
  await using gateway = new Gateway(cloud, { clock, isClockSynchronised: false });
  enroll(gateway);
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "the first attempt failed");

  expect(gateway.failures()).toEqual(["provisioning/clock-doubtful"]);
  expect(gateway.lastHealth).toMatch(
    /this device's clock is 3 h behind the time of .*, and DPS refused its token/,
  );
  expect(answers(gateway)[0]).toMatchObject({
    returnCode: 5,
    because: expect.stringMatching(/expired/) as unknown,
  });

  clock.jump(3 * 60 * 60_000);
  await clock.someoneSleeps();
  clock.advance(clock.nextIn() ?? 0);
  await gateway.connected();
});

test("no key and no token is ever logged, not even at debug level and in failures", async () => {
  await using gateway = new Gateway(cloud, { clock: new ManualClock() });
  enroll(gateway, { primaryKey: randomBytes(32).toString("base64") });
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "the first attempt failed");
  const output = JSON.stringify(gateway.lines);
  expect(output).toContain("provisioning/unauthorized");
  expect(output).not.toContain(gateway.key);
  expect(output).not.toContain("SharedAccessSignature");
  expect(output).not.toContain("sig=");
});
