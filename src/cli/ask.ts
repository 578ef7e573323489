import { askAgent } from "../control/ask-agent.ts";
import { controlPath, usualControlPath } from "../control/control-path.ts";
import { AgentError } from "../platform/failure.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";
import { printable, printableJson } from "./printable.ts";

export interface StatusOptions {
  readonly json?: boolean;
}

type Members = Readonly<Record<string, unknown>>;

/** `latebind status`: the agent's one sentence and its facts. Exit code 0 when connected, else 1. */
export async function showStatus({ json }: StatusOptions, io: CliIo): Promise<number> {
  const status = await ask("GET /v1/status", io, json === true);
  if (status === undefined) return exitCode.failure;
  io.stdout(json === true ? printableJson(status) : render(status));
  return status["isConnected"] === true ? exitCode.ok : exitCode.failure;
}

/** `latebind reprovision`, `apply`, `restart`: told to the running agent, which says what it will do. */
export async function giveOrder(order: "reprovision" | "apply" | "restart", io: CliIo): Promise<number> {
  const answer = await ask(`POST /v1/${order}`, io, false);
  if (answer === undefined) return exitCode.failure;
  io.stdout(`${text(answer["says"])}\n`);
  return exitCode.ok;
}

/** @returns undefined where the agent could not be asked or did not like it; that has been told. */
async function ask(target: string, io: CliIo, isJson: boolean): Promise<Members | undefined> {
  try {
    const { status, body } = await askAgent(controlPath(io.env) ?? usualControlPath, target);
    const members = isMembers(body) ? body : {};
    if (status < 300) return members;
    io.stderr(`${text(members["error"] ?? `the agent answered ${status}`)}\n`);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    const { code, message } = error;
    if (isJson) io.stdout(printableJson({ isConnected: false, error: { code, message } }));
    io.stderr(`${printable(message)} [${code}]\n`);
  }
  return undefined;
}

/** What is shown below the sentence, in this order, where the agent tells it. */
const titles: readonly (readonly [string, string])[] = [
  ["version", "Version"],
  ["startedAt", "Running since"],
  ["connectedSince", "Connected since"],
  ["hub", "Hub"],
  ["deviceId", "Device ID"],
  ["desiredVersion", "Desired version"],
  ["failed", "Not applied"],
  ["notReported", "Not reported"],
  ["certificateExpires", "Certificate until"],
  ["nextAt", "Next try"],
  ["warnings", "Warning"],
];
const titleWidth = 19;

function render(status: Members): string {
  const lines = titles.flatMap(([name, title]) =>
    [status[name] ?? []].flat().map((value) => `  ${title.padEnd(titleWidth)}${text(value)}\n`),
  );
  return `${text(status["says"])}\n${lines.join("")}${telemetry(status["telemetry"])}`;
}

function telemetry(figures: unknown): string {
  if (!isMembers(figures)) return "";
  const { waiting, sent, dropped } = figures;
  return `  ${"Telemetry".padEnd(titleWidth)}${text(sent)} sent, ${text(waiting)} waiting, ${text(dropped)} dropped\n`;
}

function text(value: unknown): string {
  return printable(typeof value === "string" ? value : (JSON.stringify(value) ?? ""));
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
