import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as v from "valibot";
import type { ControlledAgent } from "../../src/control/controlled-agent.ts";
import { routes } from "../../src/control/routes.ts";
import { serverLimits } from "../../src/control/server-limits.ts";
import { ControlServer, type Answer } from "./control-server.ts";

const file = join(import.meta.dirname, "../../src/control/openapi.json");
const methods = ["get", "post", "patch", "delete"] as const;
const content = v.record(v.string(), v.object({ schema: v.record(v.string(), v.unknown()) }));
const operation = v.object({ responses: v.record(v.string(), v.object({ content })) });
const description = v.object({
  paths: v.record(
    v.string(),
    v.partial(v.object({ get: operation, post: operation, patch: operation, delete: operation })),
  ),
  components: v.object({ schemas: v.record(v.string(), v.unknown()) }),
});

const text: unknown = JSON.parse(readFileSync(file, "utf8"));
const document = v.parse(description, text);
const ajv = new Ajv2020({ strict: false });
for (const [name, schema] of Object.entries(document.components.schemas))
  if (typeof schema === "object" && schema !== null) ajv.addSchema(schema, `#/components/schemas/${name}`);

/** `GET /v1/status 200`, for all that the file describes. */
const described = Object.entries(document.paths).flatMap(([path, operations]) =>
  methods.flatMap((method) =>
    Object.keys(operations[method]?.responses ?? {})
      .filter((status) => status !== "default")
      .map((status) => `${method.toUpperCase()} ${path} ${status}`),
  ),
);
const seen = new Set<string>();
let server: ControlServer;

beforeAll(async () => {
  server = await ControlServer.open();
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

test("the description is a valid one of OpenAPI 3.1", async () => {
  const validator = new Validator();
  const result = await validator.validate(file);
  expect(result).toMatchObject({ valid: true });
  expect(validator.version).toBe("3.1");
});

/** Holds an answer to what the file says of it. */
function check(target: string, { status, headers, text: said, json }: Answer): void {
  const [method = "", path = ""] = target.split(" ");
  const responses =
    document.paths[path]?.[methods.find((one) => one.toUpperCase() === method) ?? "get"]?.responses;
  const response =
    responses?.[status] ?? (status === 500 || status === 405 ? responses?.["default"] : undefined);
  const name = `${target} ${status}`;
  if (response === undefined) throw new Error(`not described: ${name}`);
  const type = String(headers["content-type"]).split(";")[0] ?? "";
  const schema = response.content[type]?.schema;
  if (schema === undefined) throw new Error(`${name}: ${type} is not described`);
  const isValid = ajv.validate(schema, type === "application/json" ? json : said);
  expect(isValid, `${name}: ${ajv.errorsText()} ${said}`).toBe(true);
  if (responses !== undefined && status in responses) seen.add(name);
}

const section = "/v1/programs/{program}/reported";
const at = (path: string) => path.replace("{program}", "modem");

async function ask(target: string, body?: unknown): Promise<void> {
  check(target, await server.ask(at(target), body));
}

test("every answer that there is, is described, and every answer that is described, there is", async () => {
  for (const path of ["/v1/status", "/v1/health", "/v1/twin", "/v1/metrics", section])
    await ask(`GET ${path}`);
  server.agent.desk.noteHealth({
    at: "waiting",
    forMs: 1,
    untilMs: 1e12,
    next: "ask DPS",
    error: { code: "mqtt/unreachable", message: "no line" },
  });
  await ask("GET /v1/status");
  server.connect();
  for (const path of ["/v1/status", "/v1/health", "/v1/twin", section]) await ask(`GET ${path}`);
  for (const path of ["/v1/reprovision", "/v1/apply", "/v1/restart"]) {
    await ask(`POST ${path}`);
    await ask(`POST ${path}`, { now: true });
    await ask(`POST ${path}`, "x".repeat(serverLimits.bodyBytes + 1));
  }
  await ask("GET /v1/explain");
  check("GET /v1/explain", await server.ask("GET /v1/explain?last=0"));
  check("GET /v1/explain", await server.ask("GET /v1/explain?last=3"));
  await ask("POST /v1/telemetry", { payload: 1, properties: { a: "b" } });
  await ask("POST /v1/telemetry", {});
  await ask("POST /v1/telemetry", "x".repeat(serverLimits.bodyBytes + 1));
  await ask(`PATCH ${section}`, { a: 1 });
  await ask(`PATCH ${section}`, { "a.b": 1 });
  await ask(`PATCH ${section}`, { a: "x".repeat(3_000), b: "x".repeat(3_000) });
  await ask(`DELETE ${section}`);
  const programs = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`p${index}`, { a: 1 }]));
  server.agent.desk.noteTwin({ desired: { version: 1, properties: {} }, reported: { programs } });
  await ask(`PATCH ${section}`, { a: 1 });
  for (let index = 0; index < 64; index += 1) server.agent.desk.programs.put("modem", { index });
  server.connect();
  await ask(`PATCH ${section}`, { a: 1 });
  await ask(`DELETE ${section}`);
  await eventsAnswer();
  await floodAnswers();
  await faultAnswers();
  expect([...seen].toSorted()).toEqual(described.toSorted());
});

