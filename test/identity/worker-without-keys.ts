import { sign } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { registerTlsKey } from "../../src/identity/tls-signer/tls-signer.ts";

/** Runs in a worker thread: tries both uses of a key and reports what each was refused with. */
const [, , publicKeyBase64 = "", pem = ""] = process.argv;
const publicKey = Buffer.from(publicKeyBase64, "base64");

function outcomeOf(work: () => unknown): string {
  try {
    work();
    return "it worked";
  } catch (error) {
    if (!(error instanceof Error)) return String(error);
    return "remedy" in error && "code" in error ? String(error.code) : error.message;
  }
}

const report = {
  register: outcomeOf(() => registerTlsKey(publicKey, () => publicKey)),
  sign: outcomeOf(() => sign("sha256", Buffer.from("message"), pem)),
};
// eslint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port has no origin
parentPort?.postMessage(report);
