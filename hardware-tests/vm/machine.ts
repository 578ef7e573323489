import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, openSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { hostName, type MachineImage } from "./machine-image.ts";
import { SerialConsole, type ShellResult } from "./serial-console.ts";

const run = promisify(execFile);

/** Without hardware virtualisation, on a busy machine. */
const bootTimeoutMs = 600_000;
const commandTimeoutMs = 120_000;

/**
 * A virtual machine with a TPM 2.0 that its kernel drives: `/dev/tpmrm0` is the real thing, behind it is swtpm.
 *
 * Disk and TPM are new with each machine and last over `crash` and `start`. Everything is emulated, so that it runs where
 * virtual machines cannot be nested; its timing says nothing.
 */
export class Machine implements AsyncDisposable {
  readonly #image: MachineImage;
  readonly #payload: string;
  readonly #folder: string;
  #running:
    | { readonly qemu: ChildProcess; readonly swtpm: ChildProcess; readonly console: SerialConsole }
    | undefined;

  private constructor(image: MachineImage, payload: string, folder: string) {
    this.#image = image;
    this.#payload = payload;
    this.#folder = folder;
  }

  /** @param payload an ext4 image that is mounted at `/payload`, read-only. */
  static async create(image: MachineImage, payload: string): Promise<Machine> {
    const folder = await mkdtemp(join(tmpdir(), "latebind-vm-"));
    await mkdir(join(folder, "tpm"));
    const disk = ["-f", "qcow2", "-F", "raw", "-b", image.disk, join(folder, "disk.qcow2")];
    await run("qemu-img", ["create", "-q", ...disk]);
    return new Machine(image, payload, folder);
  }

  /** Switches the machine on and waits for its shell. @param snapshot where to go on from, instead of booting. */
  async start(snapshot?: string): Promise<void> {
    const [tpm, serial, monitor] = ["tpm.sock", "serial.sock", "monitor.sock"].map((name) =>
      this.#file(name),
    );
    if (tpm === undefined || serial === undefined || monitor === undefined) throw new Error("unreachable");
    for (const stale of [tpm, serial, monitor]) await rm(stale, { force: true });
    const state = ["--tpmstate", `dir=${this.#file("tpm")}`, "--ctrl", `type=unixio,path=${tpm}`];
    const swtpm = spawn("swtpm", ["socket", "--tpm2", ...state, "--terminate"], { stdio: "ignore" });
    await waitForFile(tpm);
    const resume = snapshot === undefined ? [] : ["-loadvm", snapshot];
    const errors = openSync(this.#file("qemu.log"), "a");
    const qemu = spawn("nice", ["-n", "5", "qemu-system-x86_64", ...this.#hardware(), ...resume], {
      stdio: ["ignore", errors, errors],
    });
    await waitForFile(serial);
    const console = new SerialConsole(serial);
    this.#running = { qemu, swtpm, console };
    if (snapshot === undefined) await this.#login();
    // A machine that was asleep believes that no time has passed.
    else await this.sh(`date -s @${Math.round(Date.now() / 1000)}`);
  }

  #hardware(): readonly string[] {
    // With less care, what qemu itself had not written yet would be lost too when it is killed: no power cut does that.
    const disk = "if=virtio,cache=writeback";
    return [
      ["-machine", "q35"],
      ["-accel", "tcg,thread=multi"],
      ["-cpu", "max"],
      ["-smp", "2"],
      ["-m", "2048"],
      ["-display", "none"],
      ["-nodefaults"],
      ["-netdev", "user,id=net"],
      ["-device", "virtio-net-pci,netdev=net,romfile="],
      ["-chardev", `socket,id=tpm,path=${this.#file("tpm.sock")}`],
      ["-tpmdev", "emulator,id=tpm0,chardev=tpm"],
      ["-device", "tpm-tis,tpmdev=tpm0"],
      ["-drive", `file=${this.#file("disk.qcow2")},${disk}`],
      ["-drive", `file=${this.#payload},if=virtio,format=raw,readonly=on`],
      ["-object", "rng-random,id=r,filename=/dev/urandom"],
      ["-device", "virtio-rng-pci,rng=r"],
      ["-kernel", this.#image.kernel],
      ["-initrd", this.#image.initrd],
      ["-append", "root=/dev/vda rw console=ttyS0 quiet panic=5 systemd.show_status=no"],
      ["-monitor", `unix:${this.#file("monitor.sock")},server=on,wait=off`],
      ["-chardev", `socket,id=ser,path=${this.#file("serial.sock")},server=on,wait=off`],
      ["-serial", "chardev:ser"],
    ].flat();
  }

  /** Runs a command as root. @throws Error where it does not end with 0, or not in time. */
  async sh(command: string, timeoutMs: number = commandTimeoutMs): Promise<string> {
    const { exitCode, output } = await this.attempt(command, timeoutMs);
    if (exitCode !== 0) throw new Error(`${command}: exit code ${exitCode}\n${output}`);
    return output;
  }

  /** As `sh`, but every exit code is a result. */
  async attempt(command: string, timeoutMs: number = commandTimeoutMs): Promise<ShellResult> {
    return this.#switchedOn().console.sh(command, timeoutMs);
  }

  /** Shuts the machine down in good order and waits until it is up again. */
  async reboot(): Promise<void> {
    this.#switchedOn().console.say("systemctl reboot");
    await this.#login();
  }

  /** Cuts the power: nothing that was not on the disk is kept. */
  async crash(): Promise<void> {
    const { qemu, swtpm, console } = this.#switchedOn();
    const ended = [qemu, swtpm].filter(isRunning).map(async (child) => once(child, "exit"));
    qemu.kill("SIGKILL");
    console[Symbol.dispose]();
    // The TPM loses its power too; swtpm ends when its line breaks.
    await Promise.all(ended);
    this.#running = undefined;
  }

  /** Keeps memory, disk and TPM as they are now, under a name for `start`. */
  async save(snapshot: string): Promise<void> {
    const answer = await this.#monitor(`savevm ${snapshot}`);
    if (/error/i.test(answer)) throw new Error(answer);
  }

  /** Human monitor: says a line and returns what came until the next prompt. */
  async #monitor(command: string): Promise<string> {
    const socket = connect(this.#file("monitor.sock"));
    let text = "";
    socket.setEncoding("latin1").write(`${command}\n`);
    for await (const chunk of socket) {
      text += String(chunk);
      if (text.split("(qemu) ").length > 2) break;
    }
    return text.split("(qemu) ")[1] ?? "";
  }

  async #login(): Promise<void> {
    const { console } = this.#switchedOn();
    await console.login(new RegExp(`root@${hostName}:~# `), bootTimeoutMs);
    await this.sh("mkdir -p /payload && mount -o ro /dev/vdb /payload");
  }

  #switchedOn() {
    if (this.#running === undefined) throw new Error("the machine is not running");
    return this.#running;
  }

  #file(name: string): string {
    return join(this.#folder, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running !== undefined) await this.crash();
    await rm(this.#folder, { recursive: true });
  }
}

function isRunning({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}

async function waitForFile(path: string): Promise<void> {
  for (let tries = 0; !existsSync(path); tries += 1) {
    if (tries === 500) throw new Error(`${path} does not appear within 10 s`);
    await sleep(20);
  }
}
