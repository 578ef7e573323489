import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStore } from "../../src/platform/store.ts";
import { parseAssignments } from "../../src/provisioning/stored-assignments.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { SoftTpm } from "../identity/soft-tpm.ts";
import { TpmTap } from "../identity/tpm-tap.ts";
import { RecordingLog } from "../platform/recording-log.ts";
import { AgentProcess } from "./agent-process.ts";
import { Gateway } from "./gateway.ts";
import { enrollTpm, hurried } from "./tpm-device.ts";

/*
 * A device that is registered at one hub registers anew, for another one, and is killed in the middle of it. The next start has no
 * DPS to ask: what is on the disk and in the TPM has to do.
 */
let soft: SoftTpm;
let tap: TpmTap;
let cloud: Cloud;
let gateway: Gateway;
let registrationId: string;

beforeAll(async () => {
  soft = await SoftTpm.start();
  tap = await TpmTap.start(soft);
  cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
  registrationId = await enrollTpm(cloud, soft);
  gateway = new Gateway(cloud, {
    tpm: { tcti: tap.tcti, workDirectory: soft.workDirectory },
    clock: hurried,
  });
  await gateway.start();
  await gateway.connected();
  await gateway.stop();
  await ageAssignment();
  cpSync(gateway.stateDirectory, join(gateway.folder, "before"), { recursive: true });
  cloud.levers.moveEnrollment(registrationId, "production");
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await cloud[Symbol.asyncDispose]();
  await tap[Symbol.asyncDispose]();
  await soft[Symbol.asyncDispose]();
});

/** As if DPS had another name when it was asked: that makes the next start ask it again. */
async function ageAssignment(): Promise<void> {
  const store = openStore(gateway.stateDirectory, "assignment", parseAssignments, new RecordingLog().log);
  const current = store.read()?.current;
  if (current === undefined) throw new Error("the device was not registered");
  await store.write({ current: { ...current, madeFrom: { ...current.madeFrom, endpoint: "dps.before" } } });
}

interface Step {
  readonly name: string;
  /** The TPM's command that comes then, and which of its kind it is. */
  readonly command?: readonly [name: string, count: number];
  /** Or the line of the log. */
  readonly event?: string;
  /** The hub that the device reaches after it. */
  readonly hub: "test" | "production" | "either";
}

const steps: readonly Step[] = [
  { name: "it looks who its TPM is", command: ["ReadPublic", 1], hub: "test" },
  { name: "it has the challenge and begins a session", command: ["StartAuthSession", 1], hub: "test" },
  { name: "it satisfies the policy of the endorsement key", command: ["PolicySecret", 1], hub: "test" },
  { name: "it activates the challenge", command: ["ActivateCredential", 1], hub: "test" },
  { name: "it imports the key of the challenge", command: ["Import", 1], hub: "test" },
  { name: "it loads the key of the challenge", command: ["Load", 1], hub: "test" },
  { name: "it signs for DPS", command: ["HMAC", 1], hub: "test" },
  { name: "it has the hub's key and satisfies the policy again", command: ["PolicySecret", 2], hub: "test" },
  { name: "it activates the hub's key", command: ["ActivateCredential", 2], hub: "test" },
  { name: "it imports the hub's key", command: ["Import", 2], hub: "test" },
  { name: "it loads the hub's key", command: ["Load", 2], hub: "test" },
  { name: "it proves the hub's key", command: ["HMAC", 2], hub: "test" },
  { name: "it stores the new assignment", event: "provisioning.assigned", hub: "either" },
  { name: "it has stored the new assignment", command: ["Load", 3], hub: "production" },
  { name: "it signs for the new hub", command: ["HMAC", 3], hub: "production" },
  { name: "the new hub has accepted it", event: "hub.connected", hub: "production" },
  { name: "it has dropped the old assignment", event: "twin.fetched", hub: "production" },
];

/** Lets the agent register for another hub, and kills it at a step. */
async function killAt({ command, event }: Step): Promise<void> {
  await using agent = new AgentProcess(gateway, { RUNTIME_DIRECTORY: soft.workDirectory });
  tap.reset();
  tap.onCommand = (name, count) => {
    if (name === command?.[0] && count === command[1]) agent.kill("SIGKILL");
  };
  if (event !== undefined) {
    await agent.logged(event);
    agent.kill("SIGKILL");
  }
  expect((await agent.exited).signal).toBe("SIGKILL");
  tap.onCommand = () => {};
}

test.each(steps)("killed when $name, the device reaches its hub at the next start", async (step) => {
  await cloud.levers.setLine("dps", true);
  // DPS that has forgotten the device leaves it where it is, and makes it another key for the other hub.
  if (cloud.levers.registrations().length > 0) cloud.levers.forgetRegistration(registrationId);
  rmSync(gateway.stateDirectory, { recursive: true });
  cpSync(join(gateway.folder, "before"), gateway.stateDirectory, { recursive: true });

  await killAt(step);

  await cloud.levers.setLine("dps", false);
  gateway.health.length = 0;
  await gateway.start();
  await gateway.connected();
  const hosts = step.hub === "either" ? ["test", "production"] : [step.hub];
  const connected = gateway.health.at(-1);
  expect(hosts.map((name) => cloud.hub(name).host)).toContain(
    connected?.at === "connected" ? connected.hub : undefined,
  );
  await gateway.stop();
  for (const kind of ["transient", "loaded-session", "saved-session"])
    expect(await soft.handles(kind)).toEqual([]);
  expect(await soft.handles("persistent")).toEqual(["0x81000001", "0x81010001"]);
  expect(soft.leftovers()).toEqual([]);
});
