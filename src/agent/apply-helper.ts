import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import type { Applier, Outcome } from "../appliers/applier.ts";
import { createApplier } from "../appliers/create-applier.ts";
import { parseQuestion, type HelperAnswer, type HelperQuestion } from "../appliers/helper-talk.ts";
import type { ApplyRule } from "../config/config.ts";
import { loadConfig, type ConfigSources } from "../config/load.ts";
import { AgentError } from "../platform/failure.ts";
import type { Log } from "../platform/log.ts";
import { serveRequests } from "../platform/request-socket.ts";
import { findCommandFault, findFileFault, findFolderFault } from "../platform/trusted-file.ts";
import { HelperMemory, type HelperRemembered } from "./helper-memory.ts";

export interface HelperWorld {
  readonly sources: ConfigSources;
  readonly handlerFolders: readonly string[];
  readonly log: Log;
  /** The listening socket that the service manager passed on. */
  readonly socket: { readonly fd: number } | { readonly path: string };
  /** Without a question for so long, it ends; the next one starts it again. */
  readonly idleMs: number;
  readonly stop: AbortSignal;
}

/**
 * The privileged side of `[[apply]]`: does what the agent asks for, by rules that say `privileged = true`, and nothing else.
 *
 * Believes nobody. The configuration is read anew for each question, and every file that decides something must be root's alone: the
 * configuration, templates, schemas, handlers, commands, the folder of a target. One question at a time; a client that goes away calls its own off.
 * @returns once nobody has asked for a while, or `stop` is aborted.
 */
export async function runApplyHelper(world: HelperWorld): Promise<void> {
  const { log, socket, idleMs, stop } = world;
  let turn: Promise<unknown> = Promise.resolve();
  const answer = async (line: string, gone: AbortSignal): Promise<string> => {
    const mine = turn.then(async () => answerOne(world, line, AbortSignal.any([gone, stop])));
    turn = mine;
    return JSON.stringify(await mine);
  };
  await using server = await serveRequests(socket, answer, (because) => {
    log.warning("helper.refused", { because });
  });
  try {
    await server.idleFor(idleMs, stop);
    log.info("helper.idle");
  } catch (error) {
    if (!stop.aborted) throw error;
  }
  await turn;
}

async function answerOne(world: HelperWorld, line: string, signal: AbortSignal): Promise<HelperAnswer> {
  const { log } = world;
  const question = parseQuestion(line);
  if (question === undefined) return refuse(log, undefined, "the request is not one of the agent's");
  const { property, version } = question;
  try {
    signal.throwIfAborted();
    const found = await findApplier(question, world);
    if ("because" in found) return refuse(log, property, found.because);
    const answer = await act(question, found, log, signal);
    log.notice("helper.answered", { do: question.do, property, version, ...wordsOf(answer) });
    return answer;
  } catch (error) {
    if (signal.aborted) log.warning("helper.called-off", { do: question.do, property, version });
    else if (!(error instanceof AgentError)) throw error;
    else log.error("helper.failed", { do: question.do, property, error });
    return failed("appliers/helper-refused", error instanceof Error ? error.message : "called off");
  }
}

interface Found {
  readonly applier: Applier;
  readonly memory: HelperMemory;
}

/** The applier of the rule, if everything that decides what it does is root's alone. */
async function findApplier(
  { property }: HelperQuestion,
  { sources, handlerFolders }: HelperWorld,
): Promise<Found | { readonly because: string }> {
  const loaded = await loadConfig(sources);
  for (const file of loaded.files) {
    const fault = await findFileFault(file);
    if (fault !== undefined) return { because: `${file} ${fault.because}` };
  }
  if (loaded.status === "invalid")
    return { because: "the configuration has problems: latebind config check" };
  const rule = loaded.config.apply.find((one) => one.property === property);
  if (rule?.privileged !== true) return { because: "no rule of this property says privileged = true" };
  const fault = await findRuleFault(rule);
  if (fault !== undefined) return { because: fault };
  const applier = createApplier(rule, { handlerFolders });
  const name = createHash("sha256").update(property).digest("hex");
  return {
    applier,
    memory: new HelperMemory(join(sources.stateDirectory, `${name}.json`), applier.fingerprint),
  };
}

