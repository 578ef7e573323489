import type { Pkcs11Location } from "../../src/config/config.ts";
import { parsePkcs11Uri } from "../../src/config/pkcs11-uri.ts";

/** What the configuration makes of a `pkcs11:` URI whose PIN file has an absolute path. */
export function tokenLocation(uri: string): Pkcs11Location {
  const parsed = parsePkcs11Uri(uri);
  if ("found" in parsed) throw new Error(parsed.found);
  const { pinSource, ...key } = parsed;
  return pinSource === undefined ? key : { ...key, pin: [{ path: pinSource, isCredential: false }] };
}
