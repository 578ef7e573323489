import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openJournal } from "../../src/agent/journal.ts";
import { systemClock } from "../../src/platform/time.ts";
import { RecordingLog } from "../platform/recording-log.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { Gateway } from "../agent/gateway.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { terminal } from "./terminal.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

/** A device that was moved to another hub, and whose agent is stopped. */
async function movedGateway(): Promise<Gateway> {
  const gateway = new Gateway(cloud);
  const { registrationId, key } = gateway;
  cloud.levers.enrollments.put({ registrationId, primaryKey: key, hub: "test" });
  await gateway.start();
  await gateway.connected();
  cloud.levers.moveEnrollment(registrationId, "production");
  cloud.levers.deleteDevice("test", registrationId);
  const production = `connected to ${cloud.hub("production").host}`;
  await gateway.until(() => gateway.lastHealth.startsWith(production), "it moved", 20_000);
  await gateway.stop();
  return gateway;
}

describe("latebind explain", () => {
  test("where nothing was written says so", async () => {
    using folder = new TemporaryFolder();
    const { code, stdout } = await terminal(["explain"], { env: { STATE_DIRECTORY: folder.path } });
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `Nothing is in the journal in ${folder.path} yet.\n`,
    });
  });

  test("of nonsense in --last is a wrong command line", async () => {
    using folder = new TemporaryFolder();
    const { code, stderr } = await terminal(["explain", "--last", "few"], {
      env: { STATE_DIRECTORY: folder.path },
    });
    expect(code).toBe(2);
    expect(stderr).toMatch(/--last few: expected/);
  });

  test("tells a move from hub to hub in sentences that a person can follow", async () => {
    await using gateway = await movedGateway();
    const { code, stdout } = await terminal(["explain"], {
      env: { STATE_DIRECTORY: gateway.stateDirectory },
    });
    expect(code).toBe(0);
    const [story = "", standing = ""] = stdout.split("\n\n");
    expect(standing).toBe("In the last 24 hours: 2 conversations with DPS, some 15 kB.\n");
    const lines = story.split("\n");
    expect(lines.every((line) => /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ {2}\S/.test(line))).toBe(true);
    const [old, fresh] = [cloud.hub("test").host, cloud.hub("production").host];
    const expected = [
      /latebind 0\.0\.0-test started/,
      /asked DPS at .*: this device has no assignment yet/,
      new RegExp(`DPS assigned ${old}, as device "gw-.*" \\(initialAssignment\\)`),
      new RegExp(`connected to ${old}`),
      /the connection to .* ended.*\[mqtt\/connection-lost\]; next: connect to .* at \d\d:\d\d:\d\dZ/,
      /refused device .*\(CONNACK 5\).*\[hub\/refused\], strike 1 of 2; next: connect to/,
      /\[hub\/refused\], strike 2 of 2, 2 times in a row; next: ask DPS at/,
      /asked DPS at .*: .* refused device ".*" twice in a row/,
      new RegExp(`DPS assigned ${fresh}`),
      new RegExp(`moved from ${old} to ${fresh}`),
      new RegExp(`dropped the old assignment to ${old}`),
    ];
    expect(lines).toHaveLength(expected.length);
    for (const [index, pattern] of expected.entries()) expect(lines[index]).toMatch(pattern);
  });

  test("as JSON tells the same entries, and --last the newest", async () => {
    await using gateway = await movedGateway();
    const env = { STATE_DIRECTORY: gateway.stateDirectory };
    const { stdout } = await terminal(["explain", "--json", "--last", "2"], { env });
    expect(JSON.parse(stdout)).toMatchObject([
      { kind: "connected", hub: cloud.hub("production").host },
      { kind: "dropped", hub: cloud.hub("test").host },
    ]);
    expect(stdout).not.toContain(gateway.key);
  });
});

