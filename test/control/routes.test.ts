import { statSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { failureOf } from "../failure-of.ts";
import { ControlServer } from "./control-server.ts";

let server: ControlServer;

beforeEach(async () => {
  server = await ControlServer.open();
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

describe("what is asked wrongly", () => {
  test.each([
    ["GET /", 404],
    ["GET /v2/status", 404],
    ["GET /v1/status/", 404],
    ["GET /v1/programs/../../etc/passwd/reported", 404],
    ["PATCH /v1/programs/%2e%2e/reported", 404],
    ["PATCH /v1/programs/__proto__/reported", 404],
    ["PATCH /v1/programs/a.b/reported", 404],
    [`PATCH /v1/programs/${"x".repeat(65)}/reported`, 404],
    ["DELETE /v1/status", 405],
    ["__proto__ /v1/status", 400],
  ])("%s is answered %i", async (target, status) => {
    expect((await server.ask(target).catch(() => ({ status: 400 }))).status).toBe(status);
  });

  test.each([
    ["POST /v1/reprovision", { force: true }],
    ["POST /v1/restart", '{"__proto__":1}'],
    ["POST /v1/apply", "{half"],
    ["POST /v1/telemetry", {}],
    ["POST /v1/telemetry", { payload: 1, more: 1 }],
    ["POST /v1/telemetry", { payload: { a: 1 }, contentType: "text/plain" }],
    ["POST /v1/telemetry", { payload: 1, properties: { "$.mid": "7" } }],
    ["POST /v1/telemetry", { payload: 1, properties: { "iothub-app": "7" } }],
    ["POST /v1/telemetry", { payload: 1, properties: { "a\nb": "7" } }],
    ["POST /v1/telemetry", `{"payload":${"[".repeat(70)}${"]".repeat(70)}}`],
    ["PATCH /v1/programs/modem/reported", "[]"],
    ["PATCH /v1/programs/modem/reported", { "a.b": 1 }],
    ["PATCH /v1/programs/modem/reported", { a: { $version: 1 } }],
    ["PATCH /v1/programs/modem/reported", { a: 5e15 }],
    ["PATCH /v1/programs/modem/reported", { a: "x".repeat(4_097) }],
  ])("%s with %j is answered 400 and does nothing", async (target, body) => {
    const { status, json } = await server.ask(target, body);
    expect(status).toBe(400);
    expect(json).toHaveProperty("error");
    expect([server.told, server.restarts]).toEqual([[], []]);
    expect(server.agent.desk.programs.waiting + server.agent.desk.outbox.waiting).toBe(0);
  });

  test("a section that is too large or too deep for the hub is answered 413", async () => {
    const deep = JSON.parse(`${'{"a":'.repeat(9)}1${"}".repeat(9)}`) as unknown;
    const large = { a: "x".repeat(3_000), b: "x".repeat(3_000) };
    expect((await server.ask("PATCH /v1/programs/modem/reported", deep)).status).toBe(413);
    expect((await server.ask("PATCH /v1/programs/modem/reported", large)).status).toBe(413);
  });

  test("a patch that would make its section too large, with what is known and what waits, is answered 413", async () => {
    const half = "x".repeat(2_500);
    server.agent.desk.noteTwin({
      desired: { version: 1, properties: {} },
      reported: { programs: { modem: { known: half } } },
    });
    const ask = async (body: unknown) => (await server.ask("PATCH /v1/programs/modem/reported", body)).status;
    expect(await ask({ more: half })).toBe(413);
    expect(await ask({ known: null, more: half })).toBe(202);
    expect(await ask({ again: half })).toBe(413);
    expect(await ask({ more: null, again: half })).toBe(202);
  });

  test("a section is no larger by what is taken away", async () => {
    const { desk } = server.agent;
    const patch = { a: Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`n${index}`, null])) };
    desk.noteTwin({
      desired: { version: 1, properties: {} },
      reported: {
        programs: { modem: { a: Object.fromEntries(Object.keys(patch.a).map((key) => [key, 1])) } },
      },
    });
    expect((await server.ask("PATCH /v1/programs/modem/reported", patch)).status).toBe(202);
  });

  test("seventeen programs that all wait are one too many, before the hub knows of any", async () => {
    for (let index = 0; index < 16; index += 1)
      expect((await server.ask(`PATCH /v1/programs/p${index}/reported`, { a: 1 })).status).toBe(202);
    expect((await server.ask("PATCH /v1/programs/p16/reported", { a: 1 })).status).toBe(409);
    expect((await server.ask("DELETE /v1/programs/p3/reported")).status).toBe(202);
    expect((await server.ask("PATCH /v1/programs/p16/reported", { a: 1 })).status).toBe(202);
  });

  test("a seventeenth program is answered 409", async () => {
    const programs = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`p${index}`, { a: 1 }]));
    server.agent.desk.noteTwin({ desired: { version: 1, properties: {} }, reported: { programs } });
    expect((await server.ask("PATCH /v1/programs/p16/reported", { a: 1 })).status).toBe(409);
    expect((await server.ask("PATCH /v1/programs/p15/reported", { a: 1 })).status).toBe(202);
  });

  test("more than can wait is answered 503", async () => {
    for (let index = 0; index < 64; index += 1) server.agent.desk.programs.put("modem", { index });
    expect((await server.ask("PATCH /v1/programs/modem/reported", { a: 1 })).status).toBe(503);
  });
});

