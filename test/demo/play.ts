import { once } from "node:events";
import { property } from "./gateway.ts";
import type { Stage } from "./stage.ts";

/** Leaves everything running, says which levers there are, and shows the agent's log until Ctrl-C. */
export async function play({ gateway, narrator, operator, interrupted }: Stage): Promise<void> {
  const device = `/hubs/test/devices/${gateway.registrationId}`;
  const enrollment = `/enrollments/${gateway.registrationId}`;
  narrator.step("Your turn: everything is running, these are the levers");
  const levers: readonly (readonly [string, string])[] = [
    ["the file on the gateway", `cat ${gateway.file}`],
    [
      "change what is desired",
      operator.command("PATCH", `${device}/twin`, { desired: { [property]: { sampleSeconds: 1 } } }),
    ],
    [
      "something the agent must reject",
      operator.command("PATCH", `${device}/twin`, { desired: { latebind: { __t: "c", logLevel: "loud" } } }),
    ],
    ["the twin", operator.command("GET", `${device}/twin`)],
    ["cut the line to the hub; mend it", operator.command("PUT", "/endpoints/test/line", { up: false })],
    ["", operator.command("PUT", "/endpoints/test/line", { up: true })],
    [
      "move to production: first the enrollment, then the old device",
      operator.command("POST", `${enrollment}/move`, { hub: "production" }),
    ],
    ["", operator.command("DELETE", device)],
    ["what the cloud saw", operator.command("GET", "/journal")],
    ["all there is", operator.command("GET", "/")],
  ];
  for (const [what, command] of levers) {
    if (what !== "") narrator.say(`# ${what}`);
    narrator.typed(command);
  }
  narrator.gap();
  narrator.say("Ctrl-C stops everything. What the agent logs meanwhile:");
  // As journald shows it: without the priority in front.
  gateway.onLog = (line) => narrator.say(`| ${line.replace(/^<\d>/, "")}`);
  if (!interrupted.aborted) await once(interrupted, "abort");
}
