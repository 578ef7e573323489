import { connect, createServer, type Server } from "node:net";

/** IPv4 and TCP headers with timestamps, for each segment; the packets that only acknowledge are as many again. */
const headerBytes = 52;

/** On the way to some endpoints, on another port of each: counts what a radio would have to carry. */
export class ByteCounter implements AsyncDisposable {
  readonly #servers: Server[] = [];
  #bytes = 0;
  #connections = 0;

  /** TCP payload in both directions, and the headers that go with it. */
  get bytes(): number {
    return this.#bytes;
  }

  get connections(): number {
    return this.#connections;
  }

  /** @returns the port, the same on every one of these addresses. */
  async listen(hosts: readonly string[], target: number): Promise<number> {
    let port = 0;
    for (const host of hosts) {
      const server = createServer((near) => {
        this.#connections += 1;
        // SYN, SYN-ACK, ACK and the two FINs with their ACKs.
        this.#bytes += 7 * headerBytes;
        const far = connect(target, host);
        for (const [from, to] of [
          [near, far],
          [far, near],
        ] as const) {
          from.on("data", (chunk) => {
            this.#bytes += chunk.length + 2 * headerBytes;
            to.write(chunk);
          });
          from.on("close", () => to.destroy());
          from.on("error", () => to.destroy());
        }
      });
      const { promise, resolve, reject } = Promise.withResolvers<undefined>();
      server.once("error", reject).listen(port, host, () => resolve(undefined));
      await promise;
      const address = server.address();
      if (typeof address !== "object" || address === null) throw new Error("no port");
      ({ port } = address);
      this.#servers.push(server);
    }
    return port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.close();
  }
}
