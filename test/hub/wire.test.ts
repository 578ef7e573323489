import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  connectRefused,
  hubResource,
  hubUsername,
  readHubTopic,
  twinGetTopic,
  twinPatchTopic,
  twinRefused,
} from "../../src/hub/wire.ts";

describe("a CONNECT that the hub refuses", () => {
  test.each([
    [1, "hub/protocol-refused", "operator", /MQTT version/],
    [2, "hub/refused", "reprovision", /deleted, disabled or moved/],
    [3, "hub/busy", "retry", /unavailable/],
    [4, "hub/refused", "reprovision", /deleted, disabled or moved/],
    [5, "hub/refused", "reprovision", /deleted, disabled or moved/],
    [6, "hub/connack-unknown", "retry", /CONNACK 6/],
    [77, "hub/connack-unknown", "retry", /CONNACK 77/],
    [255, "hub/connack-unknown", "retry", /CONNACK 255/],
  ])("with %i is %s (%s), and the number is kept", (returnCode, code, remedy, says) => {
    const error = connectRefused(returnCode, "hub.net", "gw-1");
    expect(error).toMatchObject({ code, remedy });
    expect(error.message).toMatch(says);
    expect(error.message).toContain("hub.net");
    expect(error.message).toContain(`CONNACK ${returnCode}`);
  });

  test("only 2, 4 and 5 lead back to DPS", () => {
    const leading = Array.from({ length: 256 }, (_, returnCode) => returnCode).filter(
      (returnCode) => connectRefused(returnCode, "h", "d").remedy === "reprovision",
    );
    expect(leading).toEqual([2, 4, 5]);
  });
});

describe("a twin request that the hub refuses", () => {
  test.each([
    [300, "hub/twin-denied", "operator"],
    [400, "hub/twin-refused", "operator"],
    [404, "hub/twin-denied", "operator"],
    [429, "hub/throttled", "retry"],
    [500, "hub/unavailable", "retry"],
    [503, "hub/unavailable", "retry"],
  ])("with %i is %s (%s)", (status, code, remedy) => {
    const error = twinRefused("reported properties", status, "too many keys", undefined);
    expect(error).toMatchObject({ code, remedy });
    expect(error.message).toMatch(/reported properties.*too many keys/);
  });

  test.each([429, 500])("with %i carries the hub's own wish", (status) => {
    expect(twinRefused("twin request", status, "", 30_000).retryAfterMs).toBe(30_000);
  });

  test("never leads back to DPS", () => {
    for (let status = 100; status < 1_000; status += 1) {
      expect(["retry", "operator"]).toContain(twinRefused("twin request", status, "", undefined).remedy);
    }
  });
});

describe("topics", () => {
  test("whatever comes, reading a topic never throws", () => {
    const tails = fc.string();
    const topics = fc.oneof(
      tails,
      tails.map((tail) => `$iothub/twin/res/${tail}`),
      tails.map((tail) => `$iothub/twin/res/200/?${tail}`),
      tails.map((tail) => `$iothub/twin/PATCH/properties/${tail}`),
      tails.map((tail) => `$iothub/methods/POST/${tail}`),
      tails.map((tail) => `devices/gw-1/messages/devicebound/${tail}`),
    );
    fc.assert(
      fc.property(topics, (topic) => {
        expect([undefined, "response", "desired", "method", "message"]).toContain(readHubTopic(topic)?.kind);
      }),
    );
  });

  test.each([
    "",
    "$iothub/twin/res/200",
    "$iothub/twin/res/200/?",
    "$iothub/twin/res/200/?rid=1",
    "$iothub/twin/res/abc/?$rid=1",
    "$iothub/twin/PATCH/properties/reported/?$rid=1",
    "$iothub/methods/POST/reboot/?rid=1",
    "$iothub/methods/POST//?$rid=1",
    "$iothub/methods/res/200/?$rid=1",
    "devices/gw-1/messages/events/",
    "x$iothub/twin/res/200/?$rid=1",
  ])("%j is nobody's", (topic) => {
    expect(readHubTopic(topic)).toBeUndefined();
  });

  test.each([
    ["$iothub/twin/res/200/?$rid=7", { kind: "response", rid: "7", status: 200 }],
    ["$iothub/twin/res/204/?$rid=7&$version=12", { kind: "response", rid: "7", status: 204, version: 12 }],
    [
      "$iothub/twin/res/429/?$rid=7&retry-after=5",
      { kind: "response", rid: "7", status: 429, retryAfterMs: 5_000 },
    ],
    ["$iothub/twin/res/429/?$rid=7&retry-after=soon", { kind: "response", rid: "7", status: 429 }],
    ["$iothub/methods/POST/re%20boot/?$rid=1f", { kind: "method", name: "re boot", rid: "1f" }],
    [
      "devices/gw-1/messages/devicebound/%24.mid=7&%24.to=%2Fdevices&colour=a%26b&bare&odd=%zz",
      { kind: "message", about: { messageId: "7", properties: { colour: "a&b", bare: "", odd: "%zz" } } },
    ],
    ["$iothub/twin/PATCH/properties/desired/?$version=3", { kind: "desired" }],
  ])("%s is read", (topic, expected) => {
    expect(readHubTopic(topic)).toEqual(expected);
  });

  test("requests, the user name and the token's resource are spelled as documented", () => {
    expect(twinGetTopic("7")).toBe("$iothub/twin/GET/?$rid=7");
    expect(twinPatchTopic("7")).toBe("$iothub/twin/PATCH/properties/reported/?$rid=7");
    expect(hubResource("hub.net", "GW#1")).toBe("hub.net/devices/GW#1");
    expect(hubUsername("hub.net", "GW#1", "2021-04-12", "latebind/1 (x)")).toBe(
      "hub.net/GW#1/?api-version=2021-04-12&DeviceClientType=latebind%2F1%20(x)",
    );
  });
});
