import { describe, expect, it } from "vitest";
import { parseFaultRule } from "./fault-spec.ts";

describe("a rule that makes no sense", () => {
  it.each([
    [
      { endpoint: "dps", clientId: "x", when: { at: "connection" }, do: { act: "drop", how: "reset" } },
      "not known yet",
    ],
    [{ when: { at: "connection" }, do: { act: "connack", returnCode: 3 } }, "such a moment"],
    [{ when: { at: "packet", packet: "publish" }, do: { act: "connack", returnCode: 3 } }, "such a moment"],
    [
      { when: { at: "byte", byte: 1, direction: "toDevice" }, do: { act: "answer", status: 500 } },
      "such a moment",
    ],
    [{ when: { at: "packet", packet: "publish" }, do: { act: "payload", payload: "" } }, "such a moment"],
    [{ when: { at: "never" }, do: { act: "swallow" } }, "when.at"],
    [{ when: { at: "chance", probability: 2 }, do: { act: "swallow" } }, "probability"],
    [{ when: { at: "packet", packet: "connect" }, do: { act: "bytes", hex: "f" } }, "hex"],
  ])("is refused: %j", (rule, words) => {
    expect(() => parseFaultRule(rule)).toThrow(words);
  });
});
