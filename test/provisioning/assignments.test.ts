import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isJson, type Json } from "../../src/platform/json.ts";
import {
  differences,
  fingerprint,
  type Assignment,
  type Fingerprint,
} from "../../src/provisioning/assignment.ts";
import { parseAssignments, withAccepted, withCandidate } from "../../src/provisioning/stored-assignments.ts";
import { anyJson } from "../platform/any-json.ts";

const madeFrom: Fingerprint = {
  idScope: "0ne1",
  endpoint: "dps.net",
  registrationId: "gw-1",
  attestation: "symmetric-key",
  credentialDigest: "ab".repeat(32),
};

function on(hub: string, assignedAtMs = 1): Assignment {
  return { hub, deviceId: "gw-1", assignedAtMs, madeFrom };
}

const old = on("old.net");
const fresh = on("new.net", 2);

describe("nothing is forgotten before its successor works", () => {
  test("a new answer of DPS leaves the hub that served so far in its place", () => {
    expect(withCandidate({ current: old }, fresh)).toEqual({ current: old, candidate: fresh });
  });

  test("one candidate takes the place of another, never that of the current one", () => {
    const third = on("third.net", 3);
    expect(withCandidate({ current: old, candidate: fresh }, third)).toEqual({
      current: old,
      candidate: third,
    });
  });

  test("the old hub accepting us meanwhile does not displace the candidate", () => {
    const stored = { current: old, candidate: fresh };
    expect(withAccepted(stored, old)).toEqual(stored);
  });

  test("the candidate is the current one once its hub has accepted us, and only then the old one goes", () => {
    expect(withAccepted({ current: old, candidate: fresh }, fresh)).toEqual({ current: fresh });
  });

  test("the same hub assigned anew is the candidate that counts", () => {
    const again = on("old.net", 9);
    expect(withAccepted({ current: old, candidate: again }, again)).toEqual({ current: again });
    expect(withAccepted({ current: old, candidate: again }, old)).toEqual({ current: old, candidate: again });
  });

  test("whatever order of answers and acceptances: the last hub that accepted us is always kept", () => {
    const step = fc.record({
      kind: fc.constantFrom("answer", "accept new", "accept old"),
      hub: fc.nat({ max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        let stored = {};
        let accepted: Assignment | undefined;
        for (const [index, { kind, hub }] of steps.entries()) {
          const { current, candidate } = parseAssignments(toJson(stored)) ?? {};
          if (kind === "answer") stored = withCandidate(stored, on(`hub-${hub}.net`, index));
          const chosen = kind === "accept new" ? candidate : kind === "accept old" ? current : undefined;
          if (chosen !== undefined) {
            stored = withAccepted(stored, chosen);
            accepted = chosen;
          }
          const kept = parseAssignments(toJson(stored)) ?? {};
          expect(accepted === undefined || JSON.stringify(kept).includes(JSON.stringify(accepted))).toBe(
            true,
          );
        }
      }),
    );
  });
});

function toJson(value: unknown): Json {
  const json: unknown = JSON.parse(JSON.stringify(value));
  if (!isJson(json)) throw new Error("a test needs plain data");
  return json;
}

describe("what is stored", () => {
  test("comes back as it was", () => {
    const full = { ...fresh, substatus: "deviceDataMigrated", payload: { line: [1, null] } };
    expect(parseAssignments(toJson({ current: old, candidate: full }))).toEqual({
      current: old,
      candidate: full,
    });
  });

  test("and does not fit is absent, whatever it is", () => {
    fc.assert(
      fc.property(anyJson, anyJson, (one, other) => {
        const read = parseAssignments({ current: one, candidate: other }) ?? {};
        expect(read).toEqual({});
      }),
    );
  });

  test("in part is read in part", () => {
    const broken = { ...fresh, hub: 7 };
    expect(parseAssignments(toJson({ current: old, candidate: broken }))).toEqual({ current: old });
  });

  test("never holds the credential, only a digest of it", () => {
    expect(Object.keys(madeFrom).toSorted()).toEqual([
      "attestation",
      "credentialDigest",
      "endpoint",
      "idScope",
      "registrationId",
    ]);
  });
});

describe("what an assignment was made from", () => {
  const identity = {
    registrationId: "gw-1",
    attestation: "symmetric-key",
    credentialDigest: madeFrom.credentialDigest,
    custody: "file /etc/key",
    warnings: [],
  } as const;

  test("holds while nothing changed; where the key lies does not count", () => {
    const moved = fingerprint("0ne1", "dps.net", { ...identity, custody: "file /elsewhere" });
    expect(differences(madeFrom, moved)).toEqual([]);
  });

  test.each([
    ["idScope", "ID scope"],
    ["endpoint", "DPS endpoint"],
    ["registrationId", "registration ID"],
    ["attestation", "kind of attestation"],
    ["credentialDigest", "credential"],
  ])("a changed %s is named: %s", (name, words) => {
    expect(differences(madeFrom, { ...madeFrom, [name]: "other" })).toEqual([words]);
  });
});
