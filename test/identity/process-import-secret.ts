import { readFileSync } from "node:fs";
import pk from "pkcs11js";

/**
 * Puts the bytes on stdin into a token as a key for HMAC, which OpenSC's tool of Debian 12 cannot: it leaves CKA_SIGN out.
 * Runs in a process of its own, because a login is per process. Arguments: module, token, PIN, label, ID, open or closed.
 */
const [, , module = "", token = "", pin = "", label = "", id = "", custody = ""] = process.argv;
const pkcs11 = new pk.PKCS11();
pkcs11.load(module);
pkcs11.C_Initialize({ flags: pk.CKF_OS_LOCKING_OK });
const slot = pkcs11
  .C_GetSlotList(true)
  .find((candidate) => pkcs11.C_GetTokenInfo(candidate).label.trim() === token);
if (slot === undefined) throw new Error(`no token ${token}`);
const session = pkcs11.C_OpenSession(slot, pk.CKF_SERIAL_SESSION | pk.CKF_RW_SESSION);
pkcs11.C_Login(session, pk.CKU_USER, pin);
pkcs11.C_CreateObject(session, [
  { type: pk.CKA_CLASS, value: pk.CKO_SECRET_KEY },
  { type: pk.CKA_KEY_TYPE, value: pk.CKK_GENERIC_SECRET },
  { type: pk.CKA_TOKEN, value: true },
  { type: pk.CKA_PRIVATE, value: true },
  { type: pk.CKA_SIGN, value: true },
  { type: pk.CKA_SENSITIVE, value: custody !== "open" },
  { type: pk.CKA_EXTRACTABLE, value: custody === "open" },
  { type: pk.CKA_LABEL, value: label },
  { type: pk.CKA_ID, value: Buffer.from(id, "hex") },
  { type: pk.CKA_VALUE, value: readFileSync(0) },
]);
pkcs11.C_Finalize();
