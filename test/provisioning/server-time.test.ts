import { once } from "node:events";
import { createServer } from "node:https";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeAll, expect, test } from "vitest";
import { askServerTime } from "../../src/provisioning/server-time.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { failureOf } from "../failure-of.ts";

const never = new AbortController().signal;
let authority: CertificateAuthority;
let credentials: ServerCredentials;

beforeAll(async () => {
  authority = await createAuthority("time tests");
  credentials = await authority.issueServer("127.0.0.1", []);
});

async function serve(answer: RequestListener): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer({ cert: credentials.certPem, key: credentials.keyPem }, answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // eslint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has no other kind of address
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function peer(port: number) {
  return { host: "127.0.0.1", port, trustedRoots: authority.caPem };
}

test("a server that another authority vouches for is not believed", async () => {
  const { caPem: trustedRoots } = await createAuthority("another");
  await using server = await serve((_request, response) => response.end());
  const asked = askServerTime({ ...peer(server.port), trustedRoots }, never);
  expect(await failureOf(asked)).toMatchObject({ code: "provisioning/tls-untrusted" });
});

test.for(["", "yesterday"])("an answer with the date %j tells nothing", async (date) => {
  await using server = await serve((_request, response) => {
    response.sendDate = false;
    response.writeHead(200, date === "" ? {} : { date }).end();
  });
  expect(await failureOf(askServerTime(peer(server.port), never))).toMatchObject({
    code: "provisioning/malformed-answer",
    remedy: "retry",
  });
});

test("the date of any answer counts, a refusal too, and nothing about the device is said", async () => {
  const seen: unknown[] = [];
  await using server = await serve(({ method, url, headers }, response) => {
    seen.push({ method, url, headers });
    response.writeHead(401, { date: "Sun, 22 Nov 2026 06:00:00 GMT" }).end();
  });
  expect(await askServerTime(peer(server.port), never)).toBe(Date.UTC(2026, 10, 22, 6));
  expect(seen).toEqual([{ method: "HEAD", url: "/", headers: { host: "127.0.0.1", connection: "close" } }]);
});

test("a server that does not answer is left when the agent is stopped", async () => {
  const asked = Promise.withResolvers<undefined>();
  await using server = await serve(() => asked.resolve(undefined));
  const stop = new AbortController();
  const outcome = askServerTime(peer(server.port), stop.signal);
  await asked.promise;
  stop.abort(new Error("stopped"));
  await expect(outcome).rejects.toThrow("stopped");
});
