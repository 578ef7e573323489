import { createHash } from "node:crypto";
import { AgentError } from "../../platform/failure.ts";
import type { Identity, Key, TpmCredential, WrappedKey } from "../identity.ts";
import { readEndorsementKey, readStorageRootKey } from "./primary-keys.ts";
import type { TpmPublic } from "./public-area.ts";
import { tpmRegistrationId } from "./registration-id.ts";
import { takeInKey } from "./take-in-key.ts";
import type { TpmCommands } from "./tpm-commands.ts";
import type { Tpm } from "./tpm.ts";

interface PrimaryKeys {
  readonly endorsementKey: TpmPublic;
  readonly storageRootKey: TpmPublic;
}

/** What a TPM says of the device it is in. */
interface OpenTpm extends Pick<Identity, "registrationId" | "credentialDigest" | "custody" | "warnings"> {
  readonly credential: TpmCredential;
}

/** The TPM as an identity: it proves who it is to a service, and signs with the key that the service gives it for that. */
export class TpmDevice {
  readonly #tpm: Tpm;
  /** Read once: they change only when the TPM is exchanged or cleared, and then no key of before can be loaded any more. */
  #primaryKeys: PrimaryKeys | undefined;

  constructor(tpm: Tpm) {
    this.#tpm = tpm;
  }

  /** @throws AgentError as `readEndorsementKey` and `readStorageRootKey`. */
  async open(signal: AbortSignal): Promise<OpenTpm> {
    const { endorsementKey, storageRootKey } = await this.#keys(signal);
    return {
      registrationId: tpmRegistrationId(endorsementKey.bytes),
      credentialDigest: digestOf(endorsementKey, storageRootKey),
      custody: `TPM at ${this.#tpm.settings.tcti}`,
      warnings: [],
      credential: {
        endorsementKey: endorsementKey.bytes.toString("base64"),
        storageRootKey: storageRootKey.bytes.toString("base64"),
        takeIn: async (authenticationKey, during) =>
          this.#tpm.use(
            async (commands) => takeInKey(commands, this.#tpm.settings, authenticationKey),
            during,
          ),
        keyOf: (wrapped) => this.#keyOf(wrapped),
      },
    };
  }

  #keyOf(wrapped: WrappedKey): Key {
    return {
      hmac: async (data, signal) => {
        const hmac = await this.#tpm.use(async (commands) => this.#sign(commands, wrapped, data), signal);
        return hmac ?? (await this.#lost(signal));
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
      if (failure.code === "identity/tpm-refused") return undefined;
      throw failure;
    }
    return Buffer.from((await commands.run("hmac", ["-c", "key.ctx", "--hex"], data)).trim(), "hex");
  }

  /** Looks anew who the TPM is, when a key of before cannot be loaded. */
  async #lost(signal: AbortSignal): Promise<never> {
    const before = this.#primaryKeys;
    this.#primaryKeys = undefined;
    const now = await this.#keys(signal);
    if (before !== undefined && !now.storageRootKey.name.equals(before.storageRootKey.name)) {
      throw new AgentError(
        "identity/changed",
        "reidentify",
        "the TPM was cleared or exchanged while running: its storage root key is another one, so the hub's key is lost with the old one",
      );
    }
    throw new AgentError(
      "identity/tpm-hub-key-lost",
      "reprovision",
      "the TPM does not take the stored key of the hub for its own. The provisioning service will give it another one",
    );
  }

  async #keys(signal: AbortSignal): Promise<PrimaryKeys> {
    const { settings } = this.#tpm;
    this.#primaryKeys ??= await this.#tpm.use(
      async (commands) => ({
        endorsementKey: await readEndorsementKey(commands, settings),
        storageRootKey: await readStorageRootKey(commands, settings),
      }),
      signal,
    );
    return this.#primaryKeys;
  }
}

/** Changes with the endorsement key, and with the storage root key: what either wrapped is lost then. */
function digestOf({ name: endorsement }: TpmPublic, { name: storage }: TpmPublic): string {
  return createHash("sha256").update(endorsement).update(storage).digest("hex");
}
