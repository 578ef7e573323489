import Conf from "conf";
import { createHash } from "node:crypto";
import { existsSync, renameSync } from "node:fs";
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

/** One slot as it is on disk. The digest tells a torn or edited file from a whole one. */
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
  const readAll = () =>
    slots.flatMap((slot) => {
      const content = readSlot(directory, slot, log);
      return content === undefined ? [] : [{ slot, ...content }];
    });
  const newest = () => readAll().toSorted((one, other) => other.generation - one.generation)[0];

  return {
    read() {
      const found = newest();
      return found === undefined ? undefined : parse(found.value);
    },
    async write(value) {
      const json = toJson(value);
      const last = newest();
      if (last !== undefined && last.digest === digestOf(json)) return;
      const slot = slots.find((candidate) => candidate !== last?.slot) ?? `${name}.a`;
      const content: Slot = { generation: (last?.generation ?? 0) + 1, digest: digestOf(json), value: json };
      try {
        openFile(directory, slot).store = { ...content };
        await syncDirectory(directory);
      } catch (error) {
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

/** `conf` writes a temporary file, syncs it and renames it; the mode keeps other users out. */
function openFile(directory: string, slot: string): Conf {
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
  if (!existsSync(path)) return undefined;
  try {
    const { generation, digest, value } = openFile(directory, slot).store;
    if (typeof generation === "number" && isJson(value) && digest === digestOf(value)) {
      return { generation, digest, value };
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) {
      log.error("platform.state-unreadable", { path, error });
      return undefined;
    }
  }
  setAside(path, log);
  return undefined;
}

function setAside(path: string, log: Log): void {
  const aside = `${path}.damaged-${Date.now()}`;
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

function digestOf(value: Json): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}
