import { expect, test } from "vitest";
import { health, type HealthFacts } from "../../src/agent/health.ts";

const connected = {
  at: "connected",
  hub: "hub-1.net",
  deviceId: "gw-1",
  desiredVersion: 7,
  failed: [],
  isFallback: false,
} as const;

/** What `systemctl status` shows: whether the device is connected, and why not. */
const sentences: readonly (readonly [HealthFacts, string])[] = [
  [{ at: "starting" }, "starting: not connected yet"],
  [{ at: "identifying" }, "not connected: opening the device's identity"],
  [
    { at: "registering", endpoint: "dps.net", because: "this device has no assignment yet" },
    "not connected: asking DPS at dps.net for a hub (this device has no assignment yet)",
  ],
  [{ at: "connecting", hub: "hub-1.net" }, "not connected: connecting to hub-1.net"],
  [connected, "connected to hub-1.net as gw-1; desired version 7 applied"],
  [
    { ...connected, failed: ["site", "latebind.logLevel"] },
    "connected to hub-1.net as gw-1; desired version 7, not applied: site, latebind.logLevel",
  ],
  [
    { ...connected, isFallback: true },
    "connected to hub-1.net as gw-1 (the previous hub, until DPS answers); desired version 7 applied",
  ],
  [
    { ...connected, certificateExpiresAtMs: Date.UTC(2027, 1, 3), warnings: ["renew it", "mend it"] },
    "connected to hub-1.net as gw-1; desired version 7 applied; certificate holds until 2027-02-03; warning: renew it; warning: mend it",
  ],
  [
    {
      at: "waiting",
      forMs: 5_000,
      untilMs: Date.UTC(2026, 0, 2, 3, 4, 5),
      next: "connect to hub-1.net",
      error: { code: "mqtt/unreachable", message: "cannot connect to hub-1.net:8883: the port is closed" },
    },
    "not connected: cannot connect to hub-1.net:8883: the port is closed [mqtt/unreachable]; next: connect to hub-1.net at 03:04:05Z",
  ],
];

test.each(sentences)("%j reads: %s", (facts, sentence) => {
  expect(health(facts)).toBe(sentence);
});

test("only a connected device is said to be connected", () => {
  for (const [facts, sentence] of sentences) {
    expect(sentence.startsWith("connected")).toBe(facts.at === "connected");
  }
});

test("a clock that stands at 1970 is no reason to fail", () => {
  const waiting = {
    at: "waiting",
    forMs: 0,
    untilMs: 0,
    next: "ask DPS",
    error: { code: "a/b", message: "c" },
  } as const;
  expect(health(waiting)).toMatch(/at 00:00:00Z$/);
});
