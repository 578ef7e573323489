import { parseJson } from "../platform/json.ts";

/** Enough to recognise a login page, a proxy's complaint or another service. */
const mostBytes = 200;

/**
 * The beginning of an answer that makes no sense, for the log: up to 200 bytes on one line.
 *
 * It may hold a key all the same. Of JSON the names are shown and no value; of other text nothing that could be base64 or
 * hexadecimal of 16 bytes or more.
 */
export function garbledWords(body: Uint8Array): string {
  if (body.length === 0) return "It was empty";
  const json = parseJson(body);
  const words = json === undefined ? textOf(body) : JSON.stringify(json, hideValue);
  const shown = words.slice(0, mostBytes).toWellFormed();
  return `It began with ${JSON.stringify(shown)}${body.length > mostBytes ? ` and was ${body.length} bytes long` : ""}`;
}

/** What is cut in the middle of a character ends with U+FFFD. */
function textOf(body: Uint8Array): string {
  // A secret that reaches beyond what is shown is hidden as well as one that ends before.
  const text = new TextDecoder().decode(body.subarray(0, 2 * mostBytes));
  const whole = body.length > 2 * mostBytes ? text.replace(/[A-Za-z0-9+/=_-]+$/, "") : text;
  return whole.replaceAll(/[A-Za-z0-9+/_-]{22,}={0,2}/g, (run) => `(${run.length} characters)`);
}

function hideValue(_name: string, value: unknown): unknown {
  return typeof value === "object" ? value : "…";
}
