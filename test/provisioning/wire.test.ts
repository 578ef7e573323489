import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  dpsResource,
  dpsUsername,
  pollTopic,
  readResponseTopic,
  registerBody,
  registerTopic,
} from "../../src/provisioning/wire.ts";

describe("topics", () => {
  test("anything but a response of ours is nobody's", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((tail) => `$dps/registrations/res/${tail}`),
        ),
        (topic) => {
          const read = readResponseTopic(topic);
          expect(read === undefined || /^\$dps\/registrations\/res\/\d{3}\/\?.*\$rid=/.test(topic)).toBe(
            true,
          );
        },
      ),
    );
  });

  test.each([
    "",
    "$dps/registrations/res/200",
    "$dps/registrations/res/200/?",
    "$dps/registrations/res/200/?rid=1",
    "$dps/registrations/res/20/?$rid=1",
    "$dps/registrations/res/abc/?$rid=1",
    "x$dps/registrations/res/200/?$rid=1",
    "$iothub/twin/res/200/?$rid=1",
  ])("%j is not read", (topic) => {
    expect(readResponseTopic(topic)).toBeUndefined();
  });

  test.each([
    ["$dps/registrations/res/202/?$rid=7&retry-after=3", { rid: "7", status: 202, retryAfterMs: 3_000 }],
    ["$dps/registrations/res/202/?retry-after=0&$rid=7", { rid: "7", status: 202, retryAfterMs: 0 }],
    [
      "$dps/registrations/res/429/?$rid=7&retry-after=86400",
      { rid: "7", status: 429, retryAfterMs: 86_400_000 },
    ],
    ["$dps/registrations/res/200/?$rid=a%2Fb", { rid: "a/b", status: 200 }],
    ["$dps/registrations/res/200/?$rid=7&other=1", { rid: "7", status: 200 }],
  ])("%s is read", (topic, expected) => {
    expect(readResponseTopic(topic)).toEqual(expected);
  });

  test.each(["", "-1", "soon", "1.5", "0x10", "1e9", "Infinity", "99999999999", "3,4", " 3 "])(
    "a retry-after of %j is no wish: it is not whole seconds of a sensible length",
    (seconds) => {
      const read = readResponseTopic(
        `$dps/registrations/res/202/?$rid=7&retry-after=${encodeURIComponent(seconds)}`,
      );
      expect(read).toEqual({ rid: "7", status: 202 });
    },
  );

  test("requests are spelled as documented, and an operation ID cannot add parameters", () => {
    expect(registerTopic("7")).toBe("$dps/registrations/PUT/iotdps-register/?$rid=7");
    expect(pollTopic("8", "5.1&x=/#+")).toBe(
      "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=8&operationId=5.1%26x%3D%2F%23%2B",
    );
    expect(dpsUsername("0ne1", "gw-1", "2021-06-01", "latebind/1 (x; y)")).toBe(
      "0ne1/registrations/gw-1/api-version=2021-06-01&ClientVersion=latebind%2F1%20(x%3B%20y)",
    );
    expect(dpsResource("0ne1", "gw-1")).toBe("0ne1/registrations/gw-1");
  });

  test.each([
    [undefined, '{"registrationId":"gw-1"}'],
    [null, '{"registrationId":"gw-1","payload":null}'],
    [{ site: 7 }, '{"registrationId":"gw-1","payload":{"site":7}}'],
  ])("the body with payload %j is %s", (payload, body) => {
    expect(registerBody("gw-1", payload)).toBe(body);
  });
});
