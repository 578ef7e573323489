import type { Phase } from "./phase.ts";

/**
 * Where an operator's wish leads: to DPS now, once, whatever the ladders say. The hub that accepted us last stays the fallback. Pure.
 * @param by who wished it.
 */
export function askDpsNow(phase: Phase, by = "the operator"): Phase {
  const because = `${by} asked for it`;
  switch (phase.at) {
    case "identifying":
      return { ...phase, askDpsBecause: because };
    case "provisioning":
      return { ...phase, because, claim: phase.claim === "standing" ? "standing" : "once" };
    case "online": {
      const { identity, assignment, fallback, owedDps } = phase;
      return {
        at: "provisioning",
        identity,
        because,
        claim: owedDps?.claim === "standing" ? "standing" : "once",
        fallback: fallback ?? assignment,
      };
    }
  }
}
