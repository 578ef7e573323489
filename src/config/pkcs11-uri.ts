import { isCleanAbsolutePath } from "./value-schemas.ts";

/** A key in a PKCS#11 token. What is absent is not compared; slots are never named, because their numbers wander. */
export interface Pkcs11Uri {
  readonly scheme: "pkcs11";
  /** Absolute path of the module, a shared library. */
  readonly modulePath: string;
  /** Compared with what the token says of itself; never empty. */
  readonly token: TokenNames;
  /** Label and ID of the key, one of them at least; the ID is hex, for example `0a01`. */
  readonly object: { readonly label?: string; readonly id?: string };
  readonly type?: (typeof types)[number];
  /** File with the PIN: a name or an absolute path. Absent for tokens that ask for none. */
  readonly pinSource?: string;
}

export interface TokenNames {
  readonly label?: string;
  readonly serial?: string;
  readonly manufacturer?: string;
  readonly model?: string;
}

/** What is wrong, without a word of what may be secret, and how to mend it. */
interface UriFault {
  readonly found: string;
  readonly fix: string;
}

interface Attribute {
  readonly name: string;
  readonly value: Buffer;
}

const example =
  "pkcs11:token=gateway;object=device?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:pin";
const pathNames = ["token", "serial", "manufacturer", "model", "object", "id", "type"];
const queryNames = ["module-path", "pin-source"];
const types = ["private", "secret-key", "cert"] as const;

/** Attributes that the RFC knows and the agent refuses. None of their values is ever shown. */
const refused: Readonly<Record<string, UriFault>> = {
  "pin-value": {
    found: 'a "pkcs11:" URI with the PIN in it (pin-value)',
    fix: "take pin-value out and change the PIN, it is no longer secret; put the new one into a file with mode 0600 and name it by pin-source=file:NAME",
  },
  "slot-id": {
    found: 'a "pkcs11:" URI that names a slot',
    fix: "name the token instead, by token=LABEL or serial=NUMBER: slots change their numbers",
  },
  "module-name": {
    found: 'a "pkcs11:" URI with module-name',
    fix: "write the module's full path, such as module-path=/usr/lib/softhsm/libsofthsm2.so",
  },
};

/**
 * Reads `pkcs11:token=gateway;object=device?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:pin`.
 *
 * Attributes that the agent does not know are faults: it would otherwise choose by less than the operator asked for.
 * @see RFC 7512
 */
export function parsePkcs11Uri(text: string): Pkcs11Uri | UriFault {
  const [path = "", query = "", ...rest] = text.replace(/^pkcs11:/, "").split("?");
  const inPath = readAttributes(path, ";");
  const inQuery = readAttributes(query, "&");
  const all = [...inPath, ...inQuery];
  const bad = all.map(({ name }) => refused[name.toLowerCase()]).find((fault) => fault !== undefined);
  if (bad !== undefined) return bad;
  return (
    strayAttribute(inPath, pathNames, "before") ??
    strayAttribute(inQuery, queryNames, "after") ??
    (rest.length > 0
      ? fault('has more than one "?"', "write & between what stands behind the first one")
      : assemble(all))
  );
}

function assemble(attributes: readonly Attribute[]): Pkcs11Uri | UriFault {
  const text = (name: string) => attributes.find((attribute) => attribute.name === name)?.value.toString();
  const names = { label: "token", serial: "serial", manufacturer: "manufacturer", model: "model" };
  const token: TokenNames = Object.fromEntries(
    Object.entries(names).flatMap(([key, name]) => {
      const value = text(name) ?? "";
      return value === "" ? [] : [[key, value]];
    }),
  );
  const label = text("object") ?? "";
  const id = attributes.find(({ name }) => name === "id")?.value.toString("hex") ?? "";
  const object = { ...(label !== "" && { label }), ...(id !== "" && { id }) };
  if (token.label === undefined && token.serial === undefined)
    return fault("does not name the token", `add token=LABEL or serial=NUMBER, as in ${example}`);
  if (Object.keys(object).length === 0)
    return fault("does not name the key", `add object=LABEL or id=%01, as in ${example}`);
  const type = types.find((known) => known === text("type"));
  if (type === undefined && text("type") !== undefined)
    return fault(
      "asks for an unknown type",
      "write type=private, type=secret-key or type=cert, or leave it out",
    );
  const modulePath = text("module-path");
  if (modulePath === undefined || !isCleanAbsolutePath(modulePath))
    return fault("does not name the module by its absolute path", `add module-path, as in ${example}`);
  const pin = pinSource(text("pin-source"));
  if ("found" in pin) return pin;
  return { scheme: "pkcs11", modulePath, token, object, ...(type !== undefined && { type }), ...pin };
}

/** RFC 7512 2.4: a file URI or a file name; a leading bar, which would name a command, is left to other programs. */
function pinSource(text: string | undefined): { readonly pinSource?: string } | UriFault {
  if (text === undefined) return {};
  const place = /^(?:file:(?:\/\/(?=\/))?)?([^|][\s\S]*)$/.exec(text)?.[1] ?? "";
  const path = place.startsWith("/") ? place : `/${place}`;
  if (isCleanAbsolutePath(path) && (place.startsWith("/") || !place.includes("/")))
    return { pinSource: place };
  return fault(
    "has a pin-source that is neither a plain name nor an absolute path (not shown: it may be the PIN)",
    "write pin-source=file:pin or pin-source=file:/run/secrets/pin",
  );
}

function strayAttribute(
  attributes: readonly Attribute[],
  known: readonly string[],
  side: "before" | "after",
): UriFault | undefined {
  const names = attributes.map(({ name }) => name);
  const stray = names.find((name) => !known.includes(name));
  if (stray !== undefined) {
    const shown = /^[a-z-]{1,30}$/.test(stray) ? `"${stray}"` : "something";
    return fault(`has ${shown} ${side} the "?"`, `keep to ${known.join(", ")} there, as in ${example}`);
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  return twice === undefined ? undefined : fault(`says ${twice} twice`, "delete one of the two");
}

function readAttributes(text: string, separator: string): readonly Attribute[] {
  return text
    .split(separator)
    .filter((part) => part !== "")
    .map((part) => {
      const at = part.indexOf("=");
      return at === -1
        ? { name: part, value: Buffer.alloc(0) }
        : { name: part.slice(0, at), value: decodePercent(part.slice(at + 1)) };
    });
}

/** RFC 3986 2.1, into bytes: an ID need not be text. */
function decodePercent(text: string): Buffer {
  const parts = text.split(/(%[0-9a-f]{2})/i);
  return Buffer.concat(
    parts.map((part, index) => (index % 2 === 1 ? Buffer.from(part.slice(1), "hex") : Buffer.from(part))),
  );
}

function fault(what: string, fix: string): UriFault {
  return { found: `a "pkcs11:" URI that ${what}`, fix };
}
