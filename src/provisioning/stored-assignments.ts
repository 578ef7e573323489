import { isJsonObject, type Json, type JsonObject } from "../platform/json.ts";
import type { Assignment, Fingerprint, StoredAssignments } from "./assignment.ts";

/** Reads what the store kept; undefined where it does not fit, which costs one call to DPS and loses nothing. */
export function parseAssignments(value: Json): StoredAssignments | undefined {
  if (!isJsonObject(value)) return undefined;
  const current = parseAssignment(value["current"]);
  const candidate = parseAssignment(value["candidate"]);
  return { ...(current === undefined ? {} : { current }), ...(candidate === undefined ? {} : { candidate }) };
}

function parseAssignment(value: Json | undefined): Assignment | undefined {
  if (!isJsonObject(value)) return undefined;
  const { hub, deviceId, assignedAtMs, because, substatus, payload } = value;
  const madeFrom = parseFingerprint(value["madeFrom"]);
  if (typeof hub !== "string" || typeof deviceId !== "string" || typeof assignedAtMs !== "number")
    return undefined;
  if (madeFrom === undefined) return undefined;
  return {
    hub,
    deviceId,
    assignedAtMs,
    ...(typeof because === "string" ? { because } : {}),
    ...(typeof substatus === "string" ? { substatus } : {}),
    ...(payload === undefined ? {} : { payload }),
    madeFrom,
    ...hubKey(value["hubKey"]),
  };
}

function hubKey(value: Json | undefined): Pick<Assignment, "hubKey"> {
  if (!isJsonObject(value)) return {};
  const { public: publicArea, private: sensitive } = value;
  if (typeof publicArea !== "string" || typeof sensitive !== "string") return {};
  return { hubKey: { public: publicArea, private: sensitive } };
}

function parseFingerprint(value: Json | undefined): Fingerprint | undefined {
  if (!isJsonObject(value)) return undefined;
  const text = (name: keyof Fingerprint) => textOf(value, name);
  return {
    idScope: text("idScope"),
    endpoint: text("endpoint"),
    registrationId: text("registrationId"),
    attestation: text("attestation"),
    credentialDigest: text("credentialDigest"),
  };
}

function textOf(value: JsonObject, name: string): string {
  const found = value[name];
  return typeof found === "string" ? found : "";
}

/** DPS answered: the new hub is on trial, the one that served so far stays. */
export function withCandidate(stored: StoredAssignments, candidate: Assignment): StoredAssignments {
  return { ...(stored.current === undefined ? {} : { current: stored.current }), candidate };
}

/** A hub accepted us: it is the current one, and whatever is older may go. A fallback that accepts displaces no candidate. */
export function withAccepted(stored: StoredAssignments, accepted: Assignment): StoredAssignments {
  const isFallback = stored.candidate !== undefined && !isSamePlace(stored.candidate, accepted);
  if (!isFallback) return { current: accepted };
  return stored;
}

/** Whether two assignments lead to the same device on the same hub, made from the same facts. */
function isSamePlace(one: Assignment, other: Assignment): boolean {
  return (
    one.hub === other.hub &&
    one.deviceId === other.deviceId &&
    one.assignedAtMs === other.assignedAtMs &&
    JSON.stringify(one.madeFrom) === JSON.stringify(other.madeFrom)
  );
}
