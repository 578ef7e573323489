import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { ServerCredentials } from "../cloud/certificates.ts";

/** MQTT 3.1.1 control packets by the number in the first four bits (table 2.1). */
export type PacketName = "connect" | "publish" | "puback" | "subscribe" | "pingreq" | "disconnect" | "other";
const names: ReadonlyMap<number, PacketName> = new Map([
  [1, "connect"],
  [3, "publish"],
  [4, "puback"],
  [8, "subscribe"],
  [12, "pingreq"],
  [14, "disconnect"],
]);

interface Packet {
  readonly name: PacketName;
  /** Without the fixed header. */
  readonly body: Buffer;
}

export type Reaction = (packet: Packet, peer: Peer) => void;

/** One connection as the server sees it. */
export class Peer {
  /** What is written here arrives in the client's MQTT parser. */
  readonly socket: Socket;
  /** The TCP connection below TLS. */
  readonly #tcp: Socket;
  readonly packets: Packet[] = [];
  /** How the connection ended: by an orderly end, a reset, or whatever came. */
  readonly closed: Promise<void>;

  constructor(socket: Socket, tcp: Socket) {
    this.socket = socket;
    this.#tcp = tcp;
    this.closed = new Promise((resolve) => {
      socket.once("close", () => resolve());
    });
  }

  get names(): readonly PacketName[] {
    return this.packets.map(({ name }) => name);
  }

  /** Ends the connection without any farewell of TLS or TCP. */
  reset(): void {
    this.#tcp.resetAndDestroy();
    this.socket.destroy();
  }

  send(...bytes: readonly number[]): void {
    this.socket.write(Buffer.from(bytes));
  }
}

/** A server that does exactly what a test tells it: TLS where it has credentials, no MQTT but what `react` says. */
export class RawServer implements AsyncDisposable {
  readonly host = "127.0.0.1";
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly peers: Peer[] = [];
  #wake = Promise.withResolvers<undefined>();

  private constructor(credentials: ServerCredentials | undefined, react: Reaction, versions: object) {
    const welcome = (socket: Socket) => this.#welcome(socket, react);
    this.#server =
      credentials === undefined
        ? createTcpServer(welcome)
        : createTlsServer({ cert: credentials.certPem, key: credentials.keyPem, ...versions }, welcome);
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => {
        this.#sockets.delete(socket);
        this.#tell();
      });
      this.#tell();
    });
  }

  static async listen(
    credentials: ServerCredentials | undefined,
    react: Reaction = () => {},
    versions: { readonly minVersion?: "TLSv1.3"; readonly maxVersion?: "TLSv1.2" } = {},
  ): Promise<RawServer> {
    const server = new RawServer(credentials, react, versions);
    await new Promise<void>((resolve) => server.#server.listen(0, server.host, resolve));
    return server;
  }

  get port(): number {
    // eslint-disable-next-line typescript/no-unsafe-type-assertion -- a listening TCP server has an address with a port
    return (this.#server.address() as AddressInfo).port;
  }

  /** How many TCP connections are open now. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Everything that came, over all connections. */
  get packets(): readonly PacketName[] {
    return this.peers.flatMap(({ names }) => names);
  }

  /** The n-th connection that is ready to talk, as soon as there is one. */
  async peer(index = 0): Promise<Peer> {
    await this.until(() => this.peers.length > index);
    const peer = this.peers[index];
    if (peer === undefined) throw new Error("unreachable");
    return peer;
  }

  /** Resolves once the condition holds; looked at whenever a connection or a packet comes or goes. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#wake.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #welcome(socket: Socket, react: Reaction): void {
    socket.on("error", () => {});
    const tcp = [...this.#sockets].find(({ remotePort }) => remotePort === socket.remotePort) ?? socket;
    const peer = new Peer(socket, tcp);
    this.peers.push(peer);
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const framed = unframe(rest);
        if (framed === undefined) break;
        rest = rest.subarray(framed.length);
        peer.packets.push(framed.packet);
        react(framed.packet, peer);
        this.#tell();
      }
    });
    this.#tell();
  }

  #tell(): void {
    this.#wake.resolve(undefined);
    this.#wake = Promise.withResolvers();
  }
}

/** The first whole packet, its remaining length read as 2.2.3 says. */
function unframe(bytes: Buffer): { readonly packet: Packet; readonly length: number } | undefined {
  let size = 0;
  for (let index = 1; index < 5; index += 1) {
    const byte = bytes[index];
    if (byte === undefined) return undefined;
    size += (byte & 0x7f) * 128 ** (index - 1);
    if (byte < 0x80) {
      const length = index + 1 + size;
      if (bytes.length < length) return undefined;
      const name = names.get((bytes[0] ?? 0) >> 4) ?? "other";
      return { packet: { name, body: bytes.subarray(index + 1, length) }, length };
    }
  }
  return undefined;
}

export const connack = (returnCode: number): readonly number[] => [0x20, 2, 0, returnCode];

/** The packet identifier of a SUBSCRIBE, as two bytes. */
export function subscribeId({ body }: Packet): readonly number[] {
  return [...body.subarray(0, 2)];
}

/** SUBSCRIBE is an identifier, then for each filter its length, its text and the QoS asked for. */
function countFilters({ body }: Packet): number {
  let count = 0;
  for (let at = 2; at < body.length; at += 3 + body.readUInt16BE(at)) count += 1;
  return count;
}

/** The packet identifier of a PUBLISH at QoS 1: it follows the topic. */
export function publishId({ body }: Packet): readonly number[] {
  const at = 2 + body.readUInt16BE(0);
  return [...body.subarray(at, at + 2)];
}

/** Topic and body of a PUBLISH at QoS 1. */
export function readPublish({ body }: Packet): { readonly topic: string; readonly text: string } {
  const at = 2 + body.readUInt16BE(0);
  return { topic: body.toString("utf8", 2, at), text: body.toString("utf8", at + 2) };
}

/** A PUBLISH at QoS 0. */
export function publish(topic: string, text: string): readonly number[] {
  const topicBytes = Buffer.from(topic);
  const body = [topicBytes.length >> 8, topicBytes.length & 0xff, ...topicBytes, ...Buffer.from(text)];
  return [0x30, (body.length & 0x7f) | 0x80, body.length >> 7, ...body];
}

/** Accepts everything, as a willing server does. */
export function accept(packet: Packet, peer: Peer): void {
  if (packet.name === "connect") peer.send(...connack(0));
  if (packet.name === "subscribe") {
    const filters = countFilters(packet);
    peer.send(0x90, 2 + filters, ...subscribeId(packet), ...Array.from({ length: filters }, () => 1));
  }
  if (packet.name === "publish") peer.send(0x40, 2, ...publishId(packet));
  if (packet.name === "pingreq") peer.send(0xd0, 0);
}
