// Azure's packages are there only when this runs, not when it is linted: their types are unknown.
/* oxlint-disable typescript/no-unsafe-assignment */

// What Azure's unmodified client finds, or makes, in the TPM at TPM_PORT, as one line of JSON.
import { promisify } from "node:util";
import securityTpm from "azure-iot-security-tpm";
import tss from "tss.js";

const tpm = new tss.Tpm(true, "127.0.0.1", Number(process.env.TPM_PORT));
const client = new securityTpm.TpmSecurityClient(undefined, tpm);
const ask = async (name) => promisify(client[name].bind(client))();
const endorsementKey = (await ask("getEndorsementKey")).toString("base64");
const storageRootKey = (await ask("getStorageRootKey")).toString("base64");
const registrationId = await ask("getRegistrationId");
process.stdout.write(
  `${JSON.stringify({ event: "keys", endorsementKey, storageRootKey, registrationId })}\n`,
);
process.exit(0);
