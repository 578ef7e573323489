import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe } from "vitest";
import { createFileApplier } from "../../src/appliers/file.ts";
import type { FileRule } from "../../src/config/config.ts";
import { describeApplierContract } from "../contract/applier.ts";

const shared = { after: [], mend: false, privileged: false, timeoutMs: 10_000 };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "latebind-file-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

function rule(more: Partial<FileRule> = {}): FileRule {
  const file = join(folder, "site.json");
  return { property: "site", kind: "file", file, format: "json", mode: 0o640, ...shared, ...more };
}

async function observe(): Promise<unknown> {
  const entries = await readdir(folder);
  return Promise.all(
    entries.map(async (name) => [
      name,
      await readFile(join(folder, name), "utf8"),
      (await stat(join(folder, name))).mode,
    ]),
  );
}

const legal = [{ a: 1 }, { a: 2, b: "x" }] as const;

describe("a JSON file", () => {
  describeApplierContract(async () => ({
    create: () => createFileApplier(rule()),
    legal,
    illegal: [],
    observe,
  }));
});
describe("a TOML file", () => {
  describeApplierContract(async () => ({
    create: () => createFileApplier(rule({ format: "toml" })),
    legal,
    illegal: [1, "x", [], { a: [null] }],
    observe,
  }));
});
describe("an environment file with a command", () => {
  describeApplierContract(async () => ({
    create: () => createFileApplier(rule({ format: "env", command: ["/bin/true"] })),
    legal,
    illegal: [1, "x", [], { a: {} }, { "a b": 1 }],
    observe,
  }));
});

describe("a YAML file", () => {
  describeApplierContract(async () => ({
    create: () => createFileApplier(rule({ format: "yaml" })),
    legal,
    illegal: ["\ud800"],
    observe,
  }));
});
describe("an INI file", () => {
  describeApplierContract(async () => ({
    create: () => createFileApplier(rule({ format: "ini" })),
    legal: [{ a: 1 }, { net: { mtu: 1500 } }],
    illegal: [1, "x", [], { a: "line\nfeed" }, { a: { b: { c: 1 } } }],
    observe,
  }));
});
describe("a raw text", () => {
  describeApplierContract(async () => ({
    create: () => createFileApplier(rule({ format: "text" })),
    legal: ["one\n", ""],
    illegal: [1, {}, [], "\0"],
    observe,
  }));
});
describe("a template", () => {
  const template = { path: "/etc/my-app/site.mustache", text: "mtu {{net.mtu}}\n" };
  describeApplierContract(async () => ({
    create: () => createFileApplier(rule({ format: "template", template })),
    legal: [{ net: { mtu: 1500 } }, { net: { mtu: "9000" } }],
    illegal: [1, {}, { net: {} }, { net: { mtu: "1\nroot" } }, { net: { mtu: null } }],
    observe,
  }));
});
