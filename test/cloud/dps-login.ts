import type { X509Certificate } from "node:crypto";
import { expiryObjection, type SasToken } from "./sas-token.ts";

/** A device at DPS's door: who it says it is and what it shows for it. Keys and chains are still unproven. */
export interface Login {
  readonly registrationId: string;
  readonly apiVersion: string;
  readonly transport: "mqtt" | "https";
  readonly proof:
    | { readonly by: "token"; readonly token: SasToken }
    /** Leaf first. */
    | { readonly by: "certificate"; readonly chain: readonly X509Certificate[] }
    /** How a TPM introduces itself. */
    | { readonly by: "nothing" };
}

/** Versions that SDKs of all ages and the documentation name. */
const apiVersions = new Set([
  "2017-08-31-preview",
  "2018-04-01",
  "2018-09-01-preview",
  "2018-11-01",
  "2019-03-31",
  "2021-06-01",
  "2021-10-01",
  "2021-11-01-preview",
  "2025-07-01-preview",
  "2026-11-01",
  "2026-11-02-preview",
]);

export function isKnownApiVersion(apiVersion: string): boolean {
  return apiVersions.has(apiVersion);
}

/** Such devices stay where they were first assigned, whatever the enrollment says. */
export function isBoundToFirstHub({ apiVersion }: Login): boolean {
  return apiVersion.slice(0, 10) <= "2018-04-01";
}

export function mayAskForCertificates({ apiVersion }: Login): boolean {
  return apiVersion >= "2025-07-01-preview";
}

export function hearsConnectionProfile({ apiVersion }: Login): boolean {
  return apiVersion >= "2026-11-02-preview";
}

/** What is wrong with a token before any key is known, in words. */
export function tokenObjection(
  token: SasToken | { readonly malformed: string },
  idScope: string,
  registrationId: string,
  nowMs: number,
): string | undefined {
  if ("malformed" in token) return `token ${token.malformed}`;
  if (token.keyName !== undefined && token.keyName !== "registration") return "token names another key";
  if (token.resource.toLowerCase() !== `${idScope}/registrations/${registrationId}`.toLowerCase()) {
    return "token for another resource";
  }
  return expiryObjection(token, nowMs);
}
