import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import { runAdminCommand, startAdminCommand, type CommandResult } from "./test-admin-command.ts";
import { connectToHub, provision } from "./test-device.ts";
import { connectNew, methodCalls } from "./test-hub-device.ts";
import { createSelfSigned } from "./test-pki.ts";

/** For temporary files, so that no other cloud of this machine is found. */
const temporary = mkdtempSync(join(tmpdir(), "cloud-admin-"));
let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0 });
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
  rmSync(temporary, { recursive: true });
});

async function run(...words: readonly string[]): Promise<CommandResult> {
  return runAdminCommand(words, { url: cloud.adminUrl, temporary });
}

/** @throws Error when the command fails. */
async function succeed(...words: readonly string[]): Promise<string> {
  const { code, printed, complaint } = await run(...words);
  if (code !== 0) throw new Error(`${words.join(" ")}: ${complaint}`);
  return printed;
}

describe("the admin command fails with one line that says why:", () => {
  it.concurrent.each<[string, string[], string]>([
    ["an unknown command", ["xylophone"], "unknown command 'xylophone'"],
    ["a word too few", ["enrollment", "move", "gateway-1"], "missing required argument 'hub'"],
    [
      "an enrollment that is not there",
      ["enrollment", "enable", "stranger"],
      "there is no enrollment stranger",
    ],
    ["a device that is nowhere", ["device", "drop", "stranger"], "no hub knows a device stranger"],
    ["a hub that is not there", ["twin", "get", "a", "--hub", "moon"], "there is no hub moon"],
    ["JSON that is none", ["fault", "add", "{"], "It is not JSON."],
    ["a file that is not there", ["fault", "add", "@/none"], "ENOENT"],
    ["a rule that makes no sense", ["fault", "add", "{}"], "when: "],
    ["a path that is not there", ["call", "GET", "/moon"], "there is nothing at /moon"],
  ])("%s", async (_, words, complaint) => {
    const result = await run(...words);
    expect(result).toMatchObject({ code: 1, printed: "" });
    expect(result.complaint).toContain(complaint);
    expect(result.complaint.trim().split("\n")).toHaveLength(1);
  });

  it("a device that more than one hub knows, until one is chosen", async () => {
    for (const hub of ["test", "production"]) cloud.levers.putDevice(hub, "twice", {});
    expect((await run("device", "drop", "twice")).complaint).toContain("--hub test or --hub production");
    await succeed("device", "disable", "twice", "--hub", "production");
    expect(cloud.levers.device("production", "twice").enabled).toBe(false);
    expect(cloud.levers.device("test", "twice").enabled).toBe(true);
  });
});

describe("where the cloud is", () => {
  it("is asked for when none is running, or too many, or when it does not answer", async () => {
    const own = mkdtempSync(join(temporary, "own-"));
    const enter = (name: string, url: string): void => {
      mkdirSync(join(own, name));
      writeFileSync(join(own, name, "admin-url"), `${url}\n`);
    };
    expect(await runAdminCommand(["fault", "list"], { temporary: own })).toMatchObject({
      code: 1,
      complaint: "no cloud is running here: npm run cloud starts one, --url tells of another\n",
    });
    enter("latebind-cloud-killed", "http://127.0.0.1:9");
    enter("latebind-cloud-running", cloud.adminUrl);
    mkdirSync(join(own, "latebind-cloud-starting"));
    expect(await runAdminCommand(["fault", "list"], { temporary: own })).toMatchObject({ code: 0 });
    await using other = await startCloud();
    enter("latebind-cloud-other", other.adminUrl);
    const { complaint } = await runAdminCommand(["fault", "list"], { temporary: own });
    expect(complaint).toContain("several clouds are running");
    expect(complaint).toContain(`--url ${other.adminUrl}`);
    const wrong = await runAdminCommand(["--url", "http://127.0.0.1:9", "fault", "list"], { temporary: own });
    expect(wrong).toMatchObject({ code: 1, complaint: "no cloud answers at http://127.0.0.1:9\n" });
  });
});