async function findRuleFault(rule: ApplyRule): Promise<string | undefined> {
  const template = rule.kind === "file" ? rule.template : undefined;
  for (const file of [rule.schema, template]) {
    const fault = file === undefined ? undefined : await findFileFault(file.path);
    if (fault !== undefined) return `${file?.path} ${fault.because}`;
  }
  if (rule.kind !== "file") return undefined;
  const fault = await findFolderFault(dirname(rule.file));
  if (fault !== undefined) return `${rule.file} ${fault.because}`;
  const program = rule.command?.[0];
  const programFault = program === undefined ? undefined : await findCommandFault(program);
  return programFault === undefined ? undefined : `${program} ${programFault.because}`;
}

async function act(
  question: HelperQuestion,
  { applier, memory }: Found,
  log: Log,
  signal: AbortSignal,
): Promise<HelperAnswer> {
  const { version } = question;
  if ((question.do === "keep" || question.do === "restore") && applier.confirmMs === undefined)
    return failed("appliers/helper-refused", "this rule has no confirm, so nothing is kept or put back");
  const remembered = await memory.read();
  const { value: previous } = remembered;
  const circumstances = { version, ...(previous !== undefined && { previous }) };
  switch (question.do) {
    case "keep": {
      if (applier.keep === undefined) return failed("appliers/helper-refused", "this rule keeps nothing");
      const kept = await applier.keep(circumstances, signal);
      if (kept.status === "failed") return { status: "done", outcome: kept };
      await memory.write({ ...remembered, kept: { ...circumstances, state: kept.kept } });
      return { status: "kept" };
    }
    case "restore": {
      const { kept } = remembered;
      if (kept === undefined || applier.restore === undefined)
        return failed("appliers/helper-refused", "nothing was kept for this property");
      const outcome = await applier.restore(kept.state, circumstances, signal);
      if (isSuccess(outcome))
        await note(memory, { kept, ...(kept.previous !== undefined && { value: kept.previous }) }, log);
      return { status: "done", outcome };
    }
    case "apply": {
      const parsed = await applier.parse(question.value);
      if (parsed.status === "rejected") return { status: "done", outcome: parsed };
      const outcome = await applier.execute(applier.plan(parsed.value, circumstances), signal);
      if (isSuccess(outcome)) await note(memory, { ...remembered, value: question.value }, log);
      return { status: "done", outcome };
    }
    case "check": {
      const parsed = await applier.parse(question.value);
      if (parsed.status === "rejected") return { status: "done", outcome: parsed };
      const drift = await applier.findDrift?.(applier.plan(parsed.value, circumstances), signal);
      return { status: "checked", drift: drift ?? [] };
    }
  }
}

/** A disk that is full does not undo what was done: only the next change knows less about the one before. */
async function note(memory: HelperMemory, remembered: HelperRemembered, log: Log): Promise<void> {
  try {
    await memory.write(remembered);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    log.error("helper.state-not-written", { error });
  }
}

function isSuccess({ status }: Outcome): boolean {
  return status === "applied" || status === "unchanged";
}

function refuse(log: Log, property: string | undefined, because: string): HelperAnswer {
  log.warning("helper.refused", { property, because });
  return failed("appliers/helper-refused", `the privileged helper refused: ${because}`);
}

function failed(code: string, message: string): HelperAnswer {
  return { status: "done", outcome: { status: "failed", code, message, changed: [] } };
}

/** Of the answer for the log; values stay out of it. */
function wordsOf(answer: HelperAnswer): Readonly<Record<string, unknown>> {
  if (answer.status === "done") return { ...answer.outcome, status: answer.outcome.status };
  return answer.status === "checked"
    ? { status: answer.status, drift: answer.drift }
    : { status: answer.status };
}
