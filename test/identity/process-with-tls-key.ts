import { createPrivateKey, sign } from "node:crypto";
import { Worker } from "node:worker_threads";
import { registerTlsKey } from "../../src/identity/tls-signer/tls-signer.ts";
import { createClientCredential } from "./client-credential.ts";
import { startMutualTls } from "./mutual-tls.ts";
import { softwareSigner } from "./software-signer.ts";

/** Runs in a process of its own, which ends in the way that the first argument names. */
const [, , ending = ""] = process.argv;
const credential = await createClientCredential("P-256");
const server = await startMutualTls([credential.certPem]);
const working = softwareSigner(credential.privateKey);
let isExiting = false;
const key = registerTlsKey(credential.publicKey, (request) => {
  if (isExiting) exit();
  return working(request);
});
const options = { cert: credential.certPem, ...key.tlsOptions };

function exit(): never {
  console.log("reached the end");
  process.exit(7);
}

await server.handshake(options);
switch (ending) {
  case "runs out of work":
    console.log("reached the end");
    await server[Symbol.asyncDispose]();
    break;
  case "exits while a handshake waits for its signature":
    isExiting = true;
    await server.handshake(options);
    break;
  case "exits between two handshakes":
    exit();
    break;
  case "exits with a connection open":
    void server.handshake(options);
    setImmediate(exit);
    break;
  case "exits from an exception in the signer's caller":
    console.log("reached the end");
    setImmediate(() => {
      throw new Error("nobody catches this");
    });
    break;
  case "exits while a worker uses TLS": {
    const source = `const { createSecureContext } = require("node:tls"), { workerData, parentPort } = require("node:worker_threads");
      for (let round = 0; ; round++) { createSecureContext(workerData); if (round === 10) parentPort.postMessage("busy"); }`;
    new Worker(source, { eval: true, workerData: options, execArgv: [] }).once("message", exit);
    break;
  }
  case "keeps OpenSSL's hold on a key until the end": {
    const held = createPrivateKey(key.tlsOptions.key);
    process.once("exit", () => {
      sign("sha256", Buffer.from("message"), held);
      console.log("reached the end");
    });
    await server[Symbol.asyncDispose]();
    break;
  }
  default:
    throw new Error(`no such ending: ${ending}`);
}
