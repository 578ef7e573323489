const longestShown = 60;

/** A found value in a person's words: `"0ne1"`, `the number 180`, `a table`. What looks like a credential is not shown. */
export function describeValue(value: unknown): string {
  if (typeof value === "string") return describeText(value);
  if (typeof value === "number") return `the number ${value}`;
  if (typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  return value instanceof Date ? "a date" : "a table";
}

function describeText(text: string): string {
  if (text === "") return "an empty text";
  if (looksLikeCredential(text))
    return `${text.length} characters that are not shown because they may be a key`;
  const shown = text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
  return JSON.stringify(shown);
}

/**
 * A person who is in a hurry pastes keys and connection strings into any field, and messages end up in journals and tickets.
 * 16 bytes, the shortest device key, are 24 base64 characters.
 */
function looksLikeCredential(text: string): boolean {
  return (
    /SharedAccess|PRIVATE KEY|pin-value/i.test(text) || /[A-Za-z0-9+]{20,}[A-Za-z0-9+/]*={0,2}/.test(text)
  );
}
