import { readdirSync, renameSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/* Loaded before the agent (`node --import`): at SIGUSR2 it collects garbage and writes what the process holds to RESOURCES_FILE. */

setFlagsFromString("--expose-gc");
const collectGarbage: unknown = runInNewContext("gc");
const file = process.env["RESOURCES_FILE"] ?? "/dev/null";

function tell(): void {
  if (typeof collectGarbage === "function") for (let times = 0; times < 3; times += 1) collectGarbage();
  const held: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) held[name] = (held[name] ?? 0) + 1;
  const { heapUsed, rss } = process.memoryUsage();
  const descriptors = readdirSync("/proc/self/fd").length;
  writeFileSync(`${file}.new`, JSON.stringify({ heapUsed, rss, descriptors, held }));
  renameSync(`${file}.new`, file);
}

process.on("SIGUSR2", tell);
