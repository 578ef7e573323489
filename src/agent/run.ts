import { AgentError } from "../platform/failure.ts";
import { alongside } from "./alongside.ts";
import { askDpsNow } from "./ask-dps-now.ts";
import { Device } from "./device.ts";
import { guardChanges } from "./guard-changes.ts";
import {
  afterAccepted,
  afterAssigned,
  afterFailure,
  afterIdentified,
  afterSession,
  blankHistory,
  type History,
} from "./history.ts";
import { identify } from "./identify.ts";
import type { InputKind } from "./inputs.ts";
import type { Parts } from "./parts.ts";
import type { Phase } from "./phase.ts";
import { recover, type Decision } from "./recover.ts";
import { serve } from "./serve.ts";

/** Longest time that one step may take without a sign of life: DPS may be "assigning" for 15 minutes. */
const longestStepMs = 20 * 60_000;

/** What is added to a wait before the watchdog may bite. */
const graceMs = 60_000;

/**
 * The journey: one step after the other, for ever. A step ends with the next phase or with an AgentError, and `recover` says
 * what follows.
 * @param signal ends the journey; its reason is thrown.
 * @throws anything that is not an AgentError: a bug.
 */
export async function run(parts: Parts, signal: AbortSignal): Promise<never> {
  const device = new Device(parts);
  const journey = new Journey(parts, device);
  return alongside(
    signal,
    async (either) => {
      for (;;) await journey.advance(either);
    },
    async (either) => guardChanges(device, parts, either),
  );
}

class Journey {
  readonly #parts: Parts;
  readonly #device: Device;
  #phase: Phase = { at: "identifying" };
  #history: History = blankHistory;
  #isRestored = false;
  #isReady = false;

  constructor(parts: Parts, device: Device) {
    this.#parts = parts;
    this.#device = device;
  }

  /** One step, and the wait that follows where it failed. */
  async advance(signal: AbortSignal): Promise<void> {
    const { inputs, expectProgress } = this.#parts;
    const phase = this.#phase;
    expectProgress(longestStepMs);
    this.#parts.clockWatch.look();
    // A step that begins now finds the world as it is now.
    inputs.forget(answeredBy(phase));
    try {
      this.#phase = await this.#step(phase, signal);
    } catch (failure) {
      signal.throwIfAborted();
      const error = await this.#judgeByClock(failure, phase, signal);
      if (!(error instanceof AgentError)) throw error;
      this.#history = afterFailure(this.#history, phase.at, error);
      const { next, delayMs } = this.#decide(phase, error);
      this.#announce(phase, error, { next, delayMs });
      this.#phase = await this.#pause(next, delayMs, error, signal);
    }
  }

