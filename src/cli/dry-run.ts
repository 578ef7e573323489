import { createAgentSettings } from "../appliers/agent-settings.ts";
import type { Applier } from "../appliers/applier.ts";
import { createRuleAppliers } from "../appliers/create-applier.ts";
import { handlerFolders } from "../appliers/handler.ts";
import { findTargets, type PropertyName } from "../appliers/targets.ts";
import { loadConfig, type ConfigSources } from "../config/load.ts";
import { formatProblem } from "../config/problem.ts";
import { systemCode } from "../platform/failure.ts";
import { readIfPresent } from "../platform/files.ts";
import { isJson, isJsonObject, ownMember, parseJson, type Json, type JsonObject } from "../platform/json.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";

/**
 * `latebind apply --dry-run FILE`: what the agent would do for a device twin, a line for each property in the order of doing. Touches nothing
 * and asks nobody.
 * @param file a twin as the portal or `az iot hub device-twin show` print it, or its desired properties alone.
 * @returns 0, or 1 when a value would be refused or the file cannot be read, 78 when the configuration cannot be used.
 */
export async function dryRun(file: string, sources: ConfigSources, io: CliIo): Promise<number> {
  const loaded = await loadConfig(sources);
  if (loaded.status === "invalid") {
    for (const problem of loaded.problems) io.stderr(`${formatProblem(problem)}\n`);
    return exitCode.config;
  }
  const properties = await readDesired(file);
  if (typeof properties === "string") {
    io.stderr(`${properties}\n`);
    return exitCode.failure;
  }
  const { apply } = loaded.config;
  const settings = createAgentSettings({
    setLogLevel: () => {},
    setHeartbeat: () => {},
    setKeepAlive: () => {},
  });
  const appliers = {
    properties: createRuleAppliers(apply, { handlerFolders }),
    components: new Map([["latebind", settings]]),
  };
  const { targets, unknown, ignored } = findTargets({ version: 0, properties }, appliers);
  const privileged = new Set(apply.filter((rule) => rule.privileged).map((rule) => rule.property));
  let isLegal = unknown.length === 0;
  for (const { name, problem } of unknown) io.stdout(`${textOf(name)}: refused: ${problem}\n`);
  for (const { name, applier, value } of targets) {
    if (value === undefined) continue;
    const { says, isRefused } = await plan(applier, value);
    const how =
      name.component === undefined && privileged.has(name.property) ? " (by the privileged helper)" : "";
    io.stdout(`${textOf(name)}: ${says}${isRefused ? "" : how}\n`);
    isLegal &&= !isRefused;
  }
  for (const name of ignored) io.stdout(`${name}: nothing: it has no rule\n`);
  return isLegal ? exitCode.ok : exitCode.failure;
}

async function plan(
  applier: Applier,
  value: Json,
): Promise<{ readonly says: string; readonly isRefused: boolean }> {
  const parsed = await applier.parse(value);
  if (parsed.status === "rejected")
    return { says: `refused: ${parsed.problems.join("; ")}`, isRefused: true };
  const steps = applier.plan(parsed.value, { version: 0 });
  const drift = await applier.findDrift?.(steps, new AbortController().signal);
  const text = steps.map(({ says }) => says).join(", then ");
  if (drift === undefined) return { says: text, isRefused: false };
  const why = drift.length === 0 ? "it is like that already" : drift.join("; ");
  return { says: `${text} (${why})`, isRefused: false };
}

/** The desired properties in a file, or what is wrong with it. */
async function readDesired(file: string): Promise<JsonObject | string> {
  try {
    const bytes = await readIfPresent(file);
    if (bytes === undefined) return `${file}: expected a device twin, found no such file`;
    const document = parseJson(bytes);
    if (!isJson(document) || !isJsonObject(document)) return `${file}: expected a JSON object, found none`;
    const properties = ownMember(document, "properties");
    const twin = isJsonObject(properties) ? properties : document;
    const desired = ownMember(twin, "desired");
    const wanted = isJsonObject(desired) ? desired : document;
    return Object.fromEntries(Object.entries(wanted).filter(([name]) => !name.startsWith("$")));
  } catch (error) {
    const code = systemCode(error);
    if (code === "") throw error;
    return `${file}: expected a file that can be read (${code})`;
  }
}

function textOf({ component, property }: PropertyName): string {
  return component === undefined ? property : `${component}.${property}`;
}
