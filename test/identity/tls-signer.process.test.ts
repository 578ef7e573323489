import { execFile } from "node:child_process";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

interface Ending {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly output: string;
}

/** Runs a script in a process of its own, to its end. */
async function run(script: string, args: readonly string[] = []): Promise<Ending> {
  const { promise, resolve } = Promise.withResolvers<Ending>();
  const child = execFile(process.execPath, [script, ...args], { timeout: 15_000 }, (_, stdout, stderr) => {
    resolve({ exitCode: child.exitCode, signal: child.signalCode, output: stdout + stderr });
  });
  return promise;
}

test.each([
  ["runs out of work", 0],
  ["exits while a handshake waits for its signature", 7],
  ["exits between two handshakes", 7],
  ["exits with a connection open", 7],
  ["exits from an exception in the signer's caller", 1],
  ["exits while a worker uses TLS", 7],
  ["keeps OpenSSL's hold on a key until the end", 0],
])("a process that %s ends without a crash", async (ending, exitCode) => {
  const result = await run(join(root, "test/identity/process-with-tls-key.ts"), [ending]);
  expect(result).toMatchObject({ exitCode, signal: null });
  expect(result.output).toContain("reached the end");
});

function isNotBuilt(path: string): boolean {
  return !path.endsWith(".node");
}

test.each([
  ["the TLS signer", "process-without-signer.ts", "identity/tls-signer-missing operator\n"],
  ["pkcs11js", "process-without-pkcs11js.ts", "identity/pkcs11js-missing operator\n"],
])("an installation without %s reports it, and does nothing else", async (_, script, output) => {
  const folder = await mkdtemp(join(tmpdir(), "latebind-no-signer-"));
  try {
    for (const part of ["src/identity", "src/platform", "test/identity"]) {
      await cp(join(root, part), join(folder, part), { recursive: true, filter: isNotBuilt });
    }
    const result = await run(join(folder, "test/identity", script));
    expect(result).toEqual({ exitCode: 0, signal: null, output });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("other cryptography goes on as if the provider were not there", async () => {
  const result = await run(join(root, "test/identity/process-other-crypto.ts"));
  expect(result).toMatchObject({ exitCode: 0, signal: null });
  const works: unknown = JSON.parse(result.output);
  expect(works).toEqual({
    "RSA signature": true,
    "RSA-PSS signature": true,
    "ECDSA signature": true,
    "RSA encryption": true,
    ECDH: true,
    MD5: true,
  });
});