test("every path of the server is described", () => {
  const undescribed = routes.filter(
    ({ path }) => !Object.keys(document.paths).some((each) => path.test(at(each))),
  );
  expect(undescribed).toEqual([]);
  for (const { path, methods: handlers } of routes) {
    const [, operations = {}] = Object.entries(document.paths).find(([each]) => path.test(at(each))) ?? [];
    expect(
      methods
        .filter((method) => method in operations)
        .map((method) => method.toUpperCase())
        .toSorted(),
    ).toEqual(Object.keys(handlers).toSorted());
  }
});

/** Its end does not come by itself. */
async function eventsAnswer(): Promise<void> {
  const socket = await server.raw();
  socket.write("GET /v1/events HTTP/1.1\r\nHost: agent\r\n\r\n");
  const head = await new Promise<string>((resolve) => {
    socket.setEncoding("utf8").once("data", (data: string) => resolve(data));
  });
  socket.destroy();
  expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(head).toMatch(/content-type: application\/x-ndjson\r\n/);
  seen.add("GET /v1/events 200");
}

/** Each path as the one request too many of a connection. */
async function floodAnswers(): Promise<void> {
  for (const target of described.filter((each) => each.endsWith(" 429")).map((each) => each.slice(0, -4))) {
    const socket = await server.raw();
    socket.write("GET /v1/none HTTP/1.1\r\nHost: agent\r\n\r\n".repeat(serverLimits.burst));
    const [method = "", path = ""] = target.split(" ");
    socket.write(`${method} ${at(path)} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n`);
    let said = "";
    for await (const chunk of socket.setEncoding("utf8")) said += String(chunk);
    const answer = said.slice(said.lastIndexOf("HTTP/1.1 "));
    const [head = "", body = ""] = answer.split("\r\n\r\n");
    expect(head).toMatch(/retry-after: 1/);
    const status = Number(head.split(" ")[1]);
    check(target, {
      status,
      headers: { "content-type": "application/json" },
      text: body,
      json: JSON.parse(body),
    });
  }
}

/** An agent with a fault in it, where requests look at it. */
async function faultAnswers(): Promise<void> {
  const { agent } = server;
  const broken: ControlledAgent = {
    ...agent,
    get version(): string {
      throw new Error("a fault");
    },
  };
  await using faulty = await ControlServer.open(broken);
  for (const path of ["/v1/status", "/v1/health", "/v1/metrics", "/v1/events"]) {
    const answer = await faulty.ask(`GET ${path}`);
    expect(answer.status).toBe(500);
    check(`GET ${path}`, answer);
    check(`GET ${path}`, await faulty.ask(`PUT ${path}`));
  }
  expect((await faulty.ask("GET /v1/twin")).status).toBe(200);
}
