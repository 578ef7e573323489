import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { within } from "../../src/platform/abort.ts";
import { openStore } from "../../src/platform/store.ts";
import { parseAssignments } from "../../src/provisioning/stored-assignments.ts";
import type { Cloud } from "../cloud/cloud.ts";
import { RecordingLog } from "../platform/recording-log.ts";
import { AgentProcess } from "./agent-process.ts";
import { Gateway } from "./gateway.ts";

const counting = join(import.meta.dirname, "process-counting-steps.ts");
const never = new AbortController().signal;

/** Far more than a start takes, on a machine that is busy with other tests. */
const patienceMs = 60_000;

/** A device whose home alternates between two hubs. */
export class Mover implements AsyncDisposable {
  readonly gateway: Gateway;
  readonly #cloud: Cloud;
  readonly #program: string;
  #hub: "test" | "production" = "test";
  #moves = 0;

  /** @param program the bundle to run. */
  constructor(cloud: Cloud, program: string) {
    this.#cloud = cloud;
    this.#program = program;
    this.gateway = new Gateway(cloud, { more: 'command = ["/bin/true"]' });
  }

  async settle(): Promise<void> {
    const { registrationId, key: primaryKey } = this.gateway;
    const initialTwin = { desired: { site: { move: 0 } } };
    this.#cloud.levers.enrollments.put({ registrationId, primaryKey, hub: "test", initialTwin });
    await this.gateway.start();
    await this.gateway.connected();
    await this.gateway.stop();
  }

  /** Moves the enrollment, runs the agent until it is killed at the step, and starts it again. */
  async moveKilledAt(killAt: number): Promise<"killed" | "arrived"> {
    this.#startNewDay();
    const from = this.#hub;
    this.#hub = from === "test" ? "production" : "test";
    this.#moves += 1;
    const { registrationId } = this.gateway;
    const site = { move: this.#moves };
    this.#cloud.levers.enrollments.change(registrationId, {
      hub: this.#hub,
      initialTwin: { desired: { site } },
    });
    this.#cloud.levers.deleteDevice(from, registrationId);

    const outcome = await this.#runKilledAt(killAt);
    this.#assertNothingIsLost(from);
    await this.#arrives(site);
    return outcome;
  }

  /** A device that moves every second has soon spent what a day allows of calls to DPS. */
  #startNewDay(): void {
    for (const slot of ["a", "b"])
      rmSync(join(this.gateway.stateDirectory, `history.${slot}.json`), { force: true });
  }

  async #runKilledAt(killAt: number): Promise<"killed" | "arrived"> {
    const environment = {
      NODE_OPTIONS: `--import=${counting}`,
      HURRY: "50",
      KILL_AT: String(killAt),
      STEPS_FILE: this.stepsFile,
    };
    await using agent = new AgentProcess(this.gateway, environment, { program: this.#program });
    const killed = agent.exited.then(({ signal }) => {
      // By its own hand, and not by a bug.
      assert.equal(signal, "SIGKILL");
      return "killed" as const;
    });
    const arrived = agent.logged("report.accepted").then(
      () => "arrived" as const,
      async () => killed,
    );
    return await within(
      patienceMs,
      () => new Error(`neither killed nor at home:\n${agent.output}`),
      Promise.race([killed, arrived]),
      never,
    );
  }

  get stepsFile(): string {
    return join(this.gateway.folder, "steps");
  }

  /** After the kill there is an assignment on the disk: the one of old, or the new one. */
  #assertNothingIsLost(from: string): void {
    const recording = new RecordingLog();
    const stored = openStore(
      this.gateway.stateDirectory,
      "assignment",
      parseAssignments,
      recording.log,
    ).read();
    const hubs = [this.#cloud.hub(from).host, this.#cloud.hub(this.#hub).host];
    assert.ok(hubs.includes(stored?.current?.hub ?? ""), "an assignment is on the disk");
    assert.deepEqual(recording.names(), []);
  }

  /** Connected where the device belongs, with the twin in force and open to changes. */
  async #arrives(site: Readonly<Record<string, unknown>>): Promise<void> {
    const environment = { NODE_OPTIONS: `--import=${counting}`, HURRY: "50" };
    await using agent = new AgentProcess(this.gateway, environment, { program: this.#program });
    await within(
      patienceMs,
      () => new Error(`it does not come home:\n${agent.output}`),
      this.#converges(agent, site),
      never,
    );
  }

  async #converges(agent: AgentProcess, site: Readonly<Record<string, unknown>>): Promise<void> {
    await agent.logged("twin.fetched");
    const connected = agent.lines.findLast(({ event }) => event === "hub.connected");
    assert.equal(connected?.["hub"], this.#cloud.hub(this.#hub).host);
    const wanted = { ...site, afterwards: true };
    this.#cloud.levers.patchTwin(this.#hub, this.gateway.registrationId, { desired: { site: wanted } });
    for (let count = 1; !isDeepStrictEqual(this.#site(), wanted); count += 1)
      await agent.logged("twin.applied", count);
    assert.deepEqual(
      agent.lines.filter(({ event }) => /damaged|unreadable|agent\.bug/.test(event)),
      [],
    );
  }

  #site(): unknown {
    return existsSync(this.gateway.siteFile) ? this.gateway.site() : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway[Symbol.asyncDispose]();
  }
}
