import type { AgentError } from "../platform/failure.ts";
import { askDpsNow } from "./ask-dps-now.ts";
import { inputsHeededAfter } from "./heeded-inputs.ts";
import type { InputKind } from "./inputs.ts";
import type { Parts } from "./parts.ts";
import type { Phase } from "./phase.ts";

/** What is added to a wait before the watchdog may bite. */
const graceMs = 60_000;

interface Wait {
  readonly next: Phase;
  readonly delayMs: number;
}

/** Waits for the time that was decided, or for an input that may have mended what failed. @returns where to go then. */
export async function pause(
  wait: Wait,
  error: AgentError,
  parts: Parts,
  signal: AbortSignal,
): Promise<Phase> {
  return waitFor(wait, inputsHeededAfter(error), serviceWishMs(error), parts, signal);
}

/** What the line itself waits for is not the service's wish. */
function serviceWishMs({ code, retryAfterMs = 0 }: AgentError): number {
  return code.startsWith("mqtt/") ? 0 : retryAfterMs;
}

/** Waits out what was decided before a restart; a person's wish ends it. */
export async function rest(wait: Wait, parts: Parts, signal: AbortSignal): Promise<Phase> {
  return waitFor(wait, ["restart", "reprovision", "credential-changed"], 0, parts, signal);
}

/** @param floorMs what the service itself wished: only a person comes sooner. */
async function waitFor(
  { next, delayMs }: Wait,
  kinds: readonly InputKind[],
  floorMs: number,
  parts: Parts,
  signal: AbortSignal,
): Promise<Phase> {
  const { inputs, clock, expectProgress, log, journal } = parts;
  const startedAt = clock.monotonic();
  expectProgress(delayMs + graceMs);
  const input = await inputs.within(delayMs, kinds, signal);
  if (input === undefined) return next;
  const { kind, because } = input;
  log.notice("agent.woken", { by: kind, because });
  journal.write({ kind: "woken", by: kind, ...(because !== undefined && { because }) });
  switch (kind) {
    case "restart":
      return { at: "identifying" };
    case "reprovision":
      return askDpsNow(next, because);
    case "credential-changed":
    case "clock-changed":
    case "network-changed":
    case "resumed":
    case "apply-now": {
      const leftMs = startedAt + floorMs - clock.monotonic();
      if (leftMs > 0) await clock.sleep(leftMs, signal);
      return next;
    }
  }
}
