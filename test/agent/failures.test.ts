import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

/* The tables of README.md beside this file are held to what is there. */

const root = resolve(import.meta.dirname, "..");
const readme = readFileSync(join(import.meta.dirname, "README.md"), "utf8");

/** What concerns issued certificates or MQTT 5, which the agent has not. */
const future = {
  row: [23, 24, 25, 36, 37, 38, 39, 40, 42, 43, 47, 51, 52, 54, 58, 63, 64, 65, 66, 67, 68],
  case: [6, 12, 13, 14, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 35, 57, 58, 59, 60],
};

interface Entry {
  readonly number: number;
  readonly shownBy: { readonly file: string; readonly name: string } | undefined;
}

function entries(heading: "row" | "case"): readonly Entry[] {
  const [, table = ""] = new RegExp(`\\| ${heading} \\|.*\\n\\|[-|]+\\n((?:\\|.*\\n)+)`).exec(readme) ?? [];
  return table
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [, number = "", , shown = ""] = line.split("|").map((cell) => cell.trim());
      const [, file, name] = /^`([^`]+)` (.+)$/.exec(shown) ?? [];
      if (file === undefined || name === undefined) {
        if (shown !== "future") throw new Error(`names no test: ${line}`);
        return { number: Number(number), shownBy: undefined };
      }
      return { number: Number(number), shownBy: { file, name } };
    });
}

test.for([
  ["row", 72],
  ["case", 62],
] as const)("each %s has a test, or is marked as future by its number", ([heading, last]) => {
  const found = entries(heading);
  const numbers = new Set(found.map(({ number }) => number));
  expect([...numbers]).toEqual(Array.from({ length: last }, (_, index) => index + 1));
  const later = found.filter(({ shownBy }) => shownBy === undefined).map(({ number }) => number);
  expect(later).toEqual(future[heading]);
});

test("each test that is named exists, in the file that is named", () => {
  const missing = [...entries("row"), ...entries("case")].flatMap(({ number, shownBy }) => {
    if (shownBy === undefined) return [];
    const path = join(root, `${shownBy.file}.test.ts`);
    if (!existsSync(path)) return [`${number}: ${path} does not exist`];
    const isThere = ['"', "'", "`"].some((quote) =>
      readFileSync(path, "utf8").includes(`${quote}${shownBy.name}${quote}`),
    );
    return isThere ? [] : [`${number}: ${shownBy.file} has no test "${shownBy.name}"`];
  });
  expect(missing).toEqual([]);
});