describe("the admin command", () => {
  it("enrolls, changes, moves, disables and forgets", async () => {
    const added = await succeed(
      "enrollment",
      "add",
      "gateway-1",
      "--hub",
      "test",
      "--json",
      '{"deviceId":"d-1"}',
    );
    expect(JSON.parse(added)).toMatchObject({ registrationId: "gateway-1", deviceId: "d-1", hub: "test" });
    const { certPem } = await createSelfSigned("gateway-2");
    const pem = join(temporary, "gateway-2.pem");
    writeFileSync(pem, certPem);
    await succeed("enrollment", "add", "gateway-2", "--certificate", `@${pem}`);
    await succeed("enrollment", "move", "gateway-1", "production");
    await succeed("enrollment", "disable", "gateway-2");
    await succeed("group", "add", "fleet", "--key", "ZXhhbXBsZSBrZXkgb2YgdGhlIGZsZWV0");
    expect(await succeed("enrollment", "list")).toBe(
      [
        "gateway-1  symmetricKey  enabled      static  production",
        "gateway-2  x509          not enabled  static  test",
        "",
      ].join("\n"),
    );
    expect(await succeed("groups", "list")).toBe("fleet  symmetricKey  enabled  static  test\n");
    await provision(cloud, "gateway-1", cloud.levers.enrollments.get("gateway-1").primaryKey);
    expect(await succeed("device", "list", "--hub", "production")).toContain("d-1");
    await succeed("registration", "forget", "gateway-1");
    await succeed("device", "delete", "d-1");
    await succeed("enrollment", "delete", "gateway-1");
    expect(cloud.levers.registrations()).toEqual([]);
    expect(cloud.levers.hub("production").has("d-1")).toBe(false);
    expect(cloud.levers.enrollments.find("gateway-1")).toBeUndefined();
  });

  it("calls, writes to, and cuts off a device", async () => {
    await using device = await connectNew(cloud, "gateway-3");
    await device.client.subscribeAsync(methodCalls, { qos: 1 });
    const call = succeed("method", "call", "gateway-3", "reboot", '{"after":5}');
    const { topic, body } = await device.next("$iothub/methods/POST/reboot/");
    expect(body).toBe('{"after":5}');
    const rid = /\$rid=(.+)$/.exec(topic)?.[1] ?? "";
    await device.client.publishAsync(`$iothub/methods/res/202/?$rid=${rid}`, '{"ok":true}', { qos: 1 });
    expect(JSON.parse(await call)).toEqual({ status: 202, payload: { ok: true } });

    await succeed("message", "send", "gateway-3", "hello", "--json", '{"messageId":"m-1"}');
    expect(cloud.levers.hub("test").messages.waiting("gateway-3")).toMatchObject([{ messageId: "m-1" }]);
    await runAdminCommand(
      ["twin", "patch", "gateway-3", "-"],
      { url: cloud.adminUrl, temporary },
      '{"desired":{"a":1}}',
    );
    expect(JSON.parse(await succeed("twin", "get", "gateway-3"))).toMatchObject({
      desired: { properties: { a: 1 }, version: 2 },
    });
    await succeed("device", "drop", "gateway-3");
    await device.closed;
  });

  it("cuts a line and takes it back", async () => {
    await succeed("line", "down", "production");
    expect(cloud.hub("production").isUp).toBe(false);
    await succeed("line", "up", "production");
    expect(cloud.hub("production").isUp).toBe(true);
  });

  it("adds faults from a file, lists and clears them", async () => {
    const rules = join(temporary, "faults.json");
    const rule = { when: { at: "packet", packet: "connect" }, do: { act: "connack", returnCode: 3 } };
    writeFileSync(rules, JSON.stringify([rule, { ...rule, endpoint: "dps" }]));
    expect(await succeed("faults", "add", `@${rules}`)).toContain(
      '2  dps  -  {"at":"packet","packet":"connect"}',
    );
    await succeed("faults", "remove", "1");
    expect(cloud.faults.list()).toMatchObject([{ id: 2 }]);
    await succeed("faults", "clear");
    expect(await succeed("faults", "list")).toBe("");
  });

  it("does by path what it has no word for", async () => {
    expect(JSON.parse(await succeed("call", "patch", "/pace", '{"assigningAnswers":2}'))).toMatchObject({
      assigningAnswers: 2,
    });
    expect(await succeed("info")).toContain(`ID scope  ${cloud.idScope}\ndps `);
  });

  it("follows events, each on a line in words, until the cloud ends", async () => {
    const own = await startCloud();
    own.levers.putDevice("test", "gateway-4", {});
    await own.levers.setLine("production", false);
    const child = startAdminCommand(["events", "--follow"], { url: own.adminUrl, temporary });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line.slice("12:04:05.060  ".length));
      if (lines.length === 1) await connectAndLeave(own);
      if (line.includes("disconnected")) await own[Symbol.asyncDispose]();
    }
    expect(lines).toEqual([
      "production   line is down",
      "test         gateway-4: connected, keep-alive 60 s, kept session",
      expect.stringMatching(/^test {9}gateway-4: disconnected: /),
    ]);
    expect(await exitCodeOf(child)).toBe(1);
  });
});

async function connectAndLeave(cloud: Cloud): Promise<void> {
  const info = cloud.levers.device("test", "gateway-4");
  const key = info.type === "sas" ? info.primaryKey : "";
  await using device = await connectToHub(cloud, "test", "gateway-4", key);
  await device.client.endAsync();
}

async function exitCodeOf(child: ReturnType<typeof startAdminCommand>): Promise<number | null> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (child.exitCode === null) child.once("exit", () => resolve());
  else resolve();
  await promise;
  return child.exitCode;
}
