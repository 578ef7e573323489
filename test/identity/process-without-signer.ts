import { generateKeyPairSync } from "node:crypto";
import { registerTlsKey } from "../../src/identity/tls-signer/tls-signer.ts";

/** Runs in a process of its own, from a copy of the tree: asks for a key and prints how that was refused. */
const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
try {
  registerTlsKey(publicKey.export({ type: "spki", format: "der" }), () => new Uint8Array());
  console.log("it was registered");
} catch (error) {
  if (!(error instanceof Error && "code" in error && "remedy" in error)) throw error;
  console.log(error.code, error.remedy);
}
