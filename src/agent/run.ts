import { backoff } from "../platform/backoff.ts";
import { AgentError } from "../platform/failure.ts";
import { aboutIdentity } from "./about-identity.ts";
import { alongside } from "./alongside.ts";
import { announce } from "./announce.ts";
import { countFailure, type Counting } from "./count-failure.ts";
import { Device } from "./device.ts";
import { guardChanges } from "./guard-changes.ts";
import { afterAccepted, afterAssigned, afterIdentified, afterProof, afterSession } from "./history.ts";
import { identify } from "./identify.ts";
import { inputsAnsweredBy } from "./heeded-inputs.ts";
import { wantsProof } from "./judge.ts";
import { ladders } from "./ladders.ts";
import { Memory } from "./memory.ts";
import type { Parts } from "./parts.ts";
import { pause, rest } from "./pause.ts";
import type { Online, Phase, Provisioning } from "./phase.ts";
import { recover, resume, type Decision, type Moment } from "./recover.ts";
import { serve } from "./serve.ts";

/** Longest time that one step may take without a sign of life: DPS may be "assigning" for 15 minutes. */
const longestStepMs = 20 * 60_000;

/** A machine that runs for longer than this did not come back with its whole region. */
const bootedRecentlyMs = 3 * 60_000;

/**
 * The journey: one step after the other, for ever. A step ends with the next phase or with an AgentError, and `recover` says
 * what follows.
 * @param signal ends the journey; its reason is thrown.
 * @throws anything that is not an AgentError: a bug.
 */
export async function run(parts: Parts, signal: AbortSignal): Promise<never> {
  const device = new Device(parts);
  const journey = new Journey(parts, device);
  parts.journal.write({ kind: "started", version: parts.version });
  try {
    return await alongside(
      signal,
      async (either) => {
        for (;;) await journey.advance(either);
      },
      async (either) => guardChanges(device, parts, either),
    );
  } finally {
    await journey.end();
  }
}

class Journey {
  readonly #parts: Parts;
  readonly #device: Device;
  readonly #memory: Memory;
  #phase: Phase = { at: "identifying" };
  #isRestored = false;
  #isReady = false;
  #isRenewing = false;

  constructor(parts: Parts, device: Device) {
    this.#parts = parts;
    this.#device = device;
    this.#memory = new Memory(parts.history, parts.clock);
  }

  async end(): Promise<void> {
    await this.#memory.save();
  }

  /** One step, and the wait that follows where it failed. */
  async advance(signal: AbortSignal): Promise<void> {
    const { inputs, expectProgress } = this.#parts;
    const phase = this.#phase;
    expectProgress(longestStepMs);
    this.#parts.clockWatch.look();
    // A step that begins now finds the world as it is now.
    inputs.forget(inputsAnsweredBy(phase));
    try {
      this.#phase = await this.#step(phase, signal);
      await this.#memory.save();
    } catch (failure) {
      signal.throwIfAborted();
      const error = await this.#judgeByClock(failure, phase, signal);
      if (!(error instanceof AgentError)) throw error;
      this.#phase = await this.#failed(phase, error, signal);
    }
  }

  /** A wrong clock makes services and certificates look bad. */
  async #judgeByClock(failure: unknown, phase: Phase, signal: AbortSignal): Promise<unknown> {
    // Not needed by a start that meets no trouble.
    const { withClockDoubt } = await import("./clock-doubt.ts");
    return withClockDoubt(failure, phase, this.#parts, signal);
  }

