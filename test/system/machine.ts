import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, readFileSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { execute, type CommandResult } from "./execute.ts";
import { systemRoot, type Release } from "./system-root.ts";

const run = promisify(execFile);

const bootTimeoutMs = 60_000;
/** What systemd-nspawn exits with when the system inside wants to boot again. */
const rebootCode = 133;
/** Hierarchies in which two systems on one machine would meet, where cgroups are of the first version. */
const hierarchies = ["systemd", "unified"]
  .map((name) => join("/sys/fs/cgroup", name))
  .filter((folder) => existsSync(folder));

/** Without systemd-machined, and with the capabilities and the BPF that systemd enforces a unit's sandbox by. */
const options = [
  "-b",
  "--register=no",
  "--keep-unit",
  "--console=read-only",
  "--capability=all",
  "--system-call-filter=bpf",
  "--resolv-conf=off",
  "--timezone=off",
];
/** Of every shell inside. */
const environment = [
  "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
  "HOME=/root",
  "LC_ALL=C.UTF-8",
  "SYSTEMD_PAGER=",
  "DEBIAN_FRONTEND=noninteractive",
];

let last = 0;

/**
 * A Debian that runs on this machine's kernel with systemd as process 1, in namespaces of its own (systemd-nspawn), and with a network
 * cable that ends outside. Wants root. Its disk is a folder that goes with it.
 */
export class Machine implements AsyncDisposable {
  readonly release: Release;
  /** Top of its file system, as seen from outside. */
  readonly disk: string;
  /** First three numbers of the network on the cable; `.1` to `.3` are outside. */
  readonly network: string;
  readonly #name: string;
  #nspawn: ChildProcess | undefined;
  /** Its process 1, as a process of this machine. */
  #leader = 0;

  private constructor(release: Release, disk: string) {
    last += 1;
    this.release = release;
    this.disk = disk;
    this.#name = `lb${process.pid % 100_000}n${last}`;
    this.network = `10.${100 + (process.pid % 100)}.${(Math.trunc(process.pid / 100) + last) % 250}`;
  }

