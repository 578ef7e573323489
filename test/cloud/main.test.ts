import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const main = fileURLToPath(new URL("main.ts", import.meta.url));

it.each(["SIGINT", "SIGTERM"] as const)(
  "npm run cloud prints what a device needs, and %s leaves nothing behind",
  async (signal) => {
    const child = spawn(process.execPath, [main, "--quiet", "--scope", "0ne00TEST", "--hub", "plant"]);
    child.stdout.setEncoding("utf8");
    let printed = "";
    let ca = "";
    for await (const chunk of child.stdout) {
      printed += String(chunk);
      if (printed.includes("Ctrl-C") && !child.killed) {
        ca = readFileSync(/^CA +(.+)$/m.exec(printed)?.[1] ?? "", "utf8");
        child.kill(signal);
      }
    }
    if (child.exitCode === null) await once(child, "exit");
    expect(child.exitCode).toBe(0);
    expect(ca).toContain("BEGIN CERTIFICATE");
    expect(printed).toMatch(/^ID scope +0ne00TEST$/m);
    expect(printed).toMatch(/^Hub +127\.\d+\.\d+\.2:8883 \(plant\)$/m);
    expect(existsSync(/^CA +(.+)$/m.exec(printed)?.[1] ?? "")).toBe(false);
  },
);
