import { randomInt } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** A software TPM behind the TCP protocol of Microsoft's simulator, which is all that `tss.js` speaks. */
export interface SimulatedTpm extends AsyncDisposable {
  /** Commands go here; the port above it takes the platform's signals. */
  readonly port: number;
}

const handshake = 15;
const sendCommand = 8;

/** Lets `tss.js` speak with the swtpm at this UNIX socket, and nobody else meanwhile: it takes one client at a time. */
export async function startSimulatorBridge(path: string): Promise<SimulatedTpm> {
  await using parts = new AsyncDisposableStack();
  const tpm = await connectWhenThere(path);
  parts.defer(() => void tpm.destroy());

  const sockets = new Set<Socket>();
  const commands = createServer((socket) => serveCommands(socket, tpm));
  const platform = createServer((socket) => {
    // Power on, non-volatile memory on: every signal is four bytes and is well taken.
    socket.on("data", () => socket.write(Buffer.alloc(4)));
    socket.on("error", () => {});
  });
  for (const server of [commands, platform]) server.on("connection", (socket) => sockets.add(socket));
  const port = await listenOnTwo(commands, platform);
  parts.defer(() => {
    commands.close();
    platform.close();
    for (const socket of sockets) socket.destroy();
  });
  const running = parts.move();
  return { port, [Symbol.asyncDispose]: async () => running.disposeAsync() };
}

function serveCommands(socket: Socket, tpm: Socket): void {
  let rest: Buffer = Buffer.alloc(0);
  let answer: Buffer = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    if (rest.length < 8) return;
    if (rest.readUInt32BE(0) === handshake) {
      // Version 1, no flags, all well.
      socket.write(Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
      rest = rest.subarray(8);
      return;
    }
    const end = rest.length < 9 ? Number.POSITIVE_INFINITY : 9 + rest.readUInt32BE(5);
    if (rest.readUInt32BE(0) !== sendCommand || rest.length < end) return;
    tpm.write(rest.subarray(9, end));
    rest = rest.subarray(end);
  });
  const onAnswer = (chunk: Buffer): void => {
    answer = Buffer.concat([answer, chunk]);
    // A TPM's answer says its length after two bytes of tag.
    if (answer.length < 6 || answer.length < answer.readUInt32BE(2)) return;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(answer.length);
    socket.write(Buffer.concat([length, answer, Buffer.alloc(4)]));
    answer = Buffer.alloc(0);
  };
  tpm.on("data", onAnswer);
  socket.once("close", () => tpm.off("data", onAnswer));
}

async function connectWhenThere(path: string): Promise<Socket> {
  for (let tries = 1; ; tries += 1) {
    const socket = connect(path);
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      if (tries === 250) throw new Error("swtpm does not open its socket within 5 s", { cause: error });
      await sleep(20);
    }
  }
}

/** Two ports in a row; `tss.js` takes the second for granted. */
async function listenOnTwo(first: Server, second: Server): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    const port = randomInt(20_000, 30_000);
    try {
      await once(first.listen(port, "127.0.0.1"), "listening");
      await once(second.listen(port + 1, "127.0.0.1"), "listening");
      return port;
    } catch (error) {
      first.close();
      if (tries === 20) throw error;
    }
  }
}
