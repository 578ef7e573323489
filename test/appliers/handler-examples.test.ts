import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import type { Applier } from "../../src/appliers/applier.ts";
import { createHandlerApplier } from "../../src/appliers/handler.ts";
import type { Json } from "../../src/platform/json.ts";
import { apply } from "../contract/applier.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const page = readFileSync(resolve(import.meta.dirname, "../../packaging/handlers.md"), "utf8");
const whyNot = [
  ...(userInfo().uid === 0 ? [] : ["only root can lay down a handler that latebind runs"]),
  ...["/usr/bin/jq", "/usr/bin/python3"]
    .filter((file) => !existsSync(file))
    .map((file) => `${file} is missing`),
];
if (whyNot.length > 0) console.warn(`skipped: ${whyNot.join("; ")}`);

describe.skipIf(whyNot.length > 0)("the example of the page for authors", () => {
  test.each(["sh", "python"])("in %s does what the page says", async (language) => {
    using folder = new TemporaryFolder();
    const target = folder.join("50-latebind.conf");
    const handler = layDown(language, folder);

    expect(await apply(handler, { servers: ["ntp.example", "10.0.0.1"] })).toEqual({
      status: "applied",
      changed: [target],
    });
    expect(readFileSync(target, "utf8")).toBe("[Time]\nNTP=ntp.example 10.0.0.1\n");
    expect(await apply(handler, { servers: ["ntp.example", "10.0.0.1"] })).toEqual({ status: "unchanged" });
    const illegal: readonly Json[] = [
      1,
      {},
      { servers: "a" },
      { servers: ["a b"] },
      { servers: ["a\nb"] },
      { servers: [1] },
    ];
    for (const value of illegal) {
      expect([value, await apply(handler, value)]).toMatchObject([value, { status: "rejected" }]);
    }
    expect(readFileSync(target, "utf8")).toBe("[Time]\nNTP=ntp.example 10.0.0.1\n");
  });
});

/** The block of the page in this language, with its target moved into the folder. */
function layDown(language: string, folder: TemporaryFolder): Applier {
  const block = new RegExp(`\`\`\`${language}\n(#![^]*?)\`\`\``).exec(page)?.[1];
  if (block === undefined) throw new Error(`no block in ${language}`);
  const script = block.replaceAll("/etc/systemd/timesyncd.conf.d", folder.path);
  expect(script).not.toBe(block);
  mkdirSync(folder.join("handlers"));
  const file = join(folder.path, "handlers", "time");
  writeFileSync(file, script);
  chmodSync(file, 0o755);
  const rule = {
    property: "time",
    kind: "handler",
    handler: "time",
    timeoutMs: 10_000,
    after: [],
    mend: false,
    privileged: false,
  } as const;
  return createHandlerApplier(rule, [folder.join("handlers")]);
}
