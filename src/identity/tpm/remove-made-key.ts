import type { MadeKey } from "./made-keys.ts";
import { readPublicAt } from "./primary-keys.ts";
import { readAuthorization } from "./read-authorization.ts";
import type { Tpm } from "./tpm.ts";

/** `foreign`: another key lies at the handle by now; it was left alone. `absent`: none does. */
type Removal = "removed" | "absent" | "foreign";

/**
 * Takes a key out of the TPM that this program laid there, and no other one.
 * @throws AgentError as `Tpm.use` and `readAuthorization`; `identity/tpm-authorization` (operator).
 */
export async function removeMadeKey(
  tpm: Tpm,
  { handle, name }: MadeKey,
  signal: AbortSignal,
): Promise<Removal> {
  return tpm.use(async (commands) => {
    const found = await readPublicAt(commands, handle);
    if (found === undefined) return "absent";
    if (found.name.toString("hex") !== name) return "foreign";
    const auth = await readAuthorization(commands, tpm.settings, "owner");
    const withAuth = auth === undefined ? [] : ["-P", auth];
    await commands.run("evictcontrol", ["-Q", "-C", "o", ...withAuth, "-c", handle]);
    return "removed";
  }, signal);
}
