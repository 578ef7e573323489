import type Conf from "conf";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AgentError, systemCode } from "./failure.ts";
import { syncDirectory } from "./files.ts";
import { canonicalJson, isJson, type Json } from "./json.ts";
import type { Log } from "./log.ts";

/** One value that outlives the process. */
export interface Store<T> {
  /** The newest value that is whole; undefined where none was ever written. */
  read(): T | undefined;
  /**
   * Resolves when the value would survive a power cut. Writes nothing where nothing changed.
   * @throws AgentError `platform/state-not-written` (retry): full disk, read-only file system, no permission.
   */
  write(value: T): Promise<void>;
}

/**
 * One slot as it is on disk. The digest tells a torn or edited file from a whole one; it covers the generation too, so that a flipped
 * bit cannot make an old value the newest.
 */
interface Slot {
  readonly generation: number;
  readonly digest: string;
  readonly value: Json;
}

/**
 * Keeps a value in two files, `NAME.a.json` and `NAME.b.json`, that take turns: a write always goes to the older one, so that the
 * newer is never touched. A damaged file is set aside under a name of its own, told in the log, and the other one serves.
 * @param parse checks what was read: a value from an older version that no longer fits counts as absent.
 */
export function openStore<T>(
  directory: string,
  name: string,
  parse: (value: Json) => T | undefined,
  log: Log,
): Store<T> {
  const slots = [`${name}.a`, `${name}.b`];
  sweep(directory, slots, log);
  const readAll = () =>
    slots.flatMap((slot) => {
      const content = readSlot(directory, slot, log);
      return content === undefined ? [] : [{ slot, ...content }];
    });
  const newest = () => readAll().toSorted((one, other) => other.generation - one.generation)[0];
  // What this process has written last need not be read again: nobody else writes here.
  let written: ReturnType<typeof newest>;

  return {
    read() {
      const found = newest();
      return found === undefined ? undefined : parse(found.value);
    },
    async write(value) {
      const json = toJson(value);
      const last = written ?? newest();
      if (last !== undefined && canonicalJson(last.value) === canonicalJson(json)) return;
      const slot = slots.find((candidate) => candidate !== last?.slot) ?? `${name}.a`;
      const generation = (last?.generation ?? 0) + 1;
      const content: Slot = { generation, digest: digestOf(generation, json), value: json };
      try {
        (await openFile(directory, slot)).store = { ...content };
        await syncDirectory(directory);
        written = { slot, ...content };
      } catch (error) {
        written = undefined;
        throw new AgentError(
          "platform/state-not-written",
          "retry",
          `cannot write ${join(directory, `${slot}.json`)} (${systemCode(error)}). Check free space, mode and owner of ${directory}`,
          { cause: error },
        );
      }
    },
  };
}

/**
 * What a store of another process holds, read without touching anything: damaged files and temporary ones are left to their owner.
 * @returns undefined where there is nothing whole, or nothing that fits.
 * @throws the system's error (`EACCES`, …).
 */
export function peekStore<T>(
  directory: string,
  name: string,
  parse: (value: Json) => T | undefined,
): T | undefined {
  const [newest] = [`${name}.a`, `${name}.b`]
    .flatMap((slot) => peekSlot(join(directory, `${slot}.json`)) ?? [])
    .toSorted((one, other) => other.generation - one.generation);
  return newest === undefined ? undefined : parse(newest.value);
}

function peekSlot(path: string): Slot | undefined {
  try {
    return parseSlot(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    if (error instanceof SyntaxError || systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** `conf` writes a temporary file, syncs it and renames it; the mode keeps other users out. Loaded by the first write. */
async function openFile(directory: string, slot: string): Promise<Conf> {
  const { default: Conf } = await import("conf");
  return new Conf({
    cwd: directory,
    configName: slot,
    configFileMode: 0o600,
    accessPropertiesByDotNotation: false,
    serialize: (value) => JSON.stringify(value),
  });
}

function readSlot(directory: string, slot: string, log: Log): Slot | undefined {
  const path = join(directory, `${slot}.json`);
  try {
    // Not through `conf`: opening a file with it takes several times longer than reading it.
    const whole = parseSlot(JSON.parse(readFileSync(path, "utf8")));
    if (whole !== undefined) return whole;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(systemCode(error))) return undefined;
    if (!(error instanceof SyntaxError)) {
      log.error("platform.state-unreadable", { path, error });
      return undefined;
    }
  }
  setAside(path, log);
  return undefined;
}

/** The slot, or undefined where something is missing in it or its digest does not match. */
function parseSlot(content: unknown): Slot | undefined {
  const slot: Partial<Record<keyof Slot, unknown>> =
    typeof content === "object" && content !== null ? content : {};
  const { generation, digest, value } = slot;
  if (typeof generation !== "number" || !isJson(value)) return undefined;
  return digest === digestOf(generation, value) ? { generation, digest, value } : undefined;
}

/** Removes the temporary files that a kill in the middle of a write left behind. They do no harm, so trouble is only told. */
function sweep(directory: string, slots: readonly string[], log: Log): void {
  try {
    for (const file of readdirSync(directory)) {
      if (slots.some((slot) => file.startsWith(`${slot}.json.tmp-`)))
        rmSync(join(directory, file), { force: true });
    }
  } catch (error) {
    if (systemCode(error) !== "ENOENT") log.error("platform.state-unreadable", { path: directory, error });
  }
}

function setAside(path: string, log: Log): void {
  const aside = `${path}.damaged-${Date.now()}-${randomBytes(3).toString("hex")}`;
  try {
    renameSync(path, aside);
    log.error("platform.state-damaged", { path, setAsideAs: aside });
  } catch (error) {
    log.error("platform.state-damaged", { path, error });
  }
}

function toJson(value: unknown): Json {
  const json: unknown = JSON.parse(JSON.stringify(value));
  if (!isJson(json)) throw new TypeError("a store takes plain data");
  return json;
}

function digestOf(generation: number, value: Json): string {
  return createHash("sha256")
    .update(canonicalJson([generation, value]))
    .digest("hex");
}
