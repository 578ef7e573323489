import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { TemporaryFolder } from "./temporary-folder.ts";

/*
 * One line per datagram, line feeds shown as "|". Node has no datagram sockets of this family, and socat keeps
 * the descriptors that systemd-notify sends along and waits for (sd_notify_barrier(3)), so that each message takes 5 s. Perl
 * receives plainly: the kernel closes the descriptors.
 */
const program = "/usr/bin/perl";
const script = `
  use Socket; $| = 1;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
  bind($s, sockaddr_un($ARGV[0])) or die $!;
  print "listening\\n";
  while (defined(recv($s, my $text, 65536, 0))) { $text =~ s/\\n/|/g; print "$text\\n" }`;

/** Why there is none here; undefined where there is. */
export const noDatagramSocket: string | undefined = existsSync(program) ? undefined : `${program} is missing`;

/** What systemd is to a service: a datagram socket that hears what it says of itself. */
export class DatagramSocket implements AsyncDisposable {
  readonly #folder = new TemporaryFolder();
  readonly path: string = this.#folder.join("notify");
  readonly #child: ChildProcess;
  readonly #ended = Promise.withResolvers<undefined>();
  #heard = "";
  #wake = Promise.withResolvers<undefined>();

  private constructor() {
    this.#child = spawn(program, ["-e", script, this.path], { stdio: ["ignore", "pipe", "inherit"] });
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.#heard += chunk.toString();
      this.#wake.resolve(undefined);
      this.#wake = Promise.withResolvers();
    });
    this.#child.once("close", () => this.#ended.resolve(undefined));
  }

  static async open(): Promise<DatagramSocket> {
    const socket = new DatagramSocket();
    await socket.#until((lines) => lines.length > 0);
    return socket;
  }

  /** The messages, oldest first, once there are as many as expected; systemd-notify's own barriers left out. */
  async messages(count: number): Promise<readonly string[]> {
    const lines = await this.#until((heard) => heard.slice(1).filter(isMessage).length >= count);
    return lines.slice(1).filter(isMessage);
  }

  /** The first variable that matches, at once or when it comes: `READY=1`. */
  async says(pattern: RegExp): Promise<string> {
    const find = (lines: readonly string[]) =>
      lines.flatMap((line) => line.split("|")).find((text) => pattern.test(text));
    return find(await this.#until((lines) => find(lines) !== undefined)) ?? "";
  }

  async #until(isEnough: (lines: readonly string[]) => boolean): Promise<readonly string[]> {
    for (;;) {
      const lines = this.#heard.split("\n").slice(0, -1);
      if (isEnough(lines)) return lines;
      await this.#wake.promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended.promise;
    this.#folder[Symbol.dispose]();
  }
}

function isMessage(line: string): boolean {
  return line !== "BARRIER=1";
}
