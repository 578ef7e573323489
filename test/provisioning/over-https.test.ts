import { createPublicKey } from "node:crypto";
import { once } from "node:events";
import { createServer as createPlainServer } from "node:http";
import { createServer, type ServerOptions } from "node:https";
import type { IncomingMessage, RequestListener } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { beforeAll, describe, expect, test } from "vitest";
import { registerTlsKey } from "../../src/identity/tls-signer/tls-signer.ts";
import { overHttps } from "../../src/provisioning/over-https.ts";
import { AgentError } from "../../src/platform/failure.ts";
import { Secret } from "../../src/platform/secret.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { failureOf } from "../failure-of.ts";
import { selfSigned } from "../identity/device-pki.ts";

const never = new AbortController().signal;
let authority: CertificateAuthority;
let credentials: ServerCredentials;

beforeAll(async () => {
  authority = await createAuthority("HTTPS tests");
  credentials = await authority.issueServer("127.0.0.1", ["dps.test"]);
});

/** A server on loopback that goes with its scope. */
async function listen(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<{ destroy(): void }>();
  server.on("connection", (socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // eslint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has no other kind of address
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

async function secure(answer: RequestListener, options: ServerOptions = {}) {
  const { certPem: cert, keyPem: key } = credentials;
  return listen(createServer({ cert, key, ...options }, answer));
}

type Connection = Parameters<typeof overHttps>[0];

function to(port: number, more: Partial<Connection> = {}): Connection {
  return {
    endpoint: "127.0.0.1",
    port,
    trustedRoots: authority.caPem,
    idScope: "0ne00000001",
    registrationId: "gw:7",
    apiVersion: "2021-06-01",
    userAgent: "latebind/1.2.3",
    ...more,
  };
}

describe("what stands in the way has a code, a remedy and a sentence", () => {
  test("a port that is closed", async () => {
    const server = await listen(createPlainServer());
    await server[Symbol.asyncDispose]();
    const error = await failureOf(overHttps(to(server.port)).register(never));
    expect(error).toMatchObject({ code: "provisioning/unreachable", remedy: "retry" });
    expect(error.message).toBe(`cannot connect to 127.0.0.1:${server.port}: the port is closed`);
  });

  test("a captive portal in plain HTTP", async () => {
    await using portal = await listen(createPlainServer((_, response) => response.end("Please log in")));
    expect(await failureOf(overHttps(to(portal.port)).register(never))).toMatchObject({
      code: "provisioning/tls-intercepted",
      remedy: "retry",
    });
  });

  test("an authority that is not trusted", async () => {
    const { caPem: trustedRoots } = await createAuthority("another");
    await using server = await secure((_, response) => response.end("{}"));
    const error = await failureOf(overHttps(to(server.port, { trustedRoots })).register(never));
    expect(error).toMatchObject({ code: "provisioning/tls-untrusted", remedy: "operator" });
  });

  test("a server that insists on a certificate which the device has not", async () => {
    await using server = await secure((_, response) => response.end("{}"), {
      requestCert: true,
      rejectUnauthorized: true,
    });
    const error = await failureOf(overHttps(to(server.port)).register(never));
    expect(error).toMatchObject({ code: "provisioning/certificate-refused", remedy: "operator" });
  });

  test("a key that fails in the handshake: its own failure is told", async () => {
    const { chainPem: chain, key: privateKey } = await selfSigned("gw:7");
    const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
    const failure = new AgentError("identity/token-missing", "retry", "the token is unplugged");
    using registered = registerTlsKey(publicKey, () => {
      throw failure;
    });
    const key = {
      tlsKey: new Secret(registered.tlsOptions.key),
      get failure() {
        return registered.failure;
      },
    };
    await using server = await secure((_, response) => response.end("{}"), { requestCert: true });
    const connection = to(server.port, { clientCertificate: { chain, key } });
    expect(await failureOf(overHttps(connection).register(never))).toBe(failure);
  });

  test("an answer without end", async () => {
    await using server = await secure((_, response) => {
      for (let chunk = 0; chunk < 200; chunk += 1) response.write(Buffer.alloc(1024));
    });
    const error = await failureOf(overHttps(to(server.port)).register(never));
    expect(error).toMatchObject({ code: "provisioning/malformed-answer", remedy: "retry" });
  });

  test("an answer that breaks off", async () => {
    await using server = await secure((_, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write('{"half":', () => response.destroy());
    });
    const error = await failureOf(overHttps(to(server.port)).register(never));
    expect(error).toMatchObject({ remedy: "retry" });
  });

  test("silence, which ends with the caller's patience and takes the connection along", async () => {
    const asked = Promise.withResolvers<IncomingMessage>();
    await using server = await secure((incoming) => asked.resolve(incoming));
    const stop = new AbortController();
    const outcome = overHttps(to(server.port)).register(stop.signal);
    const closed = once((await asked.promise).socket, "close");
    stop.abort(new AgentError("test/enough", "stop", "enough"));
    expect(await failureOf(outcome)).toMatchObject({ code: "test/enough" });
    await closed;
  });
});

test("a registration and its poll say what DPS wants to know, each on a connection of its own", async () => {
  const seen: Record<string, unknown>[] = [];
  await using server = await secure((incoming, response) => {
    void (async () => {
      let body = "";
      for await (const chunk of incoming) body += String(chunk);
      const { method, url, headers } = incoming;
      const { authorization, accept, "content-type": type, "user-agent": agent } = headers;
      seen.push({ method, url, body, authorization, accept, type, agent, port: incoming.socket.remotePort });
      response.writeHead(202, { "retry-after": "7" }).end('{"status":"assigning"}');
    })();
  });
  const password = new Secret("SharedAccessSignature sr=x");
  const transport = overHttps(to(server.port, { password, payload: { site: "ü" } }));
  const reply = await transport.register(never);
  expect({ ...reply, body: Buffer.from(reply.body).toString() }).toEqual({
    status: 202,
    retryAfterMs: 7_000,
    body: '{"status":"assigning"}',
  });
  await transport.poll("4.ab/c", never);

  const path = "/0ne00000001/registrations/gw%3A7";
  const authorization = "SharedAccessSignature sr=x";
  const common = { authorization, accept: "application/json", agent: "latebind/1.2.3" };
  expect(seen).toMatchObject([
    {
      method: "PUT",
      url: `${path}/register?api-version=2021-06-01`,
      body: '{"registrationId":"gw:7","payload":{"site":"ü"}}',
      type: "application/json; charset=utf-8",
      ...common,
    },
    { method: "GET", url: `${path}/operations/4.ab%2Fc?api-version=2021-06-01`, body: "", ...common },
  ]);
  expect(seen[0]?.["port"]).not.toBe(seen[1]?.["port"]);
});
