import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { askAgent } from "../../src/control/ask-agent.ts";
import { AgentProcess } from "../agent/agent-process.ts";
import { Gateway } from "../agent/gateway.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { terminal } from "../cli/terminal.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

interface Place {
  readonly directory: string;
  readonly path: string;
}

function placeOf(gateway: Gateway): Place {
  const directory = join(gateway.folder, "run");
  mkdirSync(directory);
  return { directory, path: join(directory, "control.sock") };
}

function enrolled(): Gateway {
  const gateway = new Gateway(cloud);
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    hub: "test",
  });
  return gateway;
}

async function opened(path: string): Promise<void> {
  await expect
    .poll(() => statSync(path, { throwIfNoEntry: false })?.isSocket(), { timeout: 5_000 })
    .toBe(true);
}

test("an agent without a network can be asked all the same", async () => {
  await using gateway = enrolled();
  const { directory, path } = placeOf(gateway);
  gateway.writeConfig({ idScope: "0ne00000000" });
  await using agent = new AgentProcess(gateway, { RUNTIME_DIRECTORY: directory });
  await agent.logged("provisioning.failed");
  await opened(path);
  const { code, stdout } = await terminal(["status"], { env: { RUNTIME_DIRECTORY: directory } });
  expect(code).toBe(1);
  expect(stdout).toMatch(/^not connected: .*\[provisioning\/not-accepted\]/);
});

test("a restart ends the process in order with 75: the hub hears goodbye, the socket is gone", async () => {
  await using gateway = enrolled();
  const { directory, path } = placeOf(gateway);
  await using agent = new AgentProcess(gateway, { RUNTIME_DIRECTORY: directory });
  await agent.logged("report.accepted");
  await opened(path);
  expect(await askAgent(path, "POST /v1/restart")).toMatchObject({ status: 202 });
  expect(await agent.exited).toEqual({ code: 75, signal: null });
  expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
  expect(agent.lines.map(({ event }) => event).slice(-2)).toEqual(["agent.restarting", "agent.stopped"]);
});

test("a reader of events does not keep the agent from ending, and a killed agent's socket is replaced", async () => {
  await using gateway = enrolled();
  const { directory, path } = placeOf(gateway);
  {
    await using killed = new AgentProcess(gateway, { RUNTIME_DIRECTORY: directory });
    await killed.logged("report.accepted");
    await opened(path);
    killed.kill("SIGKILL");
    await killed.exited;
  }
  expect(statSync(path).isSocket()).toBe(true);
  await using agent = new AgentProcess(gateway, { RUNTIME_DIRECTORY: directory });
  await agent.logged("control.opened");
  const reading = askAgent(path, "GET /v1/events").catch((error: unknown) => error);
  expect(await askAgent(path, "GET /v1/health")).toMatchObject({ status: 200 });
  agent.kill("SIGTERM");
  expect(await agent.exited).toEqual({ code: 0, signal: null });
  await reading;
});
