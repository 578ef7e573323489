import { AgentError } from "../platform/failure.ts";
import type { Json } from "../platform/json.ts";
import type { Applier, Outcome, Step } from "./applier.ts";
import { keptBy, parseAnswer, type HelperAnswer, type HelperQuestion } from "./helper-talk.ts";

/** Asks the helper; see `ask` of the platform. */
export type AskHelper = (question: string, timeoutMs: number, signal: AbortSignal) => Promise<string>;

interface HelperStep extends Step {
  readonly value: Json;
  readonly version: number;
}

/** Beyond the rule's own timeout: it may run twice, is killed late, and waits for its turn. */
const graceMs = 60_000;

/**
 * The same applier, done by the helper that runs as root. What is legal is judged here as well, so that a bad value costs no privileges.
 *
 * Failures by code: `appliers/helper-unreachable`, `appliers/helper-answer`, and those of the applier behind.
 */
export function createPrivilegedApplier(
  bare: Applier,
  property: string,
  timeoutMs: number,
  askHelper: AskHelper,
): Applier {
  const talk = async (question: HelperQuestion, signal: AbortSignal): Promise<HelperAnswer> =>
    converse(question, askHelper, 2 * timeoutMs + graceMs, signal);
  const applier: Applier<{ readonly value: Json; readonly inner: unknown }, HelperStep> = {
    fingerprint: `helper\n${bare.fingerprint}`,
    isDurable: true,
    async parse(value) {
      const parsed = await bare.parse(value);
      return parsed.status === "rejected" ? parsed : { ...parsed, value: { value, inner: parsed.value } };
    },
    plan({ value, inner }, circumstances) {
      const { version } = circumstances;
      const says = bare.plan(inner, circumstances).map((step) => step.says);
      return [{ says: `as root: ${says.join(", then ")}`, value, version }];
    },
    async execute(steps, signal) {
      let outcome: Outcome = { status: "unchanged" };
      for (const { value, version } of steps)
        outcome = outcomeOf(await talk({ do: "apply", property, version, value }, signal));
      return outcome;
    },
    keep: async ({ version }, signal) => keptBy(await talk({ do: "keep", property, version }, signal)),
    restore: async (_, { version }, signal) =>
      outcomeOf(await talk({ do: "restore", property, version }, signal)),
    ...(bare.findDrift !== undefined && {
      async findDrift(steps, signal) {
        const drift: string[] = [];
        for (const { value, version } of steps) {
          const answer = await talk({ do: "check", property, version, value }, signal);
          // A helper that cannot tell is no drift: the next change says what is wrong with it.
          if (answer.status === "checked") drift.push(...answer.drift);
        }
        return drift;
      },
    }),
  };
  return applier;
}

async function converse(
  question: HelperQuestion,
  askHelper: AskHelper,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<HelperAnswer> {
  try {
    const line = await askHelper(JSON.stringify(question), timeoutMs, signal);
    return (
      parseAnswer(line) ?? failed("appliers/helper-answer", "the privileged helper's answer cannot be read")
    );
  } catch (error) {
    if (signal.aborted || !(error instanceof AgentError)) throw error;
    const message = `the privileged helper: ${error.message}`;
    if (error.code !== "platform/socket-unreachable") return failed("appliers/helper-answer", message);
    const fix =
      "run: systemctl enable --now latebind-apply.socket; the agent must run as the user that SocketUser= names in it";
    return failed("appliers/helper-unreachable", `${message}; ${fix}`, []);
  }
}

function outcomeOf(answer: HelperAnswer): Outcome {
  if (answer.status === "done") return answer.outcome;
  return {
    status: "failed",
    code: "appliers/helper-answer",
    message: "the helper gave another answer than was asked for",
  };
}

function failed(
  code: string,
  message: string,
  changed: readonly string[] = ["what the helper touched is not known"],
): HelperAnswer {
  return { status: "done", outcome: { status: "failed", code, message, changed } };
}
