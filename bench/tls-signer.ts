/**
 * Handshakes with a key behind the TLS signer against the same key as a file: time per handshake, and memory that stays.
 *
 * `node --expose-gc --max-semi-space-size=1 bench/tls-signer.ts [rounds]` makes 2 000 handshakes of each sort for P-256
 * and RSA-2048. The two sorts take turns, so that a busy machine slows both; then each runs alone, and what it adds to
 * the resident memory is told for both. The small semi-space keeps V8's young generation from growing meanwhile. The
 * signer signs in JavaScript, in place of a token.
 */
import { performance } from "node:perf_hooks";
import type { ConnectionOptions } from "node:tls";
import { registerTlsKey } from "../src/identity/tls-signer/tls-signer.ts";
import { createClientCredential, type KeyKind } from "../test/identity/client-credential.ts";
import { startMutualTls, type MutualTlsServer } from "../test/identity/mutual-tls.ts";
import { softwareSigner } from "../test/identity/software-signer.ts";

const rounds = Number(process.argv[2] ?? 2000);
const warmUpRounds = Math.min(rounds, 200);

for (const kind of ["P-256", "RSA-2048"] as const) console.log(await compare(kind));

async function compare(kind: KeyKind): Promise<string> {
  const { certPem: cert, privateKey, publicKey } = await createClientCredential(kind);
  await using server = await startMutualTls([cert]);
  let signingMs = 0;
  const sign = softwareSigner(privateKey);
  using key = registerTlsKey(publicKey, (request) => {
    const startedAt = performance.now();
    const signature = sign(request);
    signingMs += performance.now() - startedAt;
    return signature;
  });
  const byFile = { cert, key: privateKey.export({ type: "pkcs8", format: "pem" }) };
  const bySigner = { cert, ...key.tlsOptions };

  await handshakes(server, warmUpRounds, [byFile, bySigner]);
  signingMs = 0;
  const [fileMs = 0, signerMs = 0] = await handshakes(server, rounds, [byFile, bySigner]);
  const signedMs = signingMs;
  const atStart = residentKiB();
  await handshakes(server, rounds, [byFile]);
  const afterFile = residentKiB();
  await handshakes(server, rounds, [bySigner]);
  const afterSigner = residentKiB();
  const perRound = (ms: number) => `${(ms / rounds).toFixed(2)} ms`;
  return (
    `${kind}, ${process.version}, ${rounds} handshakes each: file ${perRound(fileMs)}, signer ${perRound(signerMs)} ` +
    `(of which ${perRound(signedMs)} in the signing function), ratio ${(signerMs / fileMs).toFixed(2)}; ` +
    `memory after as many again: file ${afterFile - atStart} KiB, signer ${afterSigner - afterFile} KiB`
  );
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
