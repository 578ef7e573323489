/** What a TPM's response code says, as far as the agent acts upon it. */
type TpmFact =
  | "empty-handle"
  | "occupied-handle"
  | "authorization"
  | "lockout"
  | "no-sessions"
  | "no-memory"
  | "not-initialized"
  | "integrity"
  | "failure"
  | "other";

/**
 * Error numbers of TPM 2.0 Library Part 2, 6.6.3, without the bits that say which handle, parameter or session is meant.
 */
const facts: Readonly<Record<number, TpmFact>> = {
  0x08b: "empty-handle", // TPM_RC_HANDLE
  0x14c: "occupied-handle", // TPM_RC_NV_DEFINED
  0x08e: "authorization", // TPM_RC_AUTH_FAIL, which counts towards a lockout
  0x0a2: "authorization", // TPM_RC_BAD_AUTH
  0x921: "lockout",
  0x905: "no-sessions", // TPM_RC_SESSION_HANDLES
  0x903: "no-sessions", // TPM_RC_SESSION_MEMORY
  0x901: "no-sessions", // TPM_RC_CONTEXT_GAP: a session saved long ago blocks the others
  0x902: "no-memory", // TPM_RC_OBJECT_MEMORY
  0x904: "no-memory", // TPM_RC_MEMORY
  0x100: "not-initialized",
  0x09f: "integrity",
  0x0a5: "integrity", // TPM_RC_BINDING, what most TPMs say of a secret for another key
  0x101: "failure",
};

/** Where the code comes from: 0 the TPM, 11 a resource manager that passes it on; the others are the software above it. */
const layerOf = (code: number) => (code >>> 16) & 0xff;

/** Reads the code that a tool printed. @returns undefined where there is none: then no TPM has answered. */
export function readResponseCode(stderr: string): number | undefined {
  // `ERROR: Esys_Load(0x1DF) - …`: the name may be wrong, the number never is.
  const hex = /\(0x([0-9A-Fa-f]{1,8})\)/.exec(stderr)?.[1];
  return hex === undefined ? undefined : Number.parseInt(hex, 16);
}

export function factOf(code: number): TpmFact {
  if (layerOf(code) !== 0 && layerOf(code) !== 11) return "other";
  // Part 2, 6.6.2: bit 7 tells the two formats apart.
  const number = (code & 0x80) === 0 ? code & 0xfff : code & 0xbf;
  return facts[number] ?? "other";
}

/**
 * Whether the TPM finds fault with what it was given, and will do so again; everything else tells of its own state. Secrets that are
 * not for its keys some TPMs answer with a plain failure.
 */
export function isAboutInput(code: number): boolean {
  return (code & 0x80) !== 0 || factOf(code) === "failure";
}

export function printCode(code: number): string {
  return `0x${code.toString(16).toUpperCase().padStart(3, "0")}`;
}
