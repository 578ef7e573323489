import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import type { CloudAddress } from "./test-device.ts";

/** The cloud as a process of its own, started by its command. */
export interface CloudProcess extends CloudAddress, AsyncDisposable {
  /** From the start of the process until it has printed everything. */
  readonly startedInMs: number;
  readonly caPath: string;
  /** Sends a request to the admin API and returns the answer's JSON. */
  admin(method: string, path: string, body?: object): Promise<unknown>;
  residentBytes(): number;
  /** Resolves with the exit code. */
  stop(): Promise<number | null>;
}

const place = v.object({
  name: v.string(),
  host: v.string(),
  dnsName: v.string(),
  port: v.number(),
  httpsPort: v.number(),
  isUp: v.boolean(),
});
const index = v.object({ idScope: v.string(), caPem: v.string(), endpoints: v.array(place) });

export async function startCloudProcess(...options: readonly string[]): Promise<CloudProcess> {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const startedAtMs = performance.now();
  const child = spawn(process.execPath, [main, ...options], { stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  const complaint = text(child.stderr);
  const printed: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    printed.push(line);
    if (line.includes("Ctrl-C")) break;
  }
  const startedInMs = performance.now() - startedAtMs;
  child.stdout.resume();
  const value = (label: string): string =>
    printed
      .find((line) => line.startsWith(label))
      ?.slice(label.length)
      .trim() ?? "";
  const adminUrl = value("Admin API");
  if (adminUrl === "") throw new Error(`the cloud did not start:\n${await complaint}`);
  const admin = async (method: string, path: string, body?: object): Promise<unknown> => {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await fetch(`${adminUrl}${path}`, { method, ...sent });
    return response.status === 204 ? undefined : response.json();
  };
  const { idScope, caPem, endpoints } = v.parse(index, await admin("GET", "/"));
  const find = (name: string): v.InferOutput<typeof place> => {
    const found = endpoints.find((endpoint) => endpoint.name === name);
    if (found === undefined) throw new Error(`there is no endpoint ${name}`);
    return found;
  };
  const pid = child.pid ?? 0;
  const stop = async (): Promise<number | null> => {
    child.kill("SIGTERM");
    await exited;
    return child.exitCode;
  };
  return {
    startedInMs,
    idScope,
    caPem,
    caPath: value("CA"),
    dps: find("dps"),
    hub: find,
    admin,
    residentBytes: () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024,
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}
