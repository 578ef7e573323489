import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readTrustedRoots } from "../../src/platform/trusted-roots.ts";
import { failureOf } from "../failure-of.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

test.each([
  ["is missing", undefined, /cannot be read \(ENOENT\)/],
  ["is empty", "", /holds no PEM certificate/],
  ["is DER", "\u0030\u0082\u0001", /holds no PEM certificate/],
  ["holds only a key", "-----BEGIN PRIVATE KEY-----\n", /holds no PEM certificate/],
])(
  "a bundle that %s needs an operator, and the message names the file and the setting",
  async (_, content, says) => {
    using folder = new TemporaryFolder();
    const path = folder.join("roots.pem");
    if (content !== undefined) writeFileSync(path, content);
    const error = await failureOf(readTrustedRoots(path));
    expect(error).toMatchObject({ code: "platform/trust-bundle", remedy: "operator" });
    expect(error.message).toMatch(says);
    expect(error.message).toContain(path);
    expect(error.message).toContain("[tls] trust_bundle");
  },
);

test("a bundle is read anew each time, so that a mended one heals the agent", async () => {
  using folder = new TemporaryFolder();
  const path = folder.join("roots.pem");
  writeFileSync(path, `# comment\n${pem}`);
  expect(await readTrustedRoots(path)).toContain(pem);
  writeFileSync(path, pem + pem);
  expect(await readTrustedRoots(path)).toBe(pem + pem);
});
