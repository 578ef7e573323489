import { X509Certificate } from "node:crypto";
import { lookAtPrimaryKeys } from "./primary-keys.ts";
import { tpmRegistrationId } from "./registration-id.ts";
import type { TpmCommands } from "./tpm-commands.ts";
import type { Tpm } from "./tpm.ts";

/** What a person who enrols the device wants to know of its TPM. */
export interface TpmDescription {
  /** As Azure's clients derive it from the endorsement key. */
  readonly registrationId: string;
  /** Base64 of TPM2B_PUBLIC each, as DPS takes them. */
  readonly endorsementKey: string;
  readonly storageRootKey: string;
  /** With which the maker vouches for the endorsement key; absent where the TPM has none. */
  readonly endorsementCertificate?: X509Certificate;
  /** The letters that its maker has in the TCG's list, and what it calls the chip: `IFX (SLB9670)`. */
  readonly manufacturer: string;
  /** Two numbers in hex; each maker counts in its own way. */
  readonly firmware: string;
  /** Where it is: `device:/dev/tpmrm0`. */
  readonly place: string;
}

/**
 * Asks the TPM who it is, and leaves it as it is. Quick where the keys are at their handles; a slow TPM takes up to a minute to
 * make them where they are not.
 * @throws AgentError as `Tpm.use` and `lookAtPrimaryKeys`.
 */
export async function describeTpm(tpm: Tpm, signal: AbortSignal): Promise<TpmDescription> {
  return tpm.use(async (commands) => {
    const { endorsementKey, storageRootKey } = await lookAtPrimaryKeys(commands, tpm.settings);
    const certificate = await readEndorsementCertificate(commands);
    return {
      registrationId: tpmRegistrationId(endorsementKey.bytes),
      endorsementKey: endorsementKey.bytes.toString("base64"),
      storageRootKey: storageRootKey.bytes.toString("base64"),
      ...(certificate !== undefined && { endorsementCertificate: certificate }),
      ...readMaker(await commands.run("getcap", ["properties-fixed"])),
      place: tpm.settings.tcti,
    };
  }, signal);
}

/** TCG EK Credential Profile 2.2.1.4: the certificate of the RSA 2048 key. */
const certificateIndex = "0x01C00002";

async function readEndorsementCertificate(commands: TpmCommands): Promise<X509Certificate | undefined> {
  const indices = await commands.run("getcap", ["handles-nv-index"]);
  if (!indices.toUpperCase().includes(certificateIndex.toUpperCase().slice(3))) return undefined;
  const read = await commands.attempt("nvread", [certificateIndex, "-o", "ek.der"]);
  return read.status === "done" ? parse(commands.folder.read("ek.der")) : undefined;
}

/** A maker may reserve more room than the certificate takes, and what follows is no part of it. */
function parse(bytes: Buffer): X509Certificate | undefined {
  if (bytes.length < 4 || bytes.readUInt16BE(0) !== 0x3082) return undefined;
  try {
    return new X509Certificate(bytes.subarray(0, 4 + bytes.readUInt16BE(2)));
  } catch {
    return undefined;
  }
}

/** Reads the numbers of TPM_PT (Part 2, 6.13), which stand in hex behind the names. */
function readMaker(properties: string): Pick<TpmDescription, "manufacturer" | "firmware"> {
  const numberOf = (name: string) =>
    Number.parseInt(
      new RegExp(`TPM2_PT_${name}:\\s+raw:\\s+0x([0-9A-Fa-f]+)`).exec(properties)?.[1] ?? "0",
      16,
    );
  const words = [1, 2, 3, 4].map((at) => letters(numberOf(`VENDOR_STRING_${at}`)));
  const chip = words.join("").replaceAll(/ +/g, " ").trim();
  const maker = letters(numberOf("MANUFACTURER")).trim();
  return {
    manufacturer: chip === "" ? maker : `${maker} (${chip})`,
    firmware: [1, 2].map((at) => `0x${hex(numberOf(`FIRMWARE_VERSION_${at}`))}`).join("."),
  };
}

/** Four characters in a number; what is not printable is left out. */
function letters(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString("latin1").replaceAll(/[^ -~]/g, "");
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}
