import { AgentError } from "../../platform/failure.ts";
import type { MadeKey, MadeKeys } from "./made-keys.ts";
import { decrypt, parsePublicArea, restricted, sha256Algorithm, type TpmPublic } from "./public-area.ts";
import { readAuthorization } from "./read-authorization.ts";
import { factOf } from "./response-code.ts";
import type { TpmCommands } from "./tpm-commands.ts";
import type { TpmSettings } from "./tpm.ts";

/** RSA 2048 that can wrap other keys by AES-128, as every Azure client expects it. */
const storage = ["-g", "sha256", "-G", "rsa2048:aes128cfb"];
const ekAttributes = "restricted|decrypt|fixedtpm|fixedparent|adminwithpolicy|sensitivedataorigin";
/** Without dictionary-attack protection: its authorization value is empty, and a lockout must not stop the device. */
const srkAttributes = "restricted|decrypt|fixedtpm|fixedparent|noda|userwithauth|sensitivedataorigin";

/** PolicySecret(TPM_RH_ENDORSEMENT): TCG EK Credential Profile, B.2. */
const ekPolicy = Buffer.from("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa", "hex");

/**
 * Reads the public endorsement key: the one at its handle, whoever put it there, or else a new one from the configured template.
 * The TPM makes the same key from the same template each time, even after it was cleared.
 * @param notes where a key that is made is written down as ours; nowhere where absent.
 * @throws AgentError `identity/tpm-key-unsuitable` (operator), and as `TpmCommands` and `readAuthorization`.
 */
export async function readEndorsementKey(
  commands: TpmCommands,
  settings: TpmSettings,
  notes?: Notes,
): Promise<TpmPublic> {
  const handle = settings.ekHandle;
  const found = await readPublicAt(commands, handle);
  const key =
    found ??
    (await persist(commands, settings, {
      handle,
      what: "endorsement key",
      create: createEndorsementKey,
      notes,
    }));
  return suitable(key, handle, "endorsement key", "ek_handle");
}

/**
 * Reads the public storage root key, likewise. Clearing the TPM makes it another one.
 * @throws AgentError as `readEndorsementKey`.
 */
export async function readStorageRootKey(
  commands: TpmCommands,
  settings: TpmSettings,
  notes?: Notes,
): Promise<TpmPublic> {
  const handle = settings.srkHandle;
  const found = await readPublicAt(commands, handle);
  const key =
    found ??
    (await persist(commands, settings, {
      handle,
      what: "storage root key",
      create: createStorageRootKey,
      notes,
    }));
  return suitable(key, handle, "storage root key", "srk_handle");
}

/** The public halves of the two, as a service will see them. */
export interface PrimaryKeys {
  readonly endorsementKey: TpmPublic;
  readonly storageRootKey: TpmPublic;
}

/**
 * As `readEndorsementKey` and `readStorageRootKey`, but leaves the TPM as it is: a key that is not at its handle is made for a
 * moment only. It will be the same one when it is put there.
 * @throws AgentError as those.
 */
export async function lookAtPrimaryKeys(commands: TpmCommands, settings: TpmSettings): Promise<PrimaryKeys> {
  const { ekHandle, srkHandle } = settings;
  const ek = (await readPublicAt(commands, ekHandle)) ?? (await made(createEndorsementKey));
  const srk = (await readPublicAt(commands, srkHandle)) ?? (await made(createStorageRootKey));
  return {
    endorsementKey: suitable(ek, ekHandle, "endorsement key", "ek_handle"),
    storageRootKey: suitable(srk, srkHandle, "storage root key", "srk_handle"),
  };

  async function made(create: Create): Promise<TpmPublic | undefined> {
    await create(commands, settings);
    return parsePublicArea(commands.folder.read(newPublic));
  }
}

type Notes = Pick<MadeKeys, "note" | "forget">;
type Create = (commands: TpmCommands, settings: TpmSettings) => Promise<void>;

