import type { TokenNames } from "../../config/pkcs11-uri.ts";
import { AgentError } from "../../platform/failure.ts";
import type { Cryptoki } from "./cryptoki.ts";
import { cryptokiFailure } from "./cryptoki-failure.ts";

/** A token that is plugged in, as it describes itself. */
export interface Token {
  /** Valid until the module is loaded again. */
  readonly slot: Buffer;
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly flags: number;
}

/**
 * Finds the one token that has all these names. Slot numbers say nothing: they change with each plugging in.
 * @throws AgentError `identity/token-missing`, `identity/token-ambiguous` (operator), `identity/token-failed` (retry).
 */
export function findToken(cryptoki: Cryptoki, wanted: TokenNames): Token {
  const tokens = listTokens(cryptoki);
  const [token, ...others] = tokens.filter((candidate) => hasNames(candidate, wanted));
  const found = tokens.length === 0 ? "none" : tokens.map(describeToken).join(", ");
  if (token === undefined) {
    throw new AgentError(
      "identity/token-missing",
      "operator",
      `there is no token ${describeNames(wanted)} behind ${cryptoki.path}. Tokens found: ${found}. ` +
        `Plug it in, or correct \`key\`; to look: pkcs11-tool --module ${cryptoki.path} --list-token-slots`,
    );
  }
  if (others.length > 0) {
    throw new AgentError(
      "identity/token-ambiguous",
      "operator",
      `more than one token is ${describeNames(wanted)}. Tokens found: ${found}. Add serial=… to \`key\``,
    );
  }
  return token;
}

/** `"gateway" (serial 6c54acbf2858baba)` */
export function describeToken({ label, serial }: Pick<Token, "label" | "serial">): string {
  return `${JSON.stringify(label)} (serial ${serial})`;
}

function listTokens({ module, pk, path }: Cryptoki): readonly Token[] {
  try {
    const slots = module.C_GetSlotList(true);
    return slots
      .map((slot) => {
        const info = module.C_GetTokenInfo(slot);
        return {
          slot,
          label: unpadded(info.label),
          serial: unpadded(info.serialNumber),
          manufacturer: unpadded(info.manufacturerID),
          model: unpadded(info.model),
          flags: info.flags,
        };
      })
      .filter(({ flags }) => (flags & pk.CKF_TOKEN_INITIALIZED) !== 0);
  } catch (cause) {
    throw cryptokiFailure(`the module ${path} cannot list its tokens`, cause);
  }
}

/** PKCS#11 3.2: texts are padded with blanks; some tokens pad with zeros. */
function unpadded(text: string): string {
  return text.replace(/[ \0]+$/, "");
}

function hasNames(token: Token, wanted: TokenNames): boolean {
  return (["label", "serial", "manufacturer", "model"] as const).every(
    (name) => wanted[name] === undefined || wanted[name] === token[name],
  );
}

function describeNames(names: TokenNames): string {
  return Object.entries(names)
    .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
    .join(" with ");
}
