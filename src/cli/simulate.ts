import { nextWords } from "../agent/announce.ts";
import { foresee, suppositions, type Standpoint } from "../agent/foresee.ts";
import { blankHistory } from "../agent/history.ts";
import { lengthWords } from "../agent/length-words.ts";
import { parseHistory } from "../agent/stored-history.ts";
import { loadConfig, type ConfigSources } from "../config/load.ts";
import type { Config } from "../config/config.ts";
import { formatProblem } from "../config/problem.ts";
import type { Identity } from "../identity/identity.ts";
import { systemCode } from "../platform/failure.ts";
import { peekStore } from "../platform/store.ts";
import type { Clock } from "../platform/time.ts";
import type { Assignment } from "../provisioning/assignment.ts";
import { parseAssignments } from "../provisioning/stored-assignments.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";
import { printable, printableJson } from "./printable.ts";

export interface SimulateOptions {
  readonly event: string;
  /** How often it happens in a row. */
  readonly times: string;
  readonly json?: boolean;
}

/** `latebind simulate`: what the agent would do if this happened now, from what it has stored; touches no network and changes nothing. */
export async function simulate(
  sources: ConfigSources,
  { event, times, json }: SimulateOptions,
  clock: Pick<Clock, "now">,
  io: CliIo,
): Promise<number> {
  const supposed = suppositions[event];
  const count = Number(times);
  if (supposed === undefined || !Number.isInteger(count) || count < 1 || count > mostTimes) {
    const names = Object.keys(suppositions).join(", ");
    io.stderr(
      supposed === undefined
        ? `--event ${event}: expected one of ${names}\n`
        : `--times ${times}: expected 1 to ${mostTimes}\n`,
    );
    return exitCode.usage;
  }
  const loaded = await loadConfig(sources);
  if (loaded.status === "invalid") {
    for (const problem of loaded.problems) io.stderr(`${formatProblem(problem)}\n`);
    return exitCode.config;
  }
  let standpoint: Standpoint;
  try {
    standpoint = standAt(supposed.at, loaded.config, sources.stateDirectory, clock);
  } catch (error) {
    if (systemCode(error) === "") throw error;
    io.stderr(
      `cannot read the state in ${sources.stateDirectory} (${systemCode(error)}). Run this as root or as the user of the service\n`,
    );
    return exitCode.failure;
  }
  const steps = walk(standpoint, event, count);
  if (json === true) io.stdout(printableJson({ event, steps }));
  else if (steps.length === 0)
    io.stdout("This device has no hub yet, so that cannot happen: DPS is asked first.\n");
  else {
    io.stdout(`If now ${supposed.says}:\n`);
    for (const { next, leastMs, mostMs } of steps)
      io.stdout(`  ${printable(next)}${span(leastMs, mostMs)}\n`);
  }
  return exitCode.ok;
}

const mostTimes = 1_000;

interface Step {
  readonly next: string;
  readonly leastMs: number;
  readonly mostMs: number;
}

/** One step for each time; where the agent turns to something else, that is the last one. */
function walk(from: Standpoint, event: string, count: number): readonly Step[] {
  const steps: Step[] = [];
  let standpoint = from;
  while (steps.length < count && standpoint.phase.at === suppositions[event]?.at) {
    const { next, leastMs, mostMs, afterwards } = foresee(standpoint, suppositions[event]);
    const fallback = next.at === "provisioning" ? next.fallback : undefined;
    const meanwhile = fallback === undefined ? "" : `, with ${fallback.hub} as the fallback`;
    const owed = next.at === "online" && next.owedDps !== undefined ? ", until DPS is asked again" : "";
    steps.push({ next: `${nextWords(next)}${meanwhile}${owed}`, leastMs, mostMs });
    standpoint = afterwards;
  }
  return steps;
}

function span(leastMs: number, mostMs: number): string {
  if (mostMs === 0) return ", at once";
  const [least, most] = [lengthWords(leastMs), lengthWords(mostMs)];
  return least === most ? `, after ${most}` : `, after ${least} to ${most}`;
}

/** As the agent would stand there: with the hub that it knows, or before DPS with that hub as the fallback. */
function standAt(
  at: "provisioning" | "online",
  config: Config,
  stateDirectory: string,
  clock: Pick<Clock, "now">,
): Standpoint {
  const { current, candidate } = peekStore(stateDirectory, "assignment", parseAssignments) ?? {};
  const stored = peekStore(stateDirectory, "history", parseHistory);
  const { refusalRetryMs } = config.hub;
  const nowMs = Math.max(clock.now(), stored?.atMs ?? 0);
  const common = { history: stored?.history ?? blankHistory, nowMs, refusalRetryMs };
  const latest = candidate ?? current;
  const identity = identityOf(latest, config);
  if (at === "online" && latest !== undefined) {
    const fallback = candidate === undefined || current === undefined ? {} : { fallback: current };
    return { ...common, phase: { at, identity, assignment: latest, ...fallback } };
  }
  const fallback = current === undefined ? {} : { fallback: current };
  const because = "simulated";
  return { ...common, phase: { at: "provisioning", identity, because, claim: "standing", ...fallback } };
}

/** No key is opened: decisions need to know no more of it than what the assignment was made from. */
function identityOf(assignment: Assignment | undefined, config: Config): Identity {
  const { registrationId, credentialDigest, attestation } = assignment?.madeFrom ?? {
    registrationId: config.registrationId ?? "",
    credentialDigest: "",
    attestation: "",
  };
  return {
    registrationId,
    credentialDigest,
    attestation: attestation === "x509" || attestation === "tpm" ? attestation : "symmetric-key",
    custody: "",
    warnings: [],
  };
}
