import { readFileSync } from "node:fs";
import { createPublicKey } from "node:crypto";
import { connect, createSecureContext } from "node:tls";
import { openTokenTlsKey } from "../../src/identity/pkcs11/open-token-key.ts";
import { Pkcs11Tokens } from "../../src/identity/pkcs11/tokens.ts";
import { openPrivateKeyFile } from "../../src/identity/private-key-file.ts";
import { tokenLocation } from "./token-location.ts";

/**
 * Does TLS as a client with the key in a token or a file, says so on stdout, and lives until stdin ends: so that its memory can be
 * searched. Arguments: `pkcs11:` URI or path of the key, certificate, port, authority of the server.
 */
const [, , place = "", certificate = "", port = "", authority = ""] = process.argv;
const cert = readFileSync(certificate);
using tokens = new Pkcs11Tokens();
using key = place.startsWith("pkcs11:")
  ? await openTokenTlsKey(
      tokens,
      tokenLocation(place),
      createPublicKey(cert).export({ type: "spki", format: "der" }),
    )
  : await openPrivateKeyFile([{ path: place, isCredential: false }]);
// Kept, as the agent keeps it for the length of a session.
const secureContext = createSecureContext({ cert, key: key.tlsKey.reveal(), ca: readFileSync(authority) });
let greeting = "";
for await (const text of connect({
  host: "127.0.0.1",
  port: Number(port),
  servername: "localhost",
  secureContext,
})) {
  greeting += String(text);
}
console.log(greeting);
for await (const _ of process.stdin);
console.log(secureContext.context === undefined ? "without context" : "with context");
