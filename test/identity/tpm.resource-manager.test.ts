import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { SoftTpm } from "./soft-tpm.ts";

const inFolder = (name: string) => resolve(import.meta.dirname, name);

/** Why no resource manager can be run here; undefined where one can. */
const whyNot =
  process.getuid?.() !== 0
    ? "only root may give a bus to a process alone"
    : existsSync("/usr/sbin/tpm2-abrmd") && existsSync("/usr/bin/dbus-daemon")
      ? undefined
      : "tpm2-abrmd is missing; run: sh .ci/ready tabrmd";
if (whyNot !== undefined) console.log(`skipped: a TPM behind tabrmd: ${whyNot}`);

test.skipIf(whyNot !== undefined)(
  "behind tabrmd the TPM takes keys in and signs, and nothing is left in it",
  async () => {
    await using soft = await SoftTpm.start();
    const alone = ["--mount", "--propagation", "private"];
    const withTabrmd = ["sh", inFolder("with-tabrmd.sh"), soft.folder];
    const work = [process.execPath, inFolder("process-with-tabrmd.ts"), soft.workDirectory];
    const { stdout } = await promisify(execFile)("unshare", [...alone, ...withTabrmd, ...work]);
    expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toEqual({ signed: 5, left: "" });
    expect(soft.leftovers()).toEqual([]);
  },
  60_000,
);
