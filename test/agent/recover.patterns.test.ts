import { describe, expect, test } from "vitest";
import {
  afterAccepted,
  afterProof,
  afterSession,
  blankHistory,
  hubHistory,
  type History,
} from "../../src/agent/history.ts";
import { wantsProof } from "../../src/agent/judge.ts";
import { dpsWas, error, fail, hour, hubWas, identity, Life, minute, on, online } from "./decisions.ts";

describe("a hub that stays away", () => {
  const away = error("retry", undefined, "mqtt/unreachable");

  /** Fails for hours, and looks whether DPS can be reached whenever that is wanted. */
  function liveAway(isNetworkGood: boolean, stretch: number, hours = 6) {
    const life = new Life(online(), () => stretch - 0.5);
    let looks = 0;
    let failures = 0;
    while (life.phase.at === "online" && life.nowMs < hours * hour) {
      failures += 1;
      life.fails(away, () => {
        looks += 1;
        return isNetworkGood;
      });
    }
    return { life, looks, failures };
  }

  test("while DPS cannot be reached either never leads to DPS", () => {
    expect(liveAway(false, 1).life.phase).toEqual(online());
  });

  test.each([0.5, 1, 1.49])(
    "while DPS can be reached leads there after 15 minutes and 20 failures, stretched by %f",
    (stretch) => {
      const { life, looks, failures } = liveAway(true, stretch);
      expect(life.phase).toMatchObject({
        at: "provisioning",
        fallback: on("hub.net"),
        claim: "until-accepted",
      });
      expect(life.nowMs).toBeGreaterThanOrEqual(15 * minute * stretch);
      expect(life.nowMs).toBeLessThan(30 * minute * stretch + 10 * minute);
      expect(failures).toBeGreaterThanOrEqual(20 * stretch);
      expect(looks).toBeLessThanOrEqual(8);
    },
  );

  test("is not looked into while DPS would not be asked anyway", () => {
    const held = dpsWas({ notBeforeMs: 10 * hour });
    const worn: History = { ...held, hubs: hubWas({ failures: 50 }).hubs };
    expect(wantsProof(online(), away, worn, hour)).toBe(false);
    expect(wantsProof(online(), away, hubWas({ failures: 50 }), hour)).toBe(true);
    expect(wantsProof(online(), away, hubWas({ failures: 4 }), hour)).toBe(false);
  });

  test("that closes on our certificate five times in a row while DPS can be reached means the certificate", () => {
    const closed = error("retry", undefined, "mqtt/closed-early");
    const phase = online({ identity: { ...identity, attestation: "x509" } });
    const proven = afterProof(hubWas({ failures: 4, streak: { code: closed.code, times: 4 } }), true, 0);
    expect(fail(phase, closed, proven, 0.5, 1_000).next.at).toBe("provisioning");
    expect(fail(online(), closed, proven, 0.5, 1_000).next.at).toBe("online");
    const unproven = hubWas({ failures: 4, streak: { code: closed.code, times: 4 } });
    expect(fail(phase, closed, unproven, 0.5, 1_000).next.at).toBe("online");
  });
});

describe("sessions that are cut short", () => {
  const cut = error("retry", undefined, "mqtt/connection-lost");

  test("four times in ten minutes: another device is suspected, and the next attempt waits for minutes", () => {
    const worn = hubWas({ failures: 3, shortSessions: [1, 2, 3, 4] });
    expect(fail(online(), cut, worn, 0).delayMs).toBe(2 * minute);
    expect(fail(online(), cut, worn, 0.999_999).delayMs).toBe(4 * minute);
  });

  test("again and again after that: longer each time, up to half an hour, until a session has held for a minute", () => {
    let history: History = hubWas({ shortSessions: [1, 2, 3, 4] });
    const delays: number[] = [];
    for (let nowMs = 5; delays.length < 6;) {
      const decision = fail(online(), cut, history, 0.999_999, nowMs);
      delays.push(Math.round(decision.delayMs / minute));
      nowMs += decision.delayMs;
      history = afterAccepted(decision.history, "hub.net", false);
      history = afterSession(history, "hub.net", { heldForMs: 1_000, wasCut: true }, nowMs);
    }
    expect(delays).toEqual([4, 8, 16, 30, 30, 30]);
    const held = afterSession(history, "hub.net", { heldForMs: minute, wasCut: true }, 9 * hour);
    expect(fail(online(), cut, held, 0.999_999, 9 * hour).delayMs).toBeLessThanOrEqual(minute);
  });

  test("three times, or once an hour: a flapping line", () => {
    expect(fail(online(), cut, hubWas({ shortSessions: [1, 2, 3] })).delayMs).toBeLessThanOrEqual(minute);
    let history = blankHistory;
    for (let count = 1; count <= 9; count += 1)
      history = afterSession(history, "hub.net", { heldForMs: 1_000, wasCut: true }, count * hour);
    expect(hubHistory(history, "hub.net").shortSessions).toHaveLength(1);
  });

  test("by ourselves count for nothing", () => {
    const history = afterSession(blankHistory, "hub.net", { heldForMs: 1_000, wasCut: false }, 0);
    expect(hubHistory(history, "hub.net").shortSessions).toHaveLength(0);
  });
});
