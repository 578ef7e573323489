import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as fc from "fast-check";
import { parse as parseToml } from "smol-toml";
import { describe, expect, test } from "vitest";
import { checkFormat, renderFormat, type FileFormat } from "../../src/appliers/file-format.ts";
import type { Json } from "../../src/platform/json.ts";
import { anyJsonObject } from "../platform/any-json.ts";

describe("what a format cannot say is told with its path", () => {
  test.each<[FileFormat, Json, readonly string[]]>([
    ["toml", "text", ["site: TOML needs an object"]],
    ["toml", [1], ["site: TOML needs an object"]],
    ["toml", { a: { b: [1, { c: null }] } }, ["site.a.b[1].c: TOML has no null"]],
    ["toml", { a: [null], b: null }, ["site.a[0]: TOML has no null", "site.b: TOML has no null"]],
    ["toml", { "\ud800": 1 }, ["site: a key is not valid Unicode"]],
    ["env", "A=1", ["site: an environment file needs an object"]],
    ["env", { A: {} }, ["site.A: expected a string, a number or true/false"]],
    ["env", { A: null }, ["site.A: expected a string, a number or true/false"]],
    ["env", { A: "x\0y" }, ["site.A: control characters other than tab and line feed are not allowed"]],
    ["env", { A: "x\u001by" }, ["site.A: control characters other than tab and line feed are not allowed"]],
    ["env", { A: "\ud800" }, ["site.A: control characters other than tab and line feed are not allowed"]],
  ])("%s: %j", (format, value, problems) => {
    expect(checkFormat(format, "site", value)).toEqual(problems);
  });

  test.each(["", "1A", "A B", "A=B", "A\nB", "A-B", "Ä", "A.B"])("%j names no variable", (name) => {
    expect(checkFormat("env", "site", { [name]: "x" })).toHaveLength(1);
  });
});

describe("what is written", () => {
  test("JSON is indented and ends with a line feed", async () => {
    expect(await renderFormat("json", { a: [1], b: "ü" })).toBe('{\n  "a": [\n    1\n  ],\n  "b": "ü"\n}\n');
    expect(await renderFormat("json", "text")).toBe('"text"\n');
  });

  test("an environment file quotes only what needs it", async () => {
    const value = { PLAIN: "a/b-1.2:3", NUMBER: -1.5, YES: true, EMPTY: "", SPACE: "a b", ALL: 'a"$`\\\n' };
    expect(checkFormat("env", "site", value)).toEqual([]);
    expect(await renderFormat("env", value)).toBe(
      'PLAIN=a/b-1.2:3\nNUMBER=-1.5\nYES=true\nEMPTY=""\nSPACE="a b"\nALL="a\\"\\$\\`\\\\\n"\n',
    );
  });

  test("a TOML reader reads back what was written, whatever it was", async () => {
    await fc.assert(
      fc.asyncProperty(anyJsonObject, async (value) => {
        fc.pre(checkFormat("toml", "site", value).length === 0);
        expect(plain(parseToml(await renderFormat("toml", value)))).toEqual(plain(value));
      }),
    );
  });

  test("a shell reads back what was written to an environment file, whatever it was", async () => {
    const folder = await mkdtemp(join(tmpdir(), "latebind-env-"));
    const file = join(folder, "env");
    const texts = fc.array(fc.string({ unit: "grapheme" }), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(texts, async (list) => {
        const value = Object.fromEntries(list.map((text, index) => [`V${index}`, text]));
        fc.pre(checkFormat("env", "site", value).length === 0);
        await writeFile(file, await renderFormat("env", value));
        // NUL ends each value, so that line feeds in values are seen.
        const script = `. "$0"; printf '%s\\0' ${list.map((_, index) => `"$V${index}"`).join(" ")}`;
        const { stdout } = await promisify(execFile)("/bin/sh", ["-c", script, file]);
        expect(stdout.split("\0").slice(0, -1)).toEqual(list);
      }),
      { numRuns: 30 },
    );
    await rm(folder, { recursive: true });
  });
});

/** TOML tables have no prototype, and TOML does not tell 1.0 from 1. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
