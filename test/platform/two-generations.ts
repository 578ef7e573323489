import { readFileSync } from "node:fs";
import type { Json } from "../../src/platform/json.ts";
import { openStore, type Store } from "../../src/platform/store.ts";
import { RecordingLog } from "./recording-log.ts";
import type { TemporaryFolder } from "./temporary-folder.ts";

export const slots = ["state.a.json", "state.b.json"];

export function open(folder: string, recording = new RecordingLog()): Store<Json> {
  return openStore<Json>(folder, "state", (value) => value, recording.log);
}

/** Writes 1 and 2, and says which file holds which. */
export async function twoGenerations(folder: TemporaryFolder): Promise<{ older: string; newer: string }> {
  const store = open(folder.path);
  await store.write("first");
  await store.write("second");
  const [older, newer] = slots
    .map((name) => folder.join(name))
    .toSorted((one) => (readFileSync(one, "utf8").includes("first") ? -1 : 1));
  if (older === undefined || newer === undefined) throw new Error("two files expected");
  return { older, newer };
}
