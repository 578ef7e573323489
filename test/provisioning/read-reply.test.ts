import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AgentError } from "../../src/platform/failure.ts";
import { readReply, type Reply } from "../../src/provisioning/wire.ts";
import { anyJson } from "../platform/any-json.ts";

function reply(status: number, body: unknown, retryAfterMs?: number): Reply {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return { status, body: Buffer.from(text), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

function refusalOf(answer: Reply): AgentError {
  try {
    readReply(answer);
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
  throw new Error("it was no refusal");
}

function assigned(state: Readonly<Record<string, unknown>>): Reply {
  return reply(200, {
    operationId: "5.1",
    status: "assigned",
    registrationState: { status: "assigned", ...state },
  });
}

const place = { assignedHub: "hub-1.azure-devices.net", deviceId: "gw-1" };

describe("a reply that does not make sense", () => {
  test("of any status and any bytes is an AgentError or an answer, never another error", () => {
    fc.assert(
      fc.property(fc.nat({ max: 999 }), fc.uint8Array({ maxLength: 64 }), (status, body) => {
        expect(codeOf({ status, body })).toMatch(/^(answer|provisioning\/[a-z-]+)$/);
      }),
    );
  });

  test("of any status and any JSON is an AgentError or an answer, never another error", () => {
    const member = fc.oneof(
      anyJson,
      fc.constantFrom("assigned", "assigning", "unassigned", "failed", "disabled", 404_203, "hub", ""),
    );
    const body = fc.oneof(
      anyJson,
      fc.record(
        {
          status: member,
          operationId: member,
          errorCode: member,
          message: member,
          trackingId: member,
          registrationState: fc.oneof(
            member,
            fc.record(
              { status: member, assignedHub: member, deviceId: member, payload: member, substatus: member },
              { requiredKeys: [] },
            ),
          ),
        },
        { requiredKeys: [] },
      ),
    );
    const status = fc.oneof(
      fc.constantFrom(200, 202, 204, 301, 400, 401, 404, 429, 500),
      fc.nat({ max: 999 }),
    );
    fc.assert(
      fc.property(status, body, (code, json) => {
        expect(codeOf(reply(code, json))).toMatch(/^(answer|provisioning\/[a-z-]+)$/);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ["an empty body", "", /no JSON/],
    ["half a body", '{"status":"assig', /no JSON/],
    ["a page of a proxy", "<html>", /no JSON/],
    ["no status", "{}", /without a status/],
    ["a status that nobody knows", { status: "elsewhere" }, /status "elsewhere"/],
    ["assigning without an operation", { status: "assigning" }, /operationId/],
    ["no registration state", { status: "assigned" }, /hub name/],
  ])("%s is retried, and the message says what was wrong", (_, body, says) => {
    const error = refusalOf(reply(200, body));
    expect(error).toMatchObject({ code: "provisioning/malformed-answer", remedy: "retry" });
    expect(error.message).toMatch(says);
  });

  test("what the service sent does not flood the log", () => {
    const long = "x".repeat(90_000);
    const replies = [
      reply(200, { status: long }),
      reply(200, { status: "failed", registrationState: { status: "failed", errorMessage: long } }),
      reply(400, { errorCode: 400_004, message: long, trackingId: long }),
    ];
    for (const answer of replies) expect(refusalOf(answer).message.length).toBeLessThan(1_000);
  });

  test.each([
    "",
    " ",
    "hub 1",
    "hub/path",
    "hub:8883",
    "https://hub",
    "-hub",
    "hub-",
    "hub..net",
    ".hub",
    "hub.",
    "hub_1",
    "hüb",
    "hub\n",
    `${"a".repeat(64)}.net`,
    `${"a.".repeat(127)}ab`,
    7,
    null,
  ])(
    "the hub name %j is refused: it could never be reached, and nothing else leads back to DPS",
    (assignedHub) => {
      expect(refusalOf(assigned({ ...place, assignedHub })).code).toBe("provisioning/malformed-answer");
    },
  );

  test.each(["", "gw/1", "gw 1", "gw\n", "gw\u0000", "gerät", "x".repeat(129), 7, null])(
    "the device ID %j is refused: it would change the meaning of the user name",
    (deviceId) => {
      expect(refusalOf(assigned({ ...place, deviceId })).code).toBe("provisioning/malformed-answer");
    },
  );
});

function codeOf(answer: Reply): string {
  try {
    readReply(answer);
    return "answer";
  } catch (error) {
    return error instanceof AgentError ? error.code : `not an AgentError: ${String(error)}`;
  }
}

describe("a refusal", () => {
  test.each([
    [400, 400_004, "provisioning/bad-request", "operator", /refused the registration/],
    [401, 401_002, "provisioning/unauthorized", "operator", /key/],
    [403, 403_000, "provisioning/unauthorized", "operator", /key/],
    [404, 404_201, "provisioning/enrollment-not-found", "operator", /enrollment/],
    [404, 404_202, "provisioning/enrollment-not-found", "operator", /enrollment/],
    [409, 409_000, "provisioning/bad-request", "operator", /refused the registration/],
    [429, 429_001, "provisioning/throttled", "retry", /patience/],
    [500, 500_000, "provisioning/unavailable", "retry", /fault of its own/],
    [503, 503_000, "provisioning/unavailable", "retry", /fault of its own/],
  ])(
    "%i/%i is %s (%s); its message has the service's words for the support",
    (status, errorCode, code, remedy, says) => {
      const body = {
        errorCode,
        trackingId: "8a7b-track",
        message: "The service's words.",
        timestampUtc: "2026",
      };
      const error = refusalOf(reply(status, body));
      expect(error).toMatchObject({ code, remedy, retryAfterMs: undefined });
      expect(error.message).toMatch(says);
      for (const word of [String(status), String(errorCode), "8a7b-track", "The service's words."]) {
        expect(error.message).toContain(word);
      }
    },
  );

  test.each([429, 500, 503])("%i carries the service's own wish for the next attempt", (status) => {
    expect(refusalOf(reply(status, {}, 90_000)).retryAfterMs).toBe(90_000);
  });

  test("an operation that the service has forgotten is an answer, whatever the type of the code", () => {
    for (const errorCode of [404_203, "404203"]) {
      expect(readReply(reply(404, { errorCode, message: "Operation not found." }))).toEqual({
        status: "operation-unknown",
      });
    }
  });

  test("disabled and failed arrive with status 200; each says what an operator can do", () => {
    const disabled = refusalOf(reply(200, { status: "disabled", registrationState: { status: "disabled" } }));
    expect(disabled).toMatchObject({ code: "provisioning/disabled", remedy: "operator" });
    expect(disabled.message).toMatch(/disabled in DPS.*Enable it/);
    const state = { status: "failed", errorCode: 400_208, errorMessage: "no hub linked" };
    const failed = refusalOf(reply(200, { status: "failed", registrationState: state }));
    expect(failed).toMatchObject({ code: "provisioning/failed", remedy: "retry" });
    expect(failed.message).toMatch(/no hub linked \(400208\).*allocation policy/);
  });
});

describe("an unfinished answer", () => {
  test.each(["assigning", "unassigned"])(
    "%s is polled with the operation that the service named",
    (status) => {
      expect(readReply(reply(202, { operationId: "5.ab/c", status }, 7_000))).toEqual({
        status: "assigning",
        operationId: "5.ab/c",
        pollAfterMs: 7_000,
      });
    },
  );

  test("without a wish it is polled after 3 s", () => {
    expect(readReply(reply(202, { operationId: "5.1", status: "assigning" }))).toMatchObject({
      pollAfterMs: 3_000,
    });
  });

  test("the state inside counts where both are there", () => {
    const body = { operationId: "5.1", status: "assigning", registrationState: { status: "assigning" } };
    expect(readReply(reply(202, body))).toMatchObject({ status: "assigning" });
  });
});

describe("an assignment", () => {
  test("has the hub and the device ID as the service spelled them", () => {
    expect(readReply(assigned({ ...place, deviceId: "GW-1" }))).toEqual({
      status: "assigned",
      hub: "hub-1.azure-devices.net",
      deviceId: "GW-1",
    });
  });

  test("keeps the substatus and the payload of a custom allocation; null is none", () => {
    expect(
      readReply(assigned({ ...place, substatus: "deviceDataMigrated", payload: { line: [1] } })),
    ).toMatchObject({
      substatus: "deviceDataMigrated",
      payload: { line: [1] },
    });
    expect(readReply(assigned({ ...place, payload: null }))).not.toHaveProperty("payload");
  });

  test.each(["a", "-.%_#*?!(),:=@$'", "+;", "x".repeat(128)])(
    "may give the device the legal ID %s",
    (deviceId) => {
      expect(readReply(assigned({ ...place, deviceId }))).toMatchObject({ deviceId });
    },
  );

  test.each(["h", "127.3.2.1", "HUB-1.Azure-Devices.net", `${"a".repeat(63)}.net`])(
    "may name the hub %s",
    (hub) => {
      expect(readReply(assigned({ ...place, assignedHub: hub }))).toMatchObject({ hub });
    },
  );
});
