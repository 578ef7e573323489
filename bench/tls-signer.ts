/**
 * Handshakes with a key behind the TLS signer against the same key as a file: time per handshake, and memory that stays.
 *
 * `node --expose-gc --max-semi-space-size=1 bench/tls-signer.ts [rounds]` makes 2 000 handshakes of each sort for P-256 and
 * RSA-2048: with the file, with a signer in JavaScript, and with the key in a SoftHSM token. The sorts take turns, so that a
 * busy machine slows all of them; then each runs alone, and what it adds to the resident memory is told. The small
 * semi-space keeps V8's young generation from growing meanwhile. Exits with 1 where SoftHSM misses its target.
 */
import { performance } from "node:perf_hooks";
import type { ConnectionOptions } from "node:tls";
import { openTokenTlsKey } from "../src/identity/pkcs11/open-token-key.ts";
import { Pkcs11Tokens } from "../src/identity/pkcs11/tokens.ts";
import { registerTlsKey } from "../src/identity/tls-signer/tls-signer.ts";
import { createClientCredential, type KeyKind } from "../test/identity/client-credential.ts";
import { startMutualTls, type MutualTlsServer } from "../test/identity/mutual-tls.ts";
import { SoftHsm } from "../test/identity/soft-hsm.ts";
import { softwareSigner } from "../test/identity/software-signer.ts";
import { tokenLocation } from "../test/identity/token-location.ts";

/** Of a handshake with the token to one with the file. */
const mostTimes = 1.5;

const rounds = Number(process.argv[2] ?? 2000);
const warmUpRounds = Math.min(rounds, 200);
const names = ["file", "signer", "SoftHSM"] as const;

for (const kind of ["P-256", "RSA-2048"] as const) await compare(kind);

async function compare(kind: KeyKind): Promise<void> {
  const { certPem: cert, privateKey, publicKey } = await createClientCredential(kind);
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  await using server = await startMutualTls([cert]);
  using inMemory = registerTlsKey(publicKey, softwareSigner(privateKey));
  using hsm = new SoftHsm();
  hsm.addKeyPair(pem, { label: "device", id: "01" });
  using tokens = new Pkcs11Tokens();
  using inToken = await openTokenTlsKey(tokens, tokenLocation(hsm.uri("object=device")), publicKey);
  const sorts = [
    { cert, key: pem },
    { cert, ...inMemory.tlsOptions },
    { cert, key: inToken.tlsKey.reveal() },
  ];

  await handshakes(server, warmUpRounds, sorts);
  const totals = await handshakes(server, rounds, sorts);
  const fileMs = totals[0] ?? 0;
  console.log(`${kind}, Node ${process.versions.node}, ${rounds} handshakes each, none failed:`);
  for (const [sort, options] of sorts.entries()) {
    const before = residentKiB();
    await handshakes(server, rounds, [options]);
    const ms = totals[sort] ?? 0;
    const ratio = (ms / fileMs).toFixed(2);
    console.log(
      `  ${names[sort]}: ${(ms / rounds).toFixed(2)} ms, ratio ${ratio}; as many again add ${residentKiB() - before} KiB`,
    );
  }
  const ratio = (totals[2] ?? Infinity) / fileMs;
  if (ratio > mostTimes) {
    console.log(`  MISSED: SoftHSM takes more than ${mostTimes} times as long`);
    process.exitCode = 1;
  }
}

/** @returns the milliseconds that each sort took in all. */
async function handshakes(
  server: MutualTlsServer,
  count: number,
  sorts: readonly ConnectionOptions[],
): Promise<readonly number[]> {
  const totals = sorts.map(() => 0);
  for (let round = 0; round < count; round++) {
    for (const [sort, options] of sorts.entries()) {
      totals[sort] = (totals[sort] ?? 0) + (await timed(server, options));
    }
  }
  return totals;
}

async function timed(server: MutualTlsServer, options: ConnectionOptions): Promise<number> {
  const startedAt = performance.now();
  const result = await server.handshake(options);
  if (result.status === "failed") throw result.error;
  return performance.now() - startedAt;
}

function residentKiB(): number {
  globalThis.gc?.();
  return Math.round(process.memoryUsage.rss() / 1024);
}
