import { readdir, readFile } from "node:fs/promises";

/** What Linux says about a living process. */
export interface Footprint {
  /** Kibibytes: its share of what is resident, and what is its own and cannot be dropped. See proc_pid_smaps(5). */
  readonly pssKib: number;
  readonly anonymousKib: number;
  /** How often one of its threads slept and was woken since it started. */
  readonly wakeUps: number;
  /** write(2) and its kin, and their bytes, since it started. See proc_pid_io(5). */
  readonly writeCalls: number;
  readonly writtenBytes: number;
}

export async function footprint(pid: number): Promise<Footprint> {
  const memory = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  const io = await readFile(`/proc/${pid}/io`, "utf8");
  const threads = await eachThread(pid, "status");
  return {
    pssKib: field(memory, "Pss"),
    anonymousKib: field(memory, "Anonymous"),
    wakeUps: sum(threads.map((status) => field(status, "voluntary_ctxt_switches"))),
    writeCalls: field(io, "syscw"),
    writtenBytes: field(io, "wchar"),
  };
}

/** Milliseconds that all threads together have spent on a processor: see "schedstat" in the kernel's sched-stats.rst. */
export async function cpuMs(pid: number): Promise<number> {
  const threads = await eachThread(pid, "schedstat");
  return sum(threads.map((line) => Number(line.split(" ")[0]) / 1e6));
}

async function eachThread(pid: number, file: string): Promise<readonly string[]> {
  const threads = await readdir(`/proc/${pid}/task`);
  return Promise.all(threads.map(async (thread) => readFile(`/proc/${pid}/task/${thread}/${file}`, "utf8")));
}

function field(text: string, name: string): number {
  const value = new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1];
  if (value === undefined) throw new Error(`/proc has no ${name}`);
  return Number(value);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
