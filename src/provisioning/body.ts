/** Readers for JSON whose shape is not to be trusted. */

export function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  const found: unknown = Object.getOwnPropertyDescriptor(value, name)?.value;
  return found;
}

/** A member that is a string with something in it. */
export function text(value: unknown, name: string): string | undefined {
  const found = member(value, name);
  return typeof found === "string" && found !== "" ? found : undefined;
}

/** As much of a text from outside as a message may carry. */
export function excerpt(words: string): string {
  return words.length > mostWords ? `${words.slice(0, mostWords)}…` : words;
}

const mostWords = 200;
