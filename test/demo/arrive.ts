import { property } from "./gateway.ts";
import { acknowledged, assigned, letIn, seen, type Stage } from "./stage.ts";
import { wishes } from "./wishes.ts";

/** From nothing to a gateway that is what its twin says: provision, connect, apply. */
export async function arrive(stage: Stage): Promise<void> {
  await provision(stage);
  await connect(stage);
  await applyChange(stage);
}

async function provision(stage: Stage): Promise<void> {
  const { gateway, narrator } = stage;
  narrator.step("Provision: the agent asks DPS where it belongs");
  narrator.act("the agent starts, a process of its own");
  gateway.startAgent();
  await narrator.check("it reached DPS over TLS", async () => {
    const event = await seen(stage, {
      expected: "the agent connects to DPS and is accepted",
      after: 0,
      by: (event) => event.endpoint === "dps" && event.kind === "connect" && event.returnCode === 0,
    });
    return event.atMs;
  });
  await narrator.check("DPS verified its key, had it wait 3 s, and sent it to hub test", async () => {
    const event = await assigned(stage, "test", 0);
    return event.atMs;
  });
}

async function connect(stage: Stage): Promise<void> {
  const { gateway, narrator } = stage;
  narrator.step("Connect: the agent goes to its hub");
  await narrator.check("hub test verified its token and let it in", async () => {
    const event = await letIn(stage, "test", 0);
    return event.atMs;
  });
  await narrator.check("it fetched its twin", async () => {
    const event = await seen(stage, {
      expected: "the agent fetches its twin from hub test",
      after: 0,
      by: (event) => event.endpoint === "test" && event.kind === "twin-get" && event.status === 200,
    });
    return event.atMs;
  });
  await narrator.check("what the twin wants is in force, and the twin says so", async () => {
    const event = await acknowledged(stage, "test", wishes.atFirst, 0);
    await gateway.appliedFile(wishes.atFirst);
    return event.atMs;
  });
}

async function applyChange(stage: Stage): Promise<void> {
  const { cloud, gateway, narrator, operator } = stage;
  narrator.step("Apply: the operator changes what is desired");
  const after = cloud.journal.lastSeq;
  const { sampleSeconds } = wishes.changed;
  await operator.pull("PATCH", `/hubs/test/devices/${gateway.registrationId}/twin`, {
    desired: { [property]: { sampleSeconds } },
  });
  const event = await acknowledged(stage, "test", wishes.changed, after);
  const { text, writtenAtMs } = await gateway.appliedFile(wishes.changed);
  await narrator.check("the file on the gateway has the new value", async () => writtenAtMs);
  await narrator.check("the twin has the acknowledgement: applied, with the version", async () => event.atMs);
  narrator.say(`${gateway.file} is now`);
  narrator.show(text);
}