test("before the first connection status and health say so, and the twin is not known", async () => {
  const { status, json } = await server.ask("GET /v1/status");
  expect(status).toBe(200);
  expect(json).toMatchObject({ isConnected: false, says: "starting: not connected yet", version: "1.2.3" });
  expect(await server.ask("GET /v1/health")).toMatchObject({ status: 503, json: { isHealthy: false } });
  expect(await server.ask("GET /v1/twin")).toMatchObject({ status: 503 });
  expect(await server.ask("GET /v1/programs/modem/reported")).toMatchObject({ status: 404 });
});

test("connected, everything there is to know is told", async () => {
  server.connect();
  expect((await server.ask("GET /v1/status")).json).toMatchObject({
    isConnected: true,
    desiredVersion: 4,
    hub: "h",
  });
  expect(await server.ask("GET /v1/health")).toMatchObject({ status: 200, json: { isHealthy: true } });
  expect((await server.ask("GET /v1/twin")).json).toEqual({
    desired: { version: 4, properties: { site: { a: 1 } } },
    reported: { programs: { modem: { on: true } } },
  });
  expect((await server.ask("GET /v1/programs/modem/reported")).json).toEqual({ on: true });
});

test("orders are given once they are answered, and say who gave them", async () => {
  expect(await server.ask("POST /v1/reprovision")).toMatchObject({ status: 202, json: { accepted: true } });
  expect(await server.ask("POST /v1/apply", {})).toMatchObject({ status: 202 });
  expect(await server.ask("POST /v1/restart", "null")).toMatchObject({ status: 202 });
  await expect.poll(() => server.restarts).toEqual(["a local program"]);
  expect(server.told).toEqual([
    { kind: "reprovision", because: "a local program" },
    { kind: "apply-now", because: "a local program" },
  ]);
});

test("what a program reports and sends waits for the hub", async () => {
  const { desk } = server.agent;
  expect(await server.ask("PATCH /v1/programs/modem/reported", { signal: -71, sim: null })).toMatchObject({
    status: 202,
  });
  expect(await server.ask("DELETE /v1/programs/camera/reported")).toMatchObject({ status: 202 });
  expect(desk.programs.wanted({ programs: { modem: { sim: 1 }, camera: { on: true } } })).toEqual({
    modem: { signal: -71 },
  });

  await server.ask("POST /v1/telemetry", { payload: { t: 21.5 }, properties: { colour: "red" } });
  await server.ask("POST /v1/telemetry", { payload: "a;b", contentType: "text/csv" });
  const signal = new AbortController().signal;
  const first = await desk.outbox.next(signal);
  expect(first).toEqual({
    body: '{"t":21.5}',
    contentType: "application/json",
    contentEncoding: "utf-8",
    properties: { colour: "red" },
  });
  desk.outbox.markSent(first);
  expect(await desk.outbox.next(signal)).toMatchObject({ body: "a;b", contentType: "text/csv" });
});

test("metrics are in Prometheus' text format, with labels that cannot break it", async () => {
  server.connect();
  server.agent.desk.counters.add("failures", { code: 'a"b\\c\nd' });
  const { text, headers } = await server.ask("GET /v1/metrics");
  expect(headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
  const line =
    /^(# (HELP [a-z_]+ .+|TYPE [a-z_]+ (counter|gauge))|[a-z_]+(\{[a-z]+="([^"\\\n]|\\.)*"\})? -?[0-9.e+]+)$/;
  expect(
    text
      .trimEnd()
      .split("\n")
      .filter((each) => !line.test(each)),
  ).toEqual([]);
  expect(text).toContain("latebind_connected 1\n");
  expect(text).toContain('latebind_failures_total{code="a\\"b\\\\c\\nd"} 1\n');
});

test("events are a stream: the sentence first and whenever it changes, and what is logged", async () => {
  const socket = await server.raw();
  socket.write("GET /v1/events HTTP/1.1\r\nHost: agent\r\n\r\n");
  const seen: unknown[] = [];
  const lines = createInterface({ input: socket });
  lines.on("line", (line) => {
    if (line.startsWith("{")) seen.push(JSON.parse(line));
  });
  await expect.poll(() => seen).toHaveLength(1);
  server.agent.log.notice("twin.applied", { property: "site" });
  server.connect();
  server.connect();
  await expect
    .poll(() => seen)
    .toEqual([
      { level: "notice", event: "agent.status", says: "starting: not connected yet" },
      { level: "notice", event: "twin.applied", property: "site" },
      { level: "notice", event: "agent.status", says: "connected to h as d; desired version 4 applied" },
    ]);
  socket.destroy();
  await once(socket, "close");
});

describe("the socket", () => {
  test("is open to owner and group and nobody else", () => {
    const stat = statSync(server.path);
    expect(stat.isSocket()).toBe(true);
    expect(stat.mode & 0o777).toBe(0o660);
  });

  test("that a running agent listens on is not taken from it", async () => {
    expect(await failureOf(server.start())).toMatchObject({
      code: "control/socket-in-use",
      remedy: "operator",
    });
    expect((await server.ask("GET /v1/status")).status).toBe(200);
  });

  test("is not made in place of something else", async () => {
    await using other = new ControlServer();
    writeFileSync(other.path, "mine");
    expect(await failureOf(other.start())).toMatchObject({ code: "control/socket-failed" });
  });
});
