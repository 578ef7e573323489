import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

/** Why no network namespace can be made here; undefined where one can. */
function whyNoNamespace(): string | undefined {
  const { status, stderr } = spawnSync("unshare", ["--net", "ip", "link", "set", "lo", "up"]);
  return status === 0 ? undefined : `no network namespace: ${String(stderr).trim()}`;
}

test(
  "a wish that cuts the network is undone in time, the device comes back and says so, and it is not tried again",
  { timeout: 120_000 },
  ({ skip }) => {
    const reason = whyNoNamespace();
    skip(reason !== undefined, reason);
    const script = join(import.meta.dirname, "process-network-cut.ts");
    const said = execFileSync("unshare", ["--net", process.execPath, script], { encoding: "utf8" });
    expect(said.split("\n")).toEqual([
      "a change that leaves the line alone is confirmed",
      expect.stringMatching(/^a wish that cut the network was undone after 1\d{4} ms$/),
      expect.stringMatching(/^the hub knew after \d+ ms$/),
      "it is not tried again",
      "a power cut in the middle changes nothing of that",
      "",
    ]);
  },
);
