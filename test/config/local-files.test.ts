import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { formatProblem } from "../../src/config/problem.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const rule = 'id_scope = "0ne000A0B1C"\n[[apply]]\nproperty = "a"\nfile = "/opt/a"\n';

async function load(folder: TemporaryFolder, more: string) {
  writeFileSync(folder.join("config.toml"), rule + more);
  return loadConfig({ file: folder.join("config.toml"), stateDirectory: "/var/lib/latebind" });
}

async function problems(folder: TemporaryFolder, more: string): Promise<readonly string[]> {
  const loaded = await load(folder, more);
  if (loaded.status === "valid") return [];
  return loaded.problems.map((problem) => formatProblem(problem).replaceAll(folder.path, "DIR"));
}

describe("a schema or template that cannot be used is a problem of the configuration, told with its line", () => {
  test.each([
    ["{", "expected a JSON Schema, found no JSON"],
    ['{"type":"strng"}', "expected a JSON Schema, found a fault in it: schema.type: "],
    ['{"requried":["a"]}', "expected a JSON Schema, found a fault in it: schema.requried: not allowed here"],
  ])("the schema %s", async (text, message) => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.join("a.json"), text);
    const [line] = await problems(folder, `schema = "${folder.join("a.json")}"`);
    expect(line).toContain(`DIR/config.toml:5: apply[0].schema: DIR/a.json: ${message}`);
    expect(line).toMatch(/Fix: mend DIR\/a\.json, or name another\.$/);
  });

  test("the template {{#a}}", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.join("a.mustache"), "{{#a}}");
    expect(await problems(folder, `template = "${folder.join("a.mustache")}"`)).toEqual([
      'DIR/config.toml:5: apply[0].template: DIR/a.mustache: expected a mustache template, found a fault in it: Unclosed section "a" at 6. Fix: mend DIR/a.mustache, or name another.',
    ]);
  });

  test("a folder, a file of more than a megabyte, nothing", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.join("large"), " ".repeat(1024 * 1024 + 1));
    expect(await problems(folder, `schema = "${folder.path}"`)).toHaveLength(1);
    expect((await problems(folder, `schema = "${folder.join("large")}"`))[0]).toContain(
      "expected at most 1 MiB",
    );
    expect((await problems(folder, `schema = "${folder.join("no")}"`))[0]).toContain("found nothing there");
  });
});

describe("what is no file is told at once, and neither waited for nor read", () => {
  test.each<[string, (path: string) => void]>([
    ["a pipe that nobody writes", (path) => execFileSync("/usr/bin/mkfifo", [path])],
    ["a link to /dev/zero", (path) => symlinkSync("/dev/zero", path)],
    ["a folder", (path) => mkdirSync(path)],
  ])("%s", async (_, lay) => {
    for (const setting of ["schema", "template"]) {
      using folder = new TemporaryFolder();
      lay(folder.join("a"));
      // In a process of its own: what blocks would block the test, its time limit included.
      writeFileSync(folder.join("config.toml"), `${rule}${setting} = "${folder.join("a")}"`);
      const main = resolve(import.meta.dirname, "../../src/main.ts");
      const args = [main, "config", "check", "--config", folder.join("config.toml")];
      const { stdout, stderr, signal } = spawnSync(process.execPath, args, {
        timeout: 10_000,
        killSignal: "SIGKILL",
        encoding: "utf8",
      });
      expect(signal).toBeNull();
      expect(stdout + stderr).toContain("expected a regular file, found something else");
    }
  });

  test("a file that says it is empty and is not: /proc/kallsyms has more than a megabyte", async () => {
    using folder = new TemporaryFolder();
    expect((await problems(folder, 'schema = "/proc/kallsyms"'))[0]).toContain("expected at most 1 MiB");
  });
});

test("a schema and a template are in the configuration as they were when it was read", async () => {
  using folder = new TemporaryFolder();
  const [schema, template] = [folder.join("a.json"), folder.join("a.mustache")];
  writeFileSync(schema, '{"type":"object"}');
  writeFileSync(template, "{{a}}\n");
  const loaded = await load(folder, `schema = "${schema}"\ntemplate = "${template}"`);
  expect(loaded).toMatchObject({
    status: "valid",
    config: {
      apply: [
        {
          kind: "file",
          format: "template",
          template: { path: template, text: "{{a}}\n" },
          schema: { path: schema, text: '{"type":"object"}' },
        },
      ],
    },
  });
});
