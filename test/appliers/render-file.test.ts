import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as fc from "fast-check";
import { parse as parseToml } from "smol-toml";
import { describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { renderFile, type FormatRule } from "../../src/appliers/format/render-file.ts";
import type { Json } from "../../src/platform/json.ts";
import { anyJsonObject } from "../platform/any-json.ts";

const oneLine = "expected a number, true/false or a text of one line without spaces at its ends";

describe("what a format cannot say is told with its path", () => {
  test.each<[FormatRule["format"], Json, readonly string[]]>([
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
    ["text", 1, ["site: expected a text"]],
    ["text", { a: "b" }, ["site: expected a text"]],
    ["text", "a\0b", ["site: not valid Unicode, or a NUL character in it"]],
    ["yaml", { a: ["\ud800"] }, ["site: a text in it is not valid Unicode"]],
    ["ini", [1], ["site: an INI file needs an object"]],
    ["ini", { "a=b": 1 }, ['site: a key cannot be called "a=b"']],
    ["ini", { "[evil]": 1 }, ['site: a key cannot be called "[evil]"']],
    ["ini", { "x]\n[evil": { a: 1 } }, ['site: a section cannot be called "x]\\n[evil"']],
    ["ini", { net: { a: "1\n[evil]" } }, [`site.net.a: ${oneLine}`]],
    ["ini", { net: { a: [" 1"] } }, [`site.net.a: ${oneLine}`]],
    ["ini", { net: { a: "continued\\" } }, [`site.net.a: ${oneLine}`]],
    ["ini", { net: { a: { b: 1 } } }, [`site.net.a: ${oneLine}`]],
    ["env", { A: "\ud800" }, ["site.A: control characters other than tab and line feed are not allowed"]],
  ])("%s: %j", async (format, value, problems) => {
    expect(await problemsOf({ format }, value)).toEqual(problems);
  });

  test.each(["", "1A", "A B", "A=B", "A\nB", "A-B", "Ä", "A.B"])("%j names no variable", async (name) => {
    expect(await problemsOf({ format: "env" }, { [name]: "x" })).toHaveLength(1);
  });
});

describe("what is written", () => {
  test("JSON is indented and ends with a line feed", async () => {
    expect(await textOf({ format: "json" }, { a: [1], b: "ü" })).toBe(
      '{\n  "a": [\n    1\n  ],\n  "b": "ü"\n}\n',
    );
    expect(await textOf({ format: "json" }, "text")).toBe('"text"\n');
  });

  test("an environment file quotes only what needs it", async () => {
    const value = { PLAIN: "a/b-1.2:3", NUMBER: -1.5, YES: true, EMPTY: "", SPACE: "a b", ALL: 'a"$`\\\n' };
    expect(await textOf({ format: "env" }, value)).toBe(
      'PLAIN=a/b-1.2:3\nNUMBER=-1.5\nYES=true\nEMPTY=""\nSPACE="a b"\nALL="a\\"\\$\\`\\\\\n"\n',
    );
  });

  test("an INI file has the scalars of the top first, then sections, and a key once for each item of a list", async () => {
    const value = { net: { Address: ["10.0.0.1/24", "fd00::1/64"], DHCP: false }, name: "gw", empty: {} };
    expect(await textOf({ format: "ini" }, value)).toBe(
      "name=gw\n\n[net]\nAddress=10.0.0.1/24\nAddress=fd00::1/64\nDHCP=false\n\n[empty]\n",
    );
  });

  test("a text is written as it is", async () => {
    expect(await textOf({ format: "text" }, "no line feed")).toBe("no line feed");
  });

  test("YAML reads back the same with the rules of 1.2 and of 1.1, whatever it was", async () => {
    expect(await textOf({ format: "yaml" }, { country: "no", at: "12:30" })).toBe(
      'country: "no"\nat: "12:30"\n',
    );
    await fc.assert(
      fc.asyncProperty(anyJsonObject, async (value) => {
        fc.pre((await problemsOf({ format: "yaml" }, value)).length === 0);
        const text = await textOf({ format: "yaml" }, value);
        expect(plain(parseYaml(text))).toEqual(plain(value));
        expect(plain(parseYaml(text, { version: "1.1", merge: false }))).toEqual(plain(value));
      }),
    );
  });

  test("a TOML reader reads back what was written, whatever it was", async () => {
    await fc.assert(
      fc.asyncProperty(anyJsonObject, async (value) => {
        fc.pre((await problemsOf({ format: "toml" }, value)).length === 0);
        expect(plain(parseToml(await textOf({ format: "toml" }, value)))).toEqual(plain(value));
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
        fc.pre((await problemsOf({ format: "env" }, value)).length === 0);
        await writeFile(file, await textOf({ format: "env" }, value));
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

describe("a template", () => {
  test("gets texts, numbers and true/false, unescaped, and repeats sections", async () => {
    const text = "{{name}} {{net.mtu}} {{on}}\n{{#dns}}server {{.}}\n{{/dns}}{{^none}}none\n{{/none}}";
    const value = { name: "<a & b>", net: { mtu: 1500 }, on: false, dns: ["1.1.1.1", "9.9.9.9"] };
    expect(await textOf(template(text), value)).toBe(
      "<a & b> 1500 false\nserver 1.1.1.1\nserver 9.9.9.9\nnone\n",
    );
  });

  test.each<[string, Json, string]>([
    ["{{a.b}}", { a: {} }, "site.a.b: the template wants a text, a number or true/false here"],
    ["{{a}}", { a: {} }, "site.a: the template wants a text, a number or true/false here"],
    ["{{{a}}}", { a: [1] }, "site.a: the template wants a text, a number or true/false here"],
    ["{{.}}", {}, "site: the template wants a text, a number or true/false here"],
    ["{{a}}", { a: "x\ny" }, "site.a: line feeds and control characters are not allowed in a template"],
    ["{{a}}", { a: "\u2028" }, "site.a: line feeds and control characters are not allowed in a template"],
    ["{{#a}}{{b}}{{/a}}", { a: [null] }, "site: null is not allowed in a template"],
    ["{{toString}}", {}, "site.toString: the template wants a text, a number or true/false here"],
  ])("%s does not take %j", async (text, value, problem) => {
    expect(await problemsOf(template(text), value)).toEqual([problem]);
  });

  test("a value is never read as a template", async () => {
    expect(await textOf(template("{{a}} {{b}}"), { a: "{{b}}", b: "{{=<% %>=}}" })).toBe("{{b}} {{=<% %>=}}");
  });

  test("whatever the value, the outcome is a text or problems", async () => {
    await fc.assert(
      fc.asyncProperty(anyJsonObject, async (value) => {
        const text =
          "{{a}}{{#b}}{{c}}{{.}}{{/b}}{{^d}}{{e.f}}{{/d}}{{constructor}}{{#__proto__}}{{x}}{{/__proto__}}";
        expect(["parsed", "rejected"]).toContain((await renderFile(template(text), "site", value)).status);
      }),
    );
  });
});

/** TOML tables have no prototype, and TOML does not tell 1.0 from 1. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

async function problemsOf(rule: FormatRule, value: Json): Promise<readonly string[]> {
  const rendered = await renderFile(rule, "site", value);
  return rendered.status === "rejected" ? rendered.problems : [];
}

async function textOf(rule: FormatRule, value: Json): Promise<string> {
  const rendered = await renderFile(rule, "site", value);
  if (rendered.status === "rejected") throw new Error(rendered.problems.join("; "));
  return rendered.value;
}

function template(text: string): FormatRule {
  return { format: "template", template: { path: "/etc/my-app/t", text } };
}
