import { DemoFailure } from "./failure.ts";
import { property } from "./gateway.ts";
import { acknowledged, letIn, type Stage } from "./stage.ts";
import { wishes } from "./wishes.ts";

/** The agent ends and starts again: it knows where it belongs, and catches up with what it missed. */
export async function restart(stage: Stage): Promise<void> {
  const { cloud, gateway, narrator, operator } = stage;
  narrator.step("Restart: the agent remembers where it belongs");
  narrator.act("SIGTERM to the agent");
  await narrator.check("it ended with exit code 0", async () => {
    await gateway.agent.stop();
    return Date.now();
  });
  narrator.say("While it is away, the operator changes something:");
  await operator.pull("PATCH", `/hubs/test/devices/${gateway.registrationId}/twin`, {
    desired: { [property]: { sampleSeconds: wishes.whileAway.sampleSeconds } },
  });

  const after = cloud.journal.lastSeq;
  narrator.act("the agent starts again");
  gateway.startAgent();
  await narrator.check("it is back at hub test", async () => {
    const event = await letIn(stage, "test", after);
    return event.atMs;
  });
  await narrator.check("what changed meanwhile is in force, and the twin says so", async () => {
    const event = await acknowledged(stage, "test", wishes.whileAway, after);
    await gateway.appliedFile(wishes.whileAway);
    return event.atMs;
  });
  await narrator.check("DPS was not asked: nothing connected there since the restart", async () => {
    const visits = cloud.journal.events(after).filter(({ endpoint }) => endpoint === "dps");
    if (visits.length === 0) return undefined;
    throw new DemoFailure(
      "a restart does not lead to DPS",
      visits.map((event) => JSON.stringify(event)),
    );
  });
}
