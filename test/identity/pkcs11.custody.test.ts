import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { createClientCredential, type ClientCredential } from "./client-credential.ts";
import { startMutualTls, type MutualTlsServer } from "./mutual-tls.ts";
import { occurrencesInMemory } from "./process-memory.ts";
import { SoftHsm } from "./soft-hsm.ts";

/*
 * SoftHSM lives in the agent's process, so its key is there for the moment of a signature; it cleans up behind itself. With a real
 * token not even that happens.
 */
const kinds = ["P-256", "RSA-2048"] as const;
const credentials = new Map<string, ClientCredential>();
let server: MutualTlsServer;
let hsm: SoftHsm;

beforeAll(async () => {
  for (const kind of kinds) credentials.set(kind, await createClientCredential(kind));
  server = await startMutualTls([...credentials.values()].map(({ certPem }) => certPem));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  hsm = new SoftHsm();
});
afterEach(() => {
  hsm[Symbol.dispose]();
});

/** What is secret of a key, and what is public. */
function partsOf({ privateKey }: ClientCredential): { readonly secret: Buffer[]; readonly open: Buffer[] } {
  const { d, p, q, x, n } = privateKey.export({ format: "jwk" });
  return { secret: [d, p, q].flatMap(bothWays), open: [x, n].flatMap(bothWays) };
}

/** As files spell a number and as OpenSSL counts with it, the least significant byte first; 24 bytes are plenty to know it by. */
function bothWays(number: string | undefined): readonly Buffer[] {
  if (number === undefined) return [];
  const part = Buffer.from(number, "base64url").subarray(-24);
  return [part, Buffer.from([...part].toReversed())];
}

/** Lets another process do a handshake with this key, and searches it while it lives. */
async function search(place: string, credential: ClientCredential) {
  const certificate = join(hsm.folder, "certificate.pem");
  const authority = join(hsm.folder, "authority.pem");
  writeFileSync(certificate, credential.certPem);
  writeFileSync(authority, server.caPem);
  const script = join(import.meta.dirname, "process-holding-key.ts");
  const child = spawn(process.execPath, [script, place, certificate, String(server.port), authority], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    const greeting = String(await once(child.stdout, "data"));
    expect(greeting.trim()).toBe(credential.commonName);
    const { secret, open } = partsOf(credential);
    const pid = child.pid ?? 0;
    return { secret: occurrencesInMemory(pid, secret), open: occurrencesInMemory(pid, open) };
  } finally {
    child.stdin.end();
    await once(child, "exit");
  }
}

test.each(kinds)("a process that did TLS with a %s key in a token holds no part of it", async (kind) => {
  const credential = credentials.get(kind);
  if (credential === undefined) throw new Error(kind);
  const pem = credential.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  hsm.addKeyPair(pem, { label: "device", id: "01" });
  const withToken = await search(hsm.uri("object=device"), credential);
  expect(withToken.secret).toBe(0);

  // The same search finds the public half there, and the private one of a key from a file.
  expect(withToken.open).toBeGreaterThan(0);
  const file = join(hsm.folder, "device.key");
  writeFileSync(file, pem, { mode: 0o600 });
  expect((await search(file, credential)).secret).toBeGreaterThan(0);
});
