import type { AgentError } from "../platform/failure.ts";
import type { InputKind } from "./inputs.ts";
import type { Phase } from "./phase.ts";

/** Which inputs end the wait after a failure: what a service itself answered is the same over every way out. */
export function inputsHeededAfter({ code }: AgentError): readonly InputKind[] {
  const isAnswer = /^(?:provisioning|hub)\/(?!no-answer$)/.test(code);
  const always = ["restart", "reprovision", "credential-changed", "clock-changed"] as const;
  return isAnswer ? always : [...always, "network-changed", "resumed"];
}

/** Which inputs a step that begins now takes into account anyway. */
export function inputsAnsweredBy(phase: Phase): readonly InputKind[] {
  const world = ["credential-changed", "clock-changed", "network-changed", "resumed"] as const;
  switch (phase.at) {
    case "identifying":
      return ["restart", "credential-changed"];
    case "provisioning":
      return [...world, "reprovision"];
    case "online":
      return world;
  }
}
