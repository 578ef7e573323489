import * as v from "valibot";
import { isJson, parseJson, type Json } from "../platform/json.ts";
import type { Kept, Outcome } from "./applier.ts";
import { outcomeSchema } from "./remembered.ts";

/**
 * What the agent asks its privileged helper: the name of a property, a value and the version, and nothing else. Which file or handler that
 * means says the helper's own configuration.
 */
export type HelperQuestion =
  | {
      readonly do: "apply" | "check";
      readonly property: string;
      readonly version: number;
      readonly value: Json;
    }
  | { readonly do: "keep" | "restore"; readonly property: string; readonly version: number };

export type HelperAnswer =
  | { readonly status: "done"; readonly outcome: Outcome }
  | { readonly status: "kept" }
  | { readonly status: "checked"; readonly drift: readonly string[] };

const json = v.custom<Json>(isJson);
/** No twin has longer names, and what is asked is logged. */
const property = v.pipe(v.string(), v.maxLength(1024));
const version = v.pipe(v.number(), v.integer());

const question = v.variant("do", [
  v.strictObject({ do: v.picklist(["apply", "check"]), property, version, value: json }),
  v.strictObject({ do: v.picklist(["keep", "restore"]), property, version }),
]);

const answer = v.variant("status", [
  v.object({ status: v.literal("done"), outcome: outcomeSchema }),
  v.object({ status: v.literal("kept") }),
  v.object({ status: v.literal("checked"), drift: v.array(v.string()) }),
]);

/** Undefined where it is no question. */
export function parseQuestion(line: string): HelperQuestion | undefined {
  return parse(question, line);
}

/** Undefined where it is no answer. */
export function parseAnswer(line: string): HelperAnswer | undefined {
  return parse(answer, line);
}

/** The answer to `keep`: what is kept stays with the helper. */
export function keptBy(answered: HelperAnswer): Kept {
  if (answered.status === "kept") return { status: "kept", kept: {} };
  if (answered.status === "done" && answered.outcome.status === "failed") return answered.outcome;
  return {
    status: "failed",
    code: "appliers/helper-answer",
    message: "the helper gave another answer than was asked for",
  };
}

function parse<T>(schema: v.GenericSchema<unknown, T>, line: string): T | undefined {
  const document = parseJson(Buffer.from(line));
  // Also bounds the depth before anything walks it.
  if (!isJson(document)) return undefined;
  const parsed = v.safeParse(schema, document);
  return parsed.success ? parsed.output : undefined;
}