  /** A machine that has just booted for the first time. @param prepare is done to its disk before, as in an image build. */
  static async boot(
    release: Release,
    prepare: (machine: Machine) => Promise<void> = async () => {},
  ): Promise<Machine> {
    const archive = await systemRoot(release);
    const machine = new Machine(release, await mkdtemp(join(tmpdir(), `latebind-${release}-`)));
    try {
      await chmod(machine.disk, 0o755);
      await run("tar", ["--numeric-owner", "-xf", archive, "-C", machine.disk]);
      await machine.write("/etc/machine-id", "");
      await machine.write("/etc/hostname", "gw-0042\n");
      await machine.write("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 gw-0042\n");
      await machine.write("/etc/resolv.conf", "");
      await mkdir(join(machine.disk, "var/log/journal"), { recursive: true });
      await prepare(machine);
      await machine.start();
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Boots, and lays the cable. */
  async start({ isCableIn } = { isCableIn: true }): Promise<void> {
    const enter = hierarchies.map(
      (folder) => `mkdir -p ${folder}/${this.#name}; echo $$ > ${folder}/${this.#name}/cgroup.procs`,
    );
    const named = ["-D", this.disk, "-M", this.#name, "--network-veth"];
    const log = createWriteStream(`${this.disk}.console`, { flags: "a" });
    await once(log, "open");
    this.#nspawn = spawn(
      "bash",
      ["-c", [...enter, 'exec systemd-nspawn "$@"'].join("; "), "machine", ...named, ...options],
      {
        stdio: ["ignore", log, log],
        env: { PATH: process.env["PATH"], SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1" },
        detached: true,
      },
    );
    log.close();
    const deadline = Date.now() + bootTimeoutMs;
    while (!(await this.#isUp())) {
      if (this.#nspawn.exitCode !== null || Date.now() > deadline)
        throw new Error(
          `${this.#name} does not boot:\n${readFileSync(`${this.disk}.console`, "utf8").slice(-2000)}`,
        );
      await sleep(50);
    }
    const outside = `ve-${this.#name}`;
    await run("ip", ["link", "set", outside, "up"]);
    for (const host of [1, 2, 3])
      await run("ip", ["addr", "add", `${this.network}.${host}/24`, "dev", outside]);
    await this.run(`ip addr add ${this.network}.9/24 dev host0`);
    await this.setCable(isCableIn);
  }

  /** Pulls the cable, or puts it back. */
  async setCable(isIn: boolean): Promise<void> {
    await this.run(`ip link set host0 ${isIn ? "up" : "down"}`);
  }

  /** A shell as root inside. @throws Error when it does not end with 0. @returns what it printed. */
  async run(script: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.try(script);
    if (exitCode !== 0) throw new Error(`"${script}" ended with ${exitCode}:\n${stdout}${stderr}`);
    return stdout.trim();
  }

  /** A shell as root inside, however it ends. */
  async try(script: string): Promise<CommandResult> {
    const enter = ["-t", String(this.#leader), "-m", "-p", "-u", "-i", "-n", "--"];
    return execute("nsenter", [...enter, "env", "-i", ...environment, "bash", "-c", script]);
  }

  /** Waits until the shell's answer is such. @throws Error with the last answer. */
  async until(script: string, isSo: (stdout: string) => boolean, withinMs = 30_000): Promise<string> {
    const deadline = Date.now() + withinMs;
    for (;;) {
      const { stdout } = await this.try(script);
      if (isSo(stdout.trim())) return stdout.trim();
      if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${script}\n${stdout}`);
      await sleep(100);
    }
  }

  async write(path: string, content: string, mode = 0o644): Promise<void> {
    const file = join(this.disk, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
    await chmod(file, mode);
  }

  /** Puts files from outside into /root. */
  async bring(...files: readonly string[]): Promise<void> {
    for (const file of files) await cp(file, join(this.disk, "root", basename(file)));
  }

  async reboot({ isCableIn } = { isCableIn: true }): Promise<void> {
    const ended = this.#ended();
    await this.run("systemctl reboot");
    if ((await ended) !== rebootCode) throw new Error("it did not want to boot again");
    await this.start({ isCableIn });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const nspawn = this.#nspawn;
    if (nspawn !== undefined && nspawn.exitCode === null && nspawn.signalCode === null) {
      const ended = this.#ended();
      // A shutdown in order: killed, it would leave its process 1, the cable and its cgroups.
      nspawn.kill("SIGTERM");
      await ended;
    }
    for (const folder of hierarchies) await removeGroup(join(folder, this.#name));
    await rm(this.disk, { recursive: true, force: true });
    await rm(`${this.disk}.console`, { force: true });
  }

  async #ended(): Promise<number | null> {
    const nspawn = this.#nspawn;
    if (nspawn === undefined) return null;
    if (nspawn.exitCode !== null) return nspawn.exitCode;
    return new Promise((resolve) => nspawn.once("exit", resolve));
  }

  async #isUp(): Promise<boolean> {
    const pid = this.#nspawn?.pid;
    if (pid === undefined) return false;
    const [child] = children(pid);
    if (child === undefined || commandName(child) !== "systemd") return false;
    this.#leader = child;
    const { stdout } = await this.try("systemctl is-system-running");
    return /running|degraded/.test(stdout);
  }
}

function children(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .trim()
      .split(" ")
      .filter(Boolean)
      .map(Number);
  } catch {
    return [];
  }
}

function commandName(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

/** Innermost first: a cgroup with another in it stays. */
async function removeGroup(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  for (const entry of await readdir(folder, { withFileTypes: true }))
    if (entry.isDirectory()) await removeGroup(join(folder, entry.name));
  await rmdir(folder);
}
