import { openTokenSecret } from "../../src/identity/pkcs11/open-token-key.ts";
import { Pkcs11Tokens } from "../../src/identity/pkcs11/tokens.ts";

/** Runs in a process of its own, from a copy of the tree without packages: asks for a key and prints how that was refused. */
using tokens = new Pkcs11Tokens();
try {
  await openTokenSecret(tokens, {
    scheme: "pkcs11",
    modulePath: "/usr/lib/softhsm/libsofthsm2.so",
    token: { label: "gateway" },
    object: { label: "device" },
  });
  console.log("it was opened");
} catch (error) {
  if (!(error instanceof Error && "code" in error && "remedy" in error)) throw error;
  console.log(error.code, error.remedy);
}
