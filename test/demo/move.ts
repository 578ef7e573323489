import type { CloudEvent } from "../cloud/journal.ts";
import { DemoFailure } from "./failure.ts";
import { property } from "./gateway.ts";
import { acknowledged, assigned, letIn, seen, type Stage } from "./stage.ts";
import { wishes } from "./wishes.ts";

/** The operator gives the gateway another hub; nobody touches the gateway. */
export async function move(stage: Stage): Promise<void> {
  const { cloud, gateway, narrator } = stage;
  narrator.step("Move: from the test hub to production, without touching the gateway");
  const after = cloud.journal.lastSeq;
  await moveEnrollment(stage);

  await narrator.check("hub test refused it; once is no proof, so it tries again", async () => {
    const event = await seen(stage, { expected: "hub test refuses the agent", after, by: isRefusal });
    return event.atMs;
  });
  await narrator.check("hub test refused it again: twice in a row is enough", async () => {
    const [first] = refusals(cloud.journal.events(after));
    const event = await seen(stage, {
      expected: "hub test refuses the agent a second time",
      after: first?.seq ?? after,
      by: isRefusal,
    });
    return event.atMs;
  });
  await narrator.check("it asked DPS, waited 3 s, and was sent to hub production", async () => {
    const event = await assigned(stage, "production", after);
    const { length } = refusals(cloud.journal.events(after));
    if (length === 2) return event.atMs;
    throw new DemoFailure("two refusals lead back to DPS", [`there were ${length}`]);
  });
  await narrator.check("hub production let it in", async () => {
    const event = await letIn(stage, "production", after);
    return event.atMs;
  });
  await narrator.check("what production wants is in force, and the twin there says so", async () => {
    const event = await acknowledged(stage, "production", wishes.inProduction, after);
    await gateway.appliedFile(wishes.inProduction);
    return event.atMs;
  });
  const { text } = await gateway.appliedFile(wishes.inProduction);
  narrator.say(`${gateway.file} is now`);
  narrator.show(text);
}

async function moveEnrollment({ gateway, narrator, operator }: Stage): Promise<void> {
  const { registrationId } = gateway;
  narrator.say("The operator says what production will want, and that the gateway belongs there:");
  await operator.pull("PATCH", `/enrollments/${registrationId}`, {
    initialTwin: { desired: { [property]: wishes.inProduction } },
  });
  await operator.pull("POST", `/enrollments/${registrationId}/move`, { hub: "production" });
  narrator.say("The agent does not know yet. Its old home is taken away:");
  await operator.pull("DELETE", `/hubs/test/devices/${registrationId}`);
}

function refusals(events: readonly CloudEvent[]): readonly CloudEvent[] {
  return events.filter((event) => isRefusal(event));
}

function isRefusal(event: CloudEvent): boolean {
  return event.endpoint === "test" && event.kind === "connect" && event.returnCode !== 0;
}
