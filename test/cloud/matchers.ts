import { expect } from "vitest";

// vitest types its matchers as any, which would silence the compiler wherever one is used.

export const anyText: unknown = expect.any(String);

export function textWith(part: string): unknown {
  return expect.stringContaining(part);
}

export function textMatching(pattern: RegExp): unknown {
  return expect.stringMatching(pattern);
}

export function objectWith(fields: Readonly<Record<string, unknown>>): unknown {
  return expect.objectContaining(fields);
}

export function listWith(entries: readonly unknown[]): unknown {
  return expect.arrayContaining([...entries]);
}
