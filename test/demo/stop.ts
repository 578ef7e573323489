import { once } from "node:events";
import { createServer } from "node:net";
import { DemoFailure } from "./failure.ts";
import { seen, type Stage } from "./stage.ts";

/**
 * Everything ends and nothing stays: no process, no port, no folder.
 * @param hub where the agent is connected; left out where nobody knows.
 */
export async function stop(stage: Stage, hub?: string): Promise<void> {
  const { cloud, gateway, narrator } = stage;
  narrator.step("Stop: nothing stays behind");
  narrator.act("SIGTERM to the agent");
  const after = cloud.journal.lastSeq;
  await narrator.check("it ended with exit code 0, within the 5 s that it has", async () => {
    await gateway.agent.stop();
    return Date.now();
  });
  if (hub !== undefined)
    await narrator.check(`it took leave of hub ${hub}`, async () => partFrom(stage, hub, after));

  const { adminUrl } = cloud;
  const places = [
    ...cloud.levers.endpoints().flatMap(({ host, port, httpsPort }) => [
      { host, port },
      { host, port: httpsPort },
    ]),
    { host: "127.0.0.1", port: Number(new URL(adminUrl).port) },
  ];
  narrator.act("the cloud is closed, the gateway's folder removed");
  await narrator.check(`all ${places.length} ports are free again`, async () => {
    await cloud[Symbol.asyncDispose]();
    for (const { host, port } of places) await listenOnce(host, port);
    return Date.now();
  });
  await narrator.check(`${gateway.folder} is gone`, async () => {
    await gateway.remove();
    return Date.now();
  });
}

/** A connection that only breaks makes the hub send the will: a clean end says DISCONNECT first. */
async function partFrom(stage: Stage, hub: string, after: number): Promise<undefined> {
  const expected = `the agent sends DISCONNECT to hub ${hub}`;
  const parting = await seen(stage, {
    expected,
    after,
    by: ({ endpoint, kind }) => endpoint === hub && kind === "disconnect",
  });
  if (parting.kind === "disconnect" && parting.because === "client disconnected") return undefined;
  throw new DemoFailure(expected, [JSON.stringify(parting)]);
}

/** @throws DemoFailure when the port is taken. */
async function listenOnce(host: string, port: number): Promise<void> {
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, "listening");
  } catch (cause) {
    throw new DemoFailure(`${host}:${port} is free`, [String(cause)], { cause });
  }
  server.close();
  await once(server, "close");
}
