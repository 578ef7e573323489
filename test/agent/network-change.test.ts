import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

/** Why no network namespace can be made here; undefined where one can. */
function whyNoNamespace(): string | undefined {
  const { status, stderr } = spawnSync("unshare", ["--net", "ip", "link", "add", "br0", "type", "bridge"]);
  return status === 0 ? undefined : `no network namespace: ${String(stderr).trim()}`;
}

test(
  "row 10: an agent whose network changes asks its line at once, leaves a dead one, and ends its wait",
  {
    timeout: 60_000,
  },
  ({ skip }) => {
    const reason = whyNoNamespace();
    skip(reason !== undefined, reason);
    const script = join(import.meta.dirname, "process-network-change.ts");
    const said = execFileSync("unshare", ["--net", process.execPath, script], { encoding: "utf8" });
    expect(said.split("\n")).toEqual([
      "a line that lives stays",
      expect.stringMatching(/^a dead line was left and replaced within \d+ ms$/),
      expect.stringMatching(/^a wait of \d{5,} ms ended after \d+ ms$/),
      "",
    ]);
  },
);
