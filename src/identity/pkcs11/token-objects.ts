import type { Attribute } from "pkcs11js";
import type { Pkcs11Uri } from "../../config/pkcs11-uri.ts";
import { AgentError } from "../../platform/failure.ts";
import { cryptokiFailure } from "./cryptoki-failure.ts";
import { describeToken } from "./find-token.ts";
import type { TokenSession } from "./tokens.ts";

/** A key in a token. */
export interface TokenKey {
  readonly kind: "private" | "secret";
  /** Valid in this session only. */
  readonly handle: Buffer;
  readonly label: string;
  /** Hex; empty where the key has none. */
  readonly id: string;
}

/** No token for devices has more; a module that goes on for ever is cut. */
const maxObjects = 1000;

/**
 * Finds the one key that has this label, this ID, and this type, as far as they are given.
 * @throws AgentError `identity/token-key-missing`, `identity/token-key-ambiguous` (operator), `identity/token-failed` (retry).
 */
export function findKey(
  session: TokenSession,
  { object, type }: Pick<Pkcs11Uri, "object" | "type">,
): TokenKey {
  const { pk } = session.cryptoki;
  const names = namesTemplate(session, object);
  const kinds = (["private", "secret"] as const).filter(
    (kind) => type === undefined || type.startsWith(kind),
  );
  const keys = kinds.flatMap((kind) => {
    const value = kind === "private" ? pk.CKO_PRIVATE_KEY : pk.CKO_SECRET_KEY;
    const handles = findObjects(session, [{ type: pk.CKA_CLASS, value }, ...names]);
    return handles.map((handle) => toKey(session, kind, handle));
  });
  const [key, ...others] = keys;
  if (key === undefined) throw keyMissing(session, wantedWords(object));
  if (others.length > 0) {
    throw new AgentError(
      "identity/token-key-ambiguous",
      "operator",
      `the token ${describeToken(session.token)} has more than one key ${wantedWords(object)}: ` +
        `${keys.map((found) => `${found.kind} key ${objectWords(found)}`).join(", ")}. Add id=… or type=… to \`key\``,
    );
  }
  return key;
}

/** Handles of all objects that have these attributes. */
export function findObjects(session: TokenSession, template: Attribute[]): readonly Buffer[] {
  const { module } = session.cryptoki;
  try {
    module.C_FindObjectsInit(session.handle, template);
    try {
      return module.C_FindObjects(session.handle, maxObjects);
    } finally {
      module.C_FindObjectsFinal(session.handle);
    }
  } catch (cause) {
    throw cryptokiFailure(`the token ${describeToken(session.token)} cannot be searched`, cause);
  }
}

/** The value of one attribute; undefined where the object has no such thing, or keeps it to itself. */
export function attributeOf(session: TokenSession, object: Buffer, type: number): Buffer | undefined {
  try {
    const [attribute] = session.cryptoki.module.C_GetAttributeValue(session.handle, object, [{ type }]);
    return attribute?.value;
  } catch {
    // CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_SENSITIVE: both are answers. A token that is gone shows with the next call.
    return undefined;
  }
}

/** What finds objects by label and ID, as far as they are given. */
export function namesTemplate(
  { cryptoki: { pk } }: TokenSession,
  { label, id }: Pkcs11Uri["object"],
): Attribute[] {
  return [
    ...(label === undefined ? [] : [{ type: pk.CKA_LABEL, value: label }]),
    ...(id === undefined ? [] : [{ type: pk.CKA_ID, value: Buffer.from(id, "hex") }]),
  ];
}

/** Everything in the token, for a person: `private key "device" (id 01), certificate "device" (id 01)`. */
export function describeObjects(session: TokenSession): string {
  const { pk } = session.cryptoki;
  const kinds = [
    ["private key", pk.CKO_PRIVATE_KEY],
    ["secret key", pk.CKO_SECRET_KEY],
    ["public key", pk.CKO_PUBLIC_KEY],
    ["certificate", pk.CKO_CERTIFICATE],
  ] as const;
  const found = kinds.flatMap(([name, value]) =>
    findObjects(session, [{ type: pk.CKA_CLASS, value }]).map(
      (handle) => `${name} ${objectWords(namesOf(session, handle))}`,
    ),
  );
  return found.length === 0 ? "none" : found.join(", ");
}

function toKey(session: TokenSession, kind: TokenKey["kind"], handle: Buffer): TokenKey {
  const { label, id } = namesOf(session, handle);
  return { kind, handle, label, id };
}

function namesOf(session: TokenSession, handle: Buffer): { readonly label: string; readonly id: string } {
  const { pk } = session.cryptoki;
  return {
    label: attributeOf(session, handle, pk.CKA_LABEL)?.toString() ?? "",
    id: attributeOf(session, handle, pk.CKA_ID)?.toString("hex") ?? "",
  };
}

function keyMissing(session: TokenSession, wanted: string): AgentError {
  const { cryptoki, token } = session;
  const tool = `pkcs11-tool --module ${cryptoki.path} --token-label ${JSON.stringify(token.label)} --login`;
  return new AgentError(
    "identity/token-key-missing",
    "operator",
    `the token ${describeToken(token)} has no private or secret key ${wanted}. Objects found: ${describeObjects(session)}. ` +
      `Correct \`key\`, or make a key: ${tool} --keypairgen --key-type EC:prime256v1 --usage-sign --id 01 --label device`,
  );
}

/** `with the label "device" and with the ID 01` */
export function wantedWords({ label, id }: Pkcs11Uri["object"]): string {
  const words = [
    ...(label === undefined ? [] : [`with the label ${JSON.stringify(label)}`]),
    ...(id === undefined ? [] : [`with the ID ${id}`]),
  ];
  return words.join(" and ");
}

/** `"device" (id 01)` */
function objectWords({ label, id }: { readonly label: string; readonly id: string }): string {
  return `${JSON.stringify(label)}${id === "" ? "" : ` (id ${id})`}`;
}
