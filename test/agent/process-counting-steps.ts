import childProcess from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import timers from "node:timers/promises";
import tls from "node:tls";

/*
 * Loaded before the agent (`node --import`): counts every step with which it changes a file, starts a child process or hears of its
 * end, and connects, writes, or receives something, and kills the process without warning just before step KILL_AT. Nothing of the agent is
 * replaced. STEPS_FILE gets one line for each step. HURRY shortens the waits of the agent's clock, so that a sweep ends.
 */

const killAt = Number(process.env["KILL_AT"] ?? Infinity);
const hurry = Number(process.env["HURRY"] ?? 1);
const file = process.env["STEPS_FILE"];
const output = file === undefined ? undefined : fs.openSync(file, "w");
const { writeSync } = fs;
let steps = 0;

/** A moment at which the power may fail. */
function step(what: string): void {
  steps += 1;
  if (output !== undefined) writeSync(output, `${what}\n`);
  if (steps === killAt) process.kill(process.pid, "SIGKILL");
}

type Method = (this: unknown, ...args: readonly unknown[]) => unknown;

/** Puts a step before each call of a method that passes the sieve. What is done by the call is undone until then and done at the next. */
function count(owner: unknown, name: string, sieve: (first: unknown) => boolean = () => true): void {
  if (typeof owner !== "object" || owner === null) throw new Error(`nobody has ${name}`);
  const method: unknown = Reflect.get(owner, name);
  if (typeof method !== "function") throw new Error(`there is no ${name}`);
  const counted: Method = function (...args) {
    if (sieve(args[0])) step(name);
    const result: unknown = Reflect.apply(method, this, args);
    return result;
  };
  Reflect.set(owner, name, Object.assign(counted, method));
}

const isNoOutput = (descriptor: unknown) => typeof descriptor !== "number" || descriptor > 2;
const names = ["writeSync", "writeFileSync", "fsyncSync", "renameSync", "unlinkSync", "rmSync", "mkdirSync"];
for (const name of [...names, "chmodSync"]) count(fs, name, isNoOutput);
for (const name of ["open", "rename", "unlink", "mkdir"]) count(fs.promises, name);
const handle = await fs.promises.open("/dev/null");
const handles: unknown = Object.getPrototypeOf(handle);
for (const name of ["writeFile", "sync", "chmod", "chown"]) count(handles, name);
await handle.close();
count(childProcess, "spawn");
count(childProcess.ChildProcess.prototype, "emit", (event) => event === "exit");
count(net.Socket.prototype, "connect");
for (const name of ["_write", "_writev"]) count(tls.TLSSocket.prototype, name);
const events = new Set<unknown>(["secureConnect", "data", "end", "close"]);
count(tls.TLSSocket.prototype, "emit", (event) => events.has(event));

const { setTimeout: sleep } = timers;
const hurried: typeof sleep = async (ms, value, options) => sleep((ms ?? 0) / hurry, value, options);
Reflect.set(timers, "setTimeout", hurried);
syncBuiltinESMExports();