/** Where a tool lays the public half of the key that it made. */
const newPublic = "new.pub";

/** Reads the public half of the key at a persistent handle; undefined where there is none. @throws AgentError as `TpmCommands`. */
export async function readPublicAt(commands: TpmCommands, handle: string): Promise<TpmPublic | undefined> {
  const args = ["-c", handle, "-o", "public"];
  const result = await commands.attempt("readpublic", args);
  if (result.status === "refused") {
    if (factOf(result.code) === "empty-handle") return undefined;
    throw await commands.refusal("readpublic", result.code);
  }
  return parsePublicArea(commands.folder.read("public"));
}

async function createEndorsementKey(commands: TpmCommands, settings: TpmSettings): Promise<void> {
  const auth = await readAuthorization(commands, settings, "endorsement");
  const withAuth = auth === undefined ? [] : ["-P", auth];
  if (settings.ekTemplate === "tcg") {
    await commands.run("createek", ["-G", "rsa", "-c", "new.ctx", "-u", newPublic, ...withAuth]);
    return;
  }
  // What Azure's SDKs leave empty the TCG fills with zeros, and that makes another key.
  commands.folder.write("policy", ekPolicy);
  const template = [...storage, "-L", "policy", "-a", ekAttributes];
  const output = ["-c", "new.ctx", "-o", newPublic];
  await commands.run("createprimary", ["-C", "e", ...template, ...output, ...withAuth]);
}

async function createStorageRootKey(commands: TpmCommands, settings: TpmSettings): Promise<void> {
  const auth = await readAuthorization(commands, settings, "owner");
  const withAuth = auth === undefined ? [] : ["-P", auth];
  const template = [...storage, "-a", srkAttributes];
  const output = ["-c", "new.ctx", "-o", newPublic];
  await commands.run("createprimary", ["-C", "o", ...template, ...output, ...withAuth]);
}

interface Making extends Pick<MadeKey, "handle" | "what"> {
  readonly create: Create;
  readonly notes: Notes | undefined;
}

/** Creates a key and lays it at its handle, so that the next start need not make it again: a small TPM takes half a minute. */
async function persist(
  commands: TpmCommands,
  settings: TpmSettings,
  { handle, what, create, notes }: Making,
): Promise<TpmPublic | undefined> {
  await create(commands, settings);
  const auth = await readAuthorization(commands, settings, "owner");
  const made = parsePublicArea(commands.folder.read(newPublic));
  if (made !== undefined) await notes?.note({ handle, what, name: made.name.toString("hex") });
  const args = ["-C", "o", ...(auth === undefined ? [] : ["-P", auth]), "-c", "new.ctx", handle];
  const result = await commands.attempt("evictcontrol", args);
  if (result.status === "refused") {
    await notes?.forget(handle);
    // Somebody else was faster: theirs is as good, and never overwritten.
    if (factOf(result.code) !== "occupied-handle") throw await commands.refusal("evictcontrol", result.code);
  }
  return readPublicAt(commands, handle);
}

function suitable(
  key: TpmPublic | undefined,
  handle: string,
  what: string,
  setting: "ek_handle" | "srk_handle",
): TpmPublic {
  const wanted = restricted | decrypt;
  const isSuitable =
    key?.type === "rsa" && key.nameAlgorithm === sha256Algorithm && (key.attributes & wanted) === wanted;
  if (isSuitable) return key;
  const is = key?.type === "ecc" ? "an ECC key (newer versions of systemd put one there)" : "another key";
  throw new AgentError(
    "identity/tpm-key-unsuitable",
    "operator",
    `the TPM's ${what} has to be RSA with SHA-256, for DPS takes no other, but ${is} lies at ${handle}. ` +
      `It is left alone: name a free handle in [tpm] ${setting}, such as ${nextHandle(handle)}`,
  );
}

function nextHandle(handle: string): string {
  return `0x${(Number.parseInt(handle, 16) + 1).toString(16)}`;
}
