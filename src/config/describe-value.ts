/** A found value in a person's words: `"0ne1"`, `the number 180`, `a table`. What looks like a credential is not shown. */
export function describeValue(value: unknown): string {
  if (typeof value === "string") return value === "" ? "an empty text" : quote(value);
  if (typeof value === "number") return `the number ${value}`;
  if (typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  return value instanceof Date ? "a date" : "a table";
}

const longestShown = 60;

/**
 * A text from the file, safe to print: short, on one line, without what could steer a terminal or turn its writing direction.
 *
 * A person in a hurry pastes keys and connection strings into any field, and messages end up in journals and tickets, so
 * what looks like one is only counted.
 */
export function quote(text: string): string {
  if (looksLikeCredential(text)) return `${text.length} characters (not shown: they may be a key)`;
  const shown = text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
  return JSON.stringify(shown).replaceAll(
    /[\u007F-\u009F\u200B-\u200F\u2028-\u202E\u2060-\u2069\uFEFF]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** 16 bytes, the shortest device key, are 22 base64 characters and padding. */
export function looksLikeCredential(text: string): boolean {
  if (/SharedAccess|PRIVATE KEY|pin-value/i.test(text)) return true;
  const [run = ""] = /[A-Za-z0-9+/]{20,}={0,2}/.exec(text) ?? [];
  return run.endsWith("=") || (/[A-Z]/.test(run) && /[a-z]/.test(run));
}
