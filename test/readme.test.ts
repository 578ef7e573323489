import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { configTemplate } from "../src/config/template.ts";

const root = resolve(import.meta.dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");

function sourceText(): string {
  return readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => readFileSync(join(root, "src", name), "utf8"))
    .join("\n");
}

test("the README lists every failure code, and no code that does not exist", () => {
  const inCode = [
    ...sourceText().matchAll(
      /"((?:platform|identity|mqtt|provisioning|hub|appliers|control|cli)\/[a-z-]+)"/g,
    ),
  ];
  const inReadme = [...readme.matchAll(/^\| `([a-z]+\/[a-z-]+)` \|/gm)];
  const codes = new Set(inCode.map(([, code]) => code));
  expect(codes.size).toBeGreaterThan(40);
  expect(new Set(inReadme.map(([, code]) => code))).toEqual(codes);
});

test("the configuration reference in the README is what the program prints", () => {
  expect(readme).toContain(configTemplate());
});

test("the README names every package that the agent stands on", () => {
  const manifest: unknown = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const names = dependenciesOf(manifest);
  expect(names.length).toBeGreaterThan(3);
  expect(names.filter((name) => !readme.includes(`| ${name} |`))).toEqual([]);
});

function dependenciesOf(manifest: unknown): readonly string[] {
  if (typeof manifest !== "object" || manifest === null || !("dependencies" in manifest)) return [];
  return Object.keys(manifest.dependencies ?? {});
}
