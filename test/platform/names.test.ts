import type { LookupAddress, LookupOptions } from "node:dns";
import { writeFileSync } from "node:fs";
import { createServer as createTcpServer, type Server } from "node:net";
import { createServer } from "node:tls";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Names, type KnownAddresses } from "../../src/platform/names.ts";
import { openSecureSocket } from "../../src/platform/secure-socket.ts";
import { connectCodes } from "../../src/mqtt/connect-codes.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { failureOf } from "../failure-of.ts";
import { ManualClock } from "../manual-clock.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const never = new AbortController().signal;
const minute = 60_000;
const name = "hub.test";
let authority: CertificateAuthority;
let good: ServerCredentials;

beforeAll(async () => {
  authority = await createAuthority("names tests");
  good = await authority.issueServer("127.0.0.1", [name]);
});

/** DNS as a test wants it. */
class Dns {
  addresses: readonly string[] = [];
  /** What it fails with; undefined where it answers. */
  failure: "EAI_AGAIN" | "ENOTFOUND" | undefined;
  stored: KnownAddresses | undefined;
  writes = 0;
  readonly clock = new ManualClock();
  readonly folder = new TemporaryFolder();
  names: Names = this.restart();

  restart(): Names {
    const ask = (
      _: string,
      _options: LookupOptions,
      done: (error: Error | null, addresses: LookupAddress[]) => void,
    ) => {
      setImmediate(() => {
        if (this.failure !== undefined) {
          done(Object.assign(new Error("no"), { code: this.failure, syscall: "getaddrinfo" }), []);
        } else {
          done(
            null,
            this.addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
          );
        }
      });
    };
    const store = {
      read: () => this.stored,
      write: async (value: KnownAddresses) => {
        this.stored = value;
        this.writes += 1;
      },
    };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one of the ways in which dns.lookup can be called
    this.names = new Names(this.clock, store, ask as never, this.folder.join("resolv.conf"));
    return this.names;
  }
}

let dns: Dns;
const servers: Server[] = [];
beforeEach(() => {
  dns = new Dns();
});
afterEach(async () => {
  dns.folder[Symbol.dispose]();
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

/** A server that bears the name, at this address; the others get the same port. */
async function listen(address: string, port = 0): Promise<number> {
  const { certPem: cert, keyPem: key } = good;
  const server = createServer({ cert, key }, (socket) => socket.on("error", () => {}).end());
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  const listening = server.address();
  return typeof listening === "object" && listening !== null ? listening.port : 0;
}

/** @returns the address that was reached. */
async function connect(port: number, host = name): Promise<string | undefined> {
  const peer = { host, port, trustedRoots: authority.caPem, names: dns.names };
  const socket = await openSecureSocket(peer, { codes: connectCodes, host, port }, never);
  const { remoteAddress } = socket;
  socket.destroy();
  return remoteAddress;
}

describe("row 2: a name with several addresses", () => {
  test("is reached at the one that lives, whichever families the others have", async () => {
    const port = await listen("127.0.0.3");
    dns.addresses = ["::1", "127.0.0.2", "127.0.0.3"];
    expect(await connect(port)).toBe("127.0.0.3");
  });

  test("is asked at the family that served last first", async () => {
    const port = await listen("127.0.0.3");
    await listen("::1", port);
    dns.addresses = ["::1", "127.0.0.3"];
    expect(await connect(port)).toBe("::1");
    dns.stored = { [name]: ["127.0.0.9"] };
    dns.restart();
    expect(await connect(port)).toBe("127.0.0.3");
  });

  test("fails only when every address did, and says what each said", async () => {
    const closed = createTcpServer();
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.2", resolve));
    const address = closed.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    await new Promise((resolve) => closed.close(resolve));
    dns.addresses = ["127.0.0.2", "::1", "127.0.0.3"];
    const error = await failureOf(connect(port));
    expect(error).toMatchObject({ code: "mqtt/unreachable", remedy: "retry" });
    expect(error.message).toBe(
      `cannot connect to ${name}:${port}: the port is closed (127.0.0.2: ECONNREFUSED, ::1: ECONNREFUSED, 127.0.0.3: ECONNREFUSED)`,
    );
  });
});

describe("row 1: DNS that does not answer", () => {
  test("is no hindrance where an address has served, also before a restart; it is written once", async () => {
    const port = await listen("127.0.0.3");
    dns.addresses = ["127.0.0.3"];
    await connect(port);
    await connect(port);
    expect(dns.writes).toBe(1);
    dns.failure = "EAI_AGAIN";
    expect(await connect(port)).toBe("127.0.0.3");
    dns.restart();
    expect(await connect(port)).toBe("127.0.0.3");
    expect(dns.writes).toBe(1);
  });

  test("is named where the old addresses do not answer either", async () => {
    const port = await listen("127.0.0.3");
    dns.addresses = ["127.0.0.3"];
    await connect(port);
    await new Promise((resolve) => servers.pop()?.close(resolve));
    dns.failure = "EAI_AGAIN";
    const error = await failureOf(connect(port));
    expect(error).toMatchObject({ code: "mqtt/name-not-found", remedy: "retry" });
    expect(error.message).toMatch(/DNS does not answer, and nobody does at the addresses that served before/);
  });

  test("never makes another server trusted that has the old address now", async () => {
    const port = await listen("127.0.0.3");
    dns.stored = { "other.test": ["127.0.0.3"] };
    dns.failure = "EAI_AGAIN";
    dns.restart();
    expect(await failureOf(connect(port, "other.test"))).toMatchObject({ code: "mqtt/tls-wrong-name" });
  });

  test("is told with its resolvers after ten minutes, and forgotten when it answers", async () => {
    writeFileSync(dns.folder.join("resolv.conf"), "# made\nnameserver 10.0.0.53\nnameserver fd00::53\n");
    dns.failure = "EAI_AGAIN";
    const error = await failureOf(connect(1));
    expect(error.message).toBe(`cannot connect to ${name}:1: DNS does not answer`);
    dns.clock.advance(12 * minute);
    expect((await failureOf(connect(1))).message).toBe(
      `cannot connect to ${name}:1: DNS does not answer; DNS has failed for 12 min (asked: 10.0.0.53, fd00::53 in ${dns.folder.join("resolv.conf")})`,
    );
    dns.failure = undefined;
    dns.addresses = ["127.0.0.3"];
    const port = await listen("127.0.0.3");
    await connect(port);
    expect(dns.names.trouble()).toBe("");
  });

  test("without any resolver is told as such", async () => {
    dns.failure = "EAI_AGAIN";
    await failureOf(connect(1));
    dns.clock.advance(10 * minute);
    expect(dns.names.trouble()).toMatch(/DNS has failed for 10 min \(no name server is set in /);
  });
});

test("row 1: a name that DNS says does not exist is not looked for at its old address", async () => {
  const port = await listen("127.0.0.3");
  dns.addresses = ["127.0.0.3"];
  await connect(port);
  dns.failure = "ENOTFOUND";
  const error = await failureOf(connect(port));
  expect(error).toMatchObject({ code: "mqtt/name-not-found" });
  expect(error.message).toBe(`cannot connect to ${name}:${port}: DNS does not know the name`);
});