test("control characters in the journal do not reach the terminal, nor make lines of their own", async () => {
  using folder = new TemporaryFolder();
  const evil = "hub\u001b[2J\u009b31m\u007f\nforged line";
  openJournal(folder.path, systemClock, new RecordingLog().log).write({
    kind: "connected",
    hub: evil,
    deviceId: "d",
  });
  const env = { STATE_DIRECTORY: folder.path };
  const { stdout } = await terminal(["explain"], { env });
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  expect(stdout).toContain("hub\\u001b[2J\\u009b31m\\u007f\\u000aforged line");
  const json = (await terminal(["explain", "--json"], { env })).stdout;
  expect(json).not.toMatch(/[^\P{Cc}\n]/u);
  expect(JSON.parse(json)).toMatchObject([{ hub: evil }]);
});

async function simulate(gateway: Gateway, ...args: readonly string[]) {
  return terminal(["simulate", "--config", join(gateway.folder, "etc", "config.toml"), ...args], {
    env: { STATE_DIRECTORY: gateway.stateDirectory },
  });
}

describe("latebind simulate", () => {
  let moved: Gateway;

  beforeAll(async () => {
    moved = await movedGateway();
  });

  afterAll(async () => {
    await moved[Symbol.asyncDispose]();
  });

  test("of an event that it does not know names those that it does", async () => {
    const { code, stderr } = await simulate(moved, "--event", "aliens");
    expect(code).toBe(2);
    expect(stderr).toMatch(/expected one of hub-refused, .*network-lost/);
  });

  test("without a legal configuration ends with 78", async () => {
    await using gateway = new Gateway(cloud);
    writeFileSync(join(gateway.folder, "etc", "config.toml"), "id_scope = 1\n");
    expect((await simulate(gateway, "--event", "network-lost")).code).toBe(78);
  });

  test("of a device without a hub says that DPS comes first", async () => {
    await using gateway = new Gateway(cloud);
    const { code, stdout } = await simulate(gateway, "--event", "hub-refused");
    expect(code).toBe(0);
    expect(stdout).toMatch(/no hub yet/);
  });

  test("of a refusal, then of a second one, tells the decisions without making them", async () => {
    const gateway = moved;
    const hub = cloud.hub("production").host;
    const connects = cloud.journal.events().length;
    const once = await simulate(gateway, "--event", "hub-refused");
    expect(once.stdout).toBe(
      `If now the hub refuses the device (CONNACK 5):\n  connect to ${hub}, after 1 s to 2 s\n`,
    );
    const twice = await simulate(gateway, "--event", "hub-refused", "--times", "2");
    expect(twice.stdout.split("\n")[2]).toBe(`  ask DPS, with ${hub} as the fallback, at once`);
    expect(await simulate(gateway, "--event", "hub-refused")).toEqual(once);
    expect(cloud.journal.events()).toHaveLength(connects);
  });

  test.each([
    ["network-lost", "3", /connect to .*, after 1 s to 32 s\n$/],
    ["dps-disabled", "1", /connect to .*, until DPS is asked again, after 1 s to 2 s\n$/],
    ["hub-away", "1000", /ask DPS, with .* as the fallback, at once\n$/],
    ["tls-untrusted", "2", /after 15 min to 30 min\n$/],
  ])("of %s, %s times in a row", async (event, times, says) => {
    const { code, stdout } = await simulate(moved, "--event", event, "--times", times);
    expect(code).toBe(0);
    expect(stdout).toMatch(says);
  });

  test("reckons with what the agent remembers: after one refusal that was real the next one leads to DPS", async () => {
    const gateway = moved;
    cloud.faults.add({
      endpoint: "production",
      when: { at: "packet", packet: "connect" },
      do: { act: "connack", returnCode: 5 },
    });
    gateway.lines.length = 0;
    await gateway.start();
    await gateway.until(() => gateway.failures().includes("hub/refused"), "it was refused");
    await gateway.until(() => gateway.health.at(-1)?.at === "waiting", "it waits");
    await gateway.stop();
    await new Promise((done) => setTimeout(done, 1_000));
    expect((await simulate(gateway, "--event", "hub-refused")).stdout).toMatch(/ask DPS/);
  });
});
