import type { Outcome } from "../appliers/applier.ts";
import type { PropertyResult } from "../appliers/settle.ts";
import type { JsonObject } from "../platform/json.ts";
import { plainText } from "./plain-text.ts";

/**
 * The IoT Plug and Play answer to one desired property: `{ value, ac, av, ad }`.
 *
 * `ac` is 200 (in force), 202 (in force, and not yet confirmed), 400 (not legal) or 500 (could not be put in force); `av` the desired version it answers; `value` what is
 * in force now, left out where nobody knows.
 * @param omission why the value is left out, where it is: `ad` then says so.
 * @see https://learn.microsoft.com/azure/iot/concepts-convention#writable-properties
 */
export function acknowledge(result: PropertyResult, omission: string | undefined): JsonObject {
  const { ac, text } = result.isOnTrial === true ? onTrial : judge(result.outcome);
  const av = result.version;
  if (result.value === undefined) return { ac, av, ad: plainText(text) };
  if (omission !== undefined) return { ac, av, ad: plainText(`${omission}; ${text}`) };
  return { value: result.value, ac, av, ad: plainText(text) };
}

const onTrial = { ac: 202, text: "in force, until the hub turns out to be out of reach" };

function judge(outcome: Outcome): { readonly ac: number; readonly text: string } {
  switch (outcome.status) {
    case "unchanged":
    case "applied":
      return { ac: 200, text: "in force" };
    case "rejected":
      return { ac: 400, text: outcome.problems.join("; ") };
    case "failed":
      return { ac: 500, text: `${outcome.code}: ${outcome.message}` };
  }
}
