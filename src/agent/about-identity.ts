import { createHash } from "node:crypto";
import type { Config } from "../config/config.ts";
import { fingerprint } from "../provisioning/assignment.ts";
import type { Phase } from "./phase.ts";

/** Whom a history is about, in a few letters: another scope, endpoint, name or credential is another device to DPS. */
export function aboutIdentity(
  { identity }: Exclude<Phase, { at: "identifying" }>,
  { idScope, provisioning }: Config,
): string {
  const facts = Object.values(fingerprint(idScope, provisioning.endpoint, identity));
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 16);
}
