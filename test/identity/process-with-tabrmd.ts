import { createHmac, randomBytes } from "node:crypto";
import { TpmDevice } from "../../src/identity/tpm/tpm-device.ts";
import { Tpm } from "../../src/identity/tpm/tpm.ts";
import { wrap } from "../cloud/dps-tpm.ts";

/*
 * process-with-tabrmd.ts <work directory>: takes keys in and signs, by way of the resource manager, and prints what is left in the TPM.
 */
const never = new AbortController().signal;
const settings = {
  tcti: "tabrmd:",
  ekTemplate: "tcg",
  ekHandle: "0x81010001",
  srkHandle: "0x81000001",
} as const;
const tpm = new Tpm(settings, { workDirectory: process.argv[2] ?? "" });
const { credential } = await new TpmDevice(tpm).open(never);
let signed = 0;
for (let round = 0; round < 5; round += 1) {
  const secret = randomBytes(32);
  const wrapped = await credential.takeIn(wrap(credential, secret.toString("base64")), never);
  const hmac = await credential.keyOf(wrapped).hmac(Buffer.from("token"), never);
  if (createHmac("sha256", secret).update("token").digest().equals(hmac)) signed += 1;
}
const left = await tpm.use(async (commands) => {
  const kinds = ["transient", "loaded-session", "saved-session"];
  const listed: string[] = [];
  for (const kind of kinds) listed.push(await commands.run("getcap", [`handles-${kind}`]));
  return listed.join("");
}, never);
console.log(JSON.stringify({ signed, left }));
