import type { IdentityDescription } from "./identity-description.ts";

/**
 * What makes the individual enrollment of this device, for the shell of somebody who may: the Azure command line is rarely on the
 * device itself. A secret is never in it.
 * @param leaf the device's certificate in PEM, where it has one.
 * @see https://learn.microsoft.com/cli/azure/iot/dps/enrollment
 */
export function enrollmentCommand(
  { registrationId, attestation, endorsementKey, key }: IdentityDescription,
  leaf: string | undefined,
): string {
  const create =
    "az iot dps enrollment create --dps-name NAME --resource-group GROUP \\\n" +
    `  --enrollment-id ${registrationId}`;
  switch (attestation) {
    case "tpm":
      return `${create} --attestation-type tpm \\\n  --endorsement-key ${endorsementKey ?? ""}\n`;
    case "x509":
      return (
        `cat > ${registrationId}.pem <<'END'\n${(leaf ?? "").trim()}\nEND\n` +
        `${create} --attestation-type x509 --certificate-path ${registrationId}.pem\n`
      );
    case "symmetric-key":
      return (
        `# device.key: a copy of the key of this device, ${key}\n` +
        `${create} --attestation-type symmetricKey \\\n` +
        '  --primary-key "$(cat device.key)" --secondary-key "$(openssl rand -base64 32)"\n'
      );
  }
}
