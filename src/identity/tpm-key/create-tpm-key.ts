import { AgentError } from "../../platform/failure.ts";
import { readStorageRootKey } from "../tpm/primary-keys.ts";
import { parsePublicArea } from "../tpm/public-area.ts";
import { readAuthorization } from "../tpm/read-authorization.ts";
import { factOf } from "../tpm/response-code.ts";
import type { Tpm } from "../tpm/tpm.ts";

/**
 * Born in this TPM, never to leave it, and without dictionary-attack protection: it has no password that could be guessed, and
 * power cuts while it is in use would add up to a lockout.
 */
const attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign";

/** With RSA, `decrypt` lets padding be made outside: TLS wants a length of salt that not every TPM makes. */
const kinds = {
  "P-256": ["-G", "ecc256", "-a", attributes],
  "RSA-2048": ["-G", "rsa2048", "-a", `${attributes}|decrypt`],
} as const;

export type TpmKeyKind = keyof typeof kinds;

/**
 * Makes a private key for TLS in the TPM and lays it at a persistent handle. The storage root key above it is made too where none is
 * at its handle.
 * @param handle `0x81000201`; what is there is never overwritten.
 * @throws AgentError as `Tpm.use`, `readStorageRootKey` and `readAuthorization`; `identity/tpm-handle-occupied` (operator);
 *   `platform/state-not-written` (retry) where it cannot be written down as ours: then no key is made.
 */
export async function createTpmKey(
  tpm: Tpm,
  kind: TpmKeyKind,
  handle: string,
  signal: AbortSignal,
): Promise<void> {
  const { settings, madeKeys } = tpm;
  await tpm.use(async (commands) => {
    const taken = await commands.attempt("readpublic", ["-Q", "-c", handle]);
    if (taken.status === "done") throw occupied(handle);
    await readStorageRootKey(commands, settings, madeKeys);
    const halves = ["-u", "key.pub", "-r", "key.priv"];
    await commands.run("create", ["-Q", "-C", settings.srkHandle, ...kinds[kind], ...halves]);
    await commands.run("load", ["-Q", "-C", settings.srkHandle, ...halves, "-c", "key.ctx"]);
    const auth = await readAuthorization(commands, settings, "owner");
    const withAuth = auth === undefined ? [] : ["-P", auth];
    const made = parsePublicArea(commands.folder.read("key.pub"));
    if (made !== undefined)
      await madeKeys?.note({ handle, what: "private key", name: made.name.toString("hex") });
    const kept = await commands.attempt("evictcontrol", [
      "-Q",
      "-C",
      "o",
      ...withAuth,
      "-c",
      "key.ctx",
      handle,
    ]);
    if (kept.status === "done") return;
    await madeKeys?.forget(handle);
    throw factOf(kept.code) === "occupied-handle"
      ? occupied(handle)
      : await commands.refusal("evictcontrol", kept.code);
  }, signal);
}

function occupied(handle: string): AgentError {
  return new AgentError(
    "identity/tpm-handle-occupied",
    "operator",
    `the TPM has a key at ${handle} already, and it is left alone. Name another handle with --handle; or, if nobody needs ` +
      `that key any more, take it out: tpm2_evictcontrol -C o -c ${handle}`,
  );
}
