import { describe, expect, it } from "vitest";
import { journalLine } from "./journal-line.ts";
import type { CloudEventFacts } from "./journal.ts";

function lineOf(facts: CloudEventFacts): string {
  return journalLine({ seq: 1, atMs: Date.UTC(2026, 0, 1, 12, 4, 5, 60), ...facts });
}

describe("a line for people", () => {
  it("is one line, whatever a device sends", () => {
    const line = lineOf({
      endpoint: "test",
      kind: "telemetry",
      clientId: "gateway-1",
      properties: { "a\r": "b" },
      body: "first\nsecond \u001B[31mred\u009B",
    });
    expect(line).toBe(
      String.raw`12:04:05.060  test         gateway-1: telemetry first\x0asecond \x1b[31mred\x9b with a\x0d=b`,
    );
  });

  it("cuts what is long, and says how long it is", () => {
    const line = lineOf({
      endpoint: "test",
      kind: "twin-patch",
      clientId: "g",
      status: 400,
      because: "too large",
      body: "x".repeat(40_000),
    });
    expect(line).toContain("x… (40000 characters), answered 400: too large");
    expect(line.length).toBeLessThan(300);
  });

  const connect = {
    endpoint: "test",
    kind: "connect",
    clientId: "gateway-1",
    username: "u",
    cleanSession: false,
    sessionPresent: false,
    keepAliveSeconds: 60,
  } as const;

  it.each<[string, CloudEventFacts]>([
    [
      "gateway-1: refused with CONNACK 5: expired token",
      { ...connect, returnCode: 5, because: "expired token" },
    ],
    ["gateway-1: connected, keep-alive 60 s, kept session", { ...connect, returnCode: 0 }],
    [
      "gateway-1: register call answered 401 401002",
      { endpoint: "dps", kind: "register", clientId: "gateway-1", status: 401, errorCode: 401_002 },
    ],
    [
      "gateway-1: operation polled, answered 200 assigned",
      {
        endpoint: "dps",
        kind: "poll",
        clientId: "gateway-1",
        operationId: "4",
        status: 200,
        registrationStatus: "assigned",
      },
    ],
    ["line is down", { endpoint: "dps", kind: "line", up: false }],
    [
      "fault 3 struck at connection: tls",
      { endpoint: "dps", kind: "fault", fault: 3, moment: "connection", act: "tls" },
    ],
    [
      "CONNECT dps.latebind.test:8883 not answered",
      { endpoint: "proxy", kind: "proxy", target: "dps.latebind.test:8883", status: "none" },
    ],
    [
      "method request 7 answered 200, nobody waits for it",
      { endpoint: "test", kind: "method-answer", clientId: "", rid: "7", status: 200, isAwaited: false },
    ],
  ])("says %s", (words, facts) => {
    expect(lineOf(facts)).toContain(words);
  });
});
