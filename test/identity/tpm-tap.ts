import { symlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { once } from "node:events";
import type { SoftTpm } from "./soft-tpm.ts";

/** TPM_CC (TPM 2.0 Library Part 2, 6.5.2), of the commands that tests look for. */
const names: Readonly<Record<number, string>> = {
  0x0147: "ActivateCredential",
  0x0151: "PolicySecret",
  0x0155: "HMAC",
  0x0156: "Import",
  0x0157: "Load",
  0x0165: "FlushContext",
  0x0173: "ReadPublic",
  0x0176: "StartAuthSession",
};

/** Stands between the tools and their TPM, and hears every command before it goes on. */
export class TpmTap implements AsyncDisposable {
  readonly tcti: string;
  /** Called with the name of a command and how often it came, itself included. */
  onCommand: (name: string, count: number) => void = () => {};
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #counts = new Map<string, number>();

  private constructor(soft: SoftTpm, path: string) {
    this.tcti = `swtpm:path=${path}`;
    // The tools open a second line for signals to the chip itself, which is of no interest.
    symlinkSync(join(soft.folder, "socket.ctrl"), `${path}.ctrl`);
    this.#server = createServer((tool) => this.#join(tool, connect(join(soft.folder, "socket"))));
  }

  static async start(soft: SoftTpm): Promise<TpmTap> {
    const path = join(soft.folder, "tap");
    const tap = new TpmTap(soft, path);
    await once(tap.#server.listen(path), "listening");
    return tap;
  }

  /** Counts from one again. */
  reset(): void {
    this.#counts.clear();
  }

  #join(tool: Socket, tpm: Socket): void {
    let command: Buffer = Buffer.alloc(0);
    for (const socket of [tool, tpm]) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => {
        tool.destroy();
        tpm.destroy();
        this.#sockets.delete(socket);
      });
    }
    tpm.pipe(tool);
    tool.on("data", (chunk: Buffer) => {
      command = Buffer.concat([command, chunk]);
      // Part 1, 18: tag, size and code.
      if (command.length < 10 || command.length < command.readUInt32BE(2)) return;
      this.#count(names[command.readUInt32BE(6)]);
      tpm.write(command);
      command = Buffer.alloc(0);
    });
  }

  #count(name: string | undefined): void {
    if (name === undefined) return;
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    this.onCommand(name, count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
