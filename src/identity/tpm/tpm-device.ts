import { AgentError } from "../../platform/failure.ts";
import type { Identity, Key, TpmCredential, WrappedKey } from "../identity.ts";
import type { MadeKeys } from "./made-keys.ts";
import { readEndorsementKey, readStorageRootKey, type PrimaryKeys } from "./primary-keys.ts";
import { tpmRegistrationId } from "./registration-id.ts";
import { isAboutInput } from "./response-code.ts";
import { takeInKey } from "./take-in-key.ts";
import type { TpmCommands } from "./tpm-commands.ts";
import { tpmDigest } from "./tpm-digest.ts";
import type { Tpm } from "./tpm.ts";

/** What a TPM says of the device it is in. */
interface OpenTpm extends Pick<Identity, "registrationId" | "credentialDigest" | "custody" | "warnings"> {
  readonly credential: TpmCredential;
}

/** The TPM as an identity: it proves who it is to a service, and signs with the key that the service gives it for that. */
export class TpmDevice {
  readonly #tpm: Tpm;
  /** Read once: they change only when the TPM is exchanged or cleared, and then no key of before can be loaded any more. */
  #primaryKeys: PrimaryKeys | undefined;
  /** A token is made to see that the TPM can sign, and right after it again to be shown: that is one signature. */
  #latest: { readonly of: string; readonly hmac: Uint8Array } | undefined;

  constructor(tpm: Tpm) {
    this.#tpm = tpm;
  }

  /** @throws AgentError as `readEndorsementKey` and `readStorageRootKey`. */
  async open(signal: AbortSignal): Promise<OpenTpm> {
    const { endorsementKey, storageRootKey } = await this.#keys(signal);
    return {
      registrationId: tpmRegistrationId(endorsementKey.bytes),
      credentialDigest: tpmDigest({ endorsement: endorsementKey.name, storageRoot: storageRootKey.name }),
      custody: `TPM at ${this.#tpm.settings.tcti}`,
      warnings: [],
      credential: {
        endorsementKey: endorsementKey.bytes.toString("base64"),
        storageRootKey: storageRootKey.bytes.toString("base64"),
        takeIn: async (authenticationKey, during) => this.#takeIn(authenticationKey, during),
        keyOf: (wrapped) => this.#keyOf(wrapped),
      },
    };
  }

  async #takeIn(authenticationKey: string, signal: AbortSignal): Promise<WrappedKey> {
    const { settings } = this.#tpm;
    try {
      return await this.#tpm.use(
        async (commands) => takeInKey(commands, settings, authenticationKey),
        signal,
      );
    } catch (error) {
      if (error instanceof AgentError && wrongKey.has(error.code)) await this.#lookAnew(signal);
      throw error;
    }
  }

  #keyOf(wrapped: WrappedKey): Key {
    return {
      hmac: async (data, signal) => {
        const of = `${wrapped.private} ${Buffer.from(data).toString("base64")}`;
        if (this.#latest?.of === of) return this.#latest.hmac;
        const hmac = await this.#tpm.use(async (commands) => this.#sign(commands, wrapped, data), signal);
        if (hmac !== undefined) {
          this.#latest = { of, hmac };
          return hmac;
        }
        await this.#lookAnew(signal);
        throw hubKeyLost();
      },
    };
  }

  /** @returns undefined where the TPM does not know the wrapping as its own. */
  async #sign(commands: TpmCommands, wrapped: WrappedKey, data: Uint8Array): Promise<Uint8Array | undefined> {
    commands.folder.write("key.pub", Buffer.from(wrapped.public, "base64"));
    commands.folder.write("key.priv", Buffer.from(wrapped.private, "base64"));
    const files = ["-u", "key.pub", "-r", "key.priv", "-c", "key.ctx"];
    const loaded = await commands.attempt("load", ["-C", this.#tpm.settings.srkHandle, ...files]);
    if (loaded.status === "refused") {
      const failure = await commands.refusal("load", loaded.code);
      if (failure.code === "identity/tpm-refused" && isAboutInput(loaded.code)) return undefined;
      throw failure;
    }
    // From a file, whose size the tool knows: then it is one command to the TPM, and not four.
    commands.folder.write("data", data);
    return Buffer.from((await commands.run("hmac", ["-c", "key.ctx", "--hex", "data"])).trim(), "hex");
  }

  /** The TPM does not know a key of its own: looks who it is now. @throws AgentError `identity/changed`. */
  async #lookAnew(signal: AbortSignal): Promise<void> {
    const before = this.#primaryKeys;
    this.#primaryKeys = undefined;
    const now = await this.#keys(signal);
    if (before === undefined || isSame(before, now)) return;
    throw new AgentError(
      "identity/changed",
      "reidentify",
      "the TPM was cleared or exchanged while running: what was wrapped for its keys of before is lost with them",
    );
  }

  async #keys(signal: AbortSignal): Promise<PrimaryKeys> {
    const { settings } = this.#tpm;
    const notes = patient(this.#tpm.madeKeys);
    this.#primaryKeys ??= await this.#tpm.use(
      async (commands) => ({
        endorsementKey: await readEndorsementKey(commands, settings, notes),
        storageRootKey: await readStorageRootKey(commands, settings, notes),
      }),
      signal,
    );
    return this.#primaryKeys;
  }
}

/** What a TPM says when a service wrapped a key for keys that it does not have, or no longer. */
const wrongKey = new Set(["identity/tpm-blob-foreign", "identity/tpm-blob-damaged"]);

/** A disk that cannot be written, which the agent's other files tell, keeps no device from its hub. What is not noted is not ours. */
function patient(madeKeys: MadeKeys | undefined): Pick<MadeKeys, "note" | "forget"> {
  return {
    note: async (key) => unlessRefused(madeKeys?.note(key)),
    forget: async (handle) => unlessRefused(madeKeys?.forget(handle)),
  };
}

async function unlessRefused(work: Promise<void> | undefined): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
  }
}

function isSame(one: PrimaryKeys, other: PrimaryKeys): boolean {
  return (
    one.endorsementKey.name.equals(other.endorsementKey.name) &&
    one.storageRootKey.name.equals(other.storageRootKey.name)
  );
}

function hubKeyLost(): AgentError {
  return new AgentError(
    "identity/tpm-hub-key-lost",
    "reprovision",
    "the TPM does not take the stored key of the hub for its own. The provisioning service will give it another one",
  );
}