  async #step(phase: Phase, signal: AbortSignal): Promise<Phase> {
    switch (phase.at) {
      case "identifying":
        return this.#identify(phase, signal);
      case "provisioning":
        return this.#provision(phase, signal);
      case "online":
        return this.#serve(phase, signal);
    }
  }

  async #failed(phase: Phase, thrown: AgentError, signal: AbortSignal): Promise<Phase> {
    const counting: Counting = this.#moment();
    const { history: counted, error } = countFailure(this.#memory.history, phase, thrown, counting);
    const history = wantsProof(phase, error, counted, counting.nowMs)
      ? afterProof(counted, await this.#parts.canReachDps(signal), counting.nowMs)
      : counted;
    // A credential that changed under way starts the journey anew; everything else is for `recover`.
    const decision: Decision =
      error.remedy === "reidentify"
        ? { next: { at: "identifying" }, delayMs: 0, history }
        : recover(phase, error, history, this.#moment());
    this.#memory.history = decision.history;
    await this.#memory.save();
    announce(phase, error, decision, this.#parts);
    return pause(decision, error, this.#parts, signal);
  }

  async #identify(phase: Extract<Phase, { at: "identifying" }>, signal: AbortSignal): Promise<Phase> {
    this.#parts.onHealth({ at: "identifying" });
    if (!this.#isRestored) {
      // Without network, time or key: what was wanted last stays in force.
      await this.#device.restore(signal);
      this.#isRestored = true;
    }
    const next = await identify(phase, this.#parts, signal);
    const about = aboutIdentity(next, this.#parts.config);
    const { history } = this.#memory;
    this.#memory.history = afterIdentified(history, about);
    const isChanged = history.about !== undefined && history.about !== about;
    const resumed = resume(next, this.#memory.history, this.#moment(), isChanged);
    if (!this.#isReady) {
      this.#isReady = true;
      this.#parts.onReady();
      await this.#spread(resumed.next, signal);
    }
    if (resumed.delayMs === 0) return resumed.next;
    const lastCode = this.#memory.history.dps.streak?.code;
    this.#parts.onHealth({
      at: "holding",
      untilMs: this.#parts.clock.now() + resumed.delayMs,
      ...(lastCode !== undefined && { lastCode }),
    });
    return rest(resumed, this.#parts, signal);
  }

  /** After a power cut to a region all its machines boot in the same second; a machine that only restarts us waits for nobody. */
  async #spread(next: Phase, signal: AbortSignal): Promise<void> {
    const { config, uptimeMs, random, clock } = this.#parts;
    if (next.at !== "online" || uptimeMs() > bootedRecentlyMs) return;
    const spreadMs = Math.round(config.hub.startSpreadMs * random());
    if (spreadMs > 0) await clock.sleep(spreadMs, signal);
  }

  async #provision(phase: Provisioning, signal: AbortSignal): Promise<Phase> {
    const { random, config, log, journal, onHealth, inputs } = this.#parts;
    const { endpoint } = config.provisioning;
    const { because } = phase;
    onHealth({ at: "registering", endpoint, because });
    log.notice("provisioning.started", { endpoint, because });
    journal.write({ kind: "asked-dps", endpoint, because });
    // Not needed by a start that knows its hub.
    const { provision } = await import("./provision.ts");
    const next = await provision(phase, this.#parts, signal);
    // A wish that came during the conversation is fulfilled by it.
    inputs.forget(["reprovision"]);
    const nowMs = this.#memory.now();
    const { history } = this.#memory;
    const nextAskMs = nowMs + backoff(ladders.sameAnswer, history.dps.answers + 1, random);
    this.#memory.history = afterAssigned(history, next.assignment.hub, nowMs, nextAskMs);
    return next;
  }

  async #serve(phase: Online, signal: AbortSignal): Promise<Phase> {
    const { onHealth, clock, log, journal } = this.#parts;
    const { hub, deviceId } = phase.assignment;
    onHealth({ at: "connecting", hub });
    // Routine, some thirty times a day, is not worth a line on flash.
    const isRenewal = this.#isRenewing;
    this.#isRenewing = false;
    let acceptedAt: number | undefined;
    const onAccepted = async (isFallback: boolean) => {
      acceptedAt = clock.monotonic();
      if (!isRenewal) journal.write({ kind: "connected", hub, deviceId });
      this.#parts.clockWatch.calm();
      this.#memory.history = afterAccepted(this.#memory.history, hub, isFallback);
      await this.#memory.save();
    };
    const now = () => this.#memory.now();
    let wasCut = false;
    try {
      const serving = { phase, parts: this.#parts, device: this.#device, onAccepted, now };
      const ended = await serve(serving, signal);
      log.info("hub.left", { because: ended.because });
      this.#isRenewing = ended.because === "token renewal";
      if (!this.#isRenewing) journal.write({ kind: "left", hub, because: ended.because });
      if (ended.afterMs !== undefined) await clock.sleep(ended.afterMs, signal);
      return ended.next;
    } catch (error) {
      wasCut = error instanceof AgentError && error.code === "mqtt/connection-lost";
      throw error;
    } finally {
      if (acceptedAt !== undefined) {
        const heldForMs = clock.monotonic() - acceptedAt;
        this.#memory.history = afterSession(this.#memory.history, hub, { heldForMs, wasCut }, now());
      }
    }
  }

  #moment(): Moment {
    const { config, random } = this.#parts;
    return { nowMs: this.#memory.now(), refusalRetryMs: config.hub.refusalRetryMs, random };
  }
}