  /** Waits for the time that was decided, or for an input; another way out leads nowhere past the service's own wish. */
  async #pause(next: Phase, delayMs: number, error: AgentError, signal: AbortSignal): Promise<Phase> {
    const { inputs, clock, expectProgress, log } = this.#parts;
    const floor = clock.monotonic() + (error.retryAfterMs ?? 0);
    expectProgress(delayMs + graceMs);
    const input = await inputs.within(delayMs, heededAfter(error), signal);
    if (input === undefined) return next;
    log.notice("agent.woken", { by: input.kind, because: input.because });
    switch (input.kind) {
      case "restart":
        return { at: "identifying" };
      case "reprovision":
        return askDpsNow(next, input.because);
      case "credential-changed":
      case "clock-changed":
      case "network-changed":
      case "resumed":
      case "apply-now":
        await this.#rest(floor, signal);
        return next;
    }
  }

  async #rest(until: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const leftMs = until - clock.monotonic();
    if (leftMs > 0) await clock.sleep(leftMs, signal);
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

  async #identify(phase: Extract<Phase, { at: "identifying" }>, signal: AbortSignal): Promise<Phase> {
    this.#parts.onHealth({ at: "identifying" });
    if (!this.#isRestored) {
      // Without network, time or key: what was wanted last stays in force.
      await this.#device.restore(signal);
      this.#isRestored = true;
    }
    const next = await identify(phase, this.#parts, signal);
    this.#history = afterIdentified(this.#history);
    if (!this.#isReady) {
      this.#isReady = true;
      this.#parts.onReady();
    }
    return next;
  }

  async #provision(phase: Extract<Phase, { at: "provisioning" }>, signal: AbortSignal): Promise<Phase> {
    const { endpoint } = this.#parts.config.provisioning;
    const { because } = phase;
    this.#parts.onHealth({ at: "registering", endpoint, because });
    this.#parts.log.notice("provisioning.started", { endpoint, because });
    // Not needed by a start that knows its hub.
    const { provision } = await import("./provision.ts");
    const next = await provision(phase, this.#parts, signal);
    this.#history = afterAssigned(this.#history);
    return next;
  }

  async #serve(phase: Extract<Phase, { at: "online" }>, signal: AbortSignal): Promise<Phase> {
    const { onHealth, clock, log } = this.#parts;
    onHealth({ at: "connecting", hub: phase.assignment.hub });
    let acceptedAt: number | undefined;
    const onAccepted = () => {
      acceptedAt = clock.monotonic();
      this.#parts.clockWatch.calm();
      this.#history = afterAccepted(this.#history, phase.askDpsAtMs !== undefined);
    };
    try {
      const ended = await serve({ phase, parts: this.#parts, device: this.#device, onAccepted }, signal);
      log.info("hub.left", { because: ended.because });
      if (ended.afterMs !== undefined) await clock.sleep(ended.afterMs, signal);
      return ended.next;
    } finally {
      if (acceptedAt !== undefined)
        this.#history = afterSession(this.#history, clock.monotonic() - acceptedAt);
    }
  }

  /** A credential that changed under way starts the journey anew; everything else is for `recover`. */
  #decide(phase: Phase, error: AgentError): Decision {
    if (error.remedy === "reidentify") return { next: { at: "identifying" }, delayMs: 0 };
    const { config, clock, random } = this.#parts;
    const { refusalRetryMs } = config.hub;
    return recover(phase, error, this.#history, { nowMs: clock.monotonic(), refusalRetryMs, random });
  }

  #announce(phase: Phase, error: AgentError, { next, delayMs }: Decision): void {
    const { log, clock, onHealth } = this.#parts;
    const room = { identifying: "identity", provisioning: "provisioning", online: "hub" }[phase.at];
    const isGrave = error.remedy === "operator" || error.remedy === "reprovision";
    log[isGrave ? "error" : "warning"](`${room}.failed`, { error, next: nextWords(next), inMs: delayMs });
    onHealth({
      at: "waiting",
      forMs: delayMs,
      untilMs: clock.now() + delayMs,
      next: nextWords(next),
      error: { code: error.code, message: error.message },
    });
  }
}

/** What a service itself answered is the same over every way out. */
function heededAfter({ code }: AgentError): readonly InputKind[] {
  const isAnswer = /^(provisioning|hub)\/(?!no-answer$)/.test(code);
  const always = ["restart", "reprovision", "credential-changed", "clock-changed"] as const;
  return isAnswer ? always : [...always, "network-changed", "resumed"];
}

function answeredBy(phase: Phase): readonly InputKind[] {
  const world = ["credential-changed", "clock-changed", "network-changed", "resumed"] as const;
  switch (phase.at) {
    case "identifying":
      return ["restart", "credential-changed"];
    case "provisioning":
      return [...world, "reprovision"];
    case "online":
      return world;
  }
}

function nextWords(next: Phase): string {
  switch (next.at) {
    case "identifying":
      return "open the identity";
    case "provisioning":
      return "ask DPS";
    case "online":
      return `connect to ${next.assignment.hub}`;
  }
}
