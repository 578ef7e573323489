import { parseArgs } from "node:util";
import { startCloud } from "../cloud/cloud.ts";
import { arrive } from "./arrive.ts";
import { Interrupted } from "./failure.ts";
import { Gateway, property } from "./gateway.ts";
import { move } from "./move.ts";
import { Narrator } from "./narrator.ts";
import { Operator } from "./operator.ts";
import { play } from "./play.ts";
import { restart } from "./restart.ts";
import type { Stage } from "./stage.ts";
import { stop } from "./stop.ts";
import { wishes } from "./wishes.ts";

const usage = `Usage: npm run demo -- [options]
  --keep   leave everything running after the first steps, to play with
  --help   print this help
`;

const { values } = parseArgs({
  options: { keep: { type: "boolean", default: false }, help: { type: "boolean", default: false } },
});
if (values.help) process.stdout.write(usage);
// Waits that have lost their point must not keep the process.
else process.exit(await perform(values.keep));

/** @returns the exit code: 0 when every fact was verified, 1 when one was not, 130 after Ctrl-C. */
async function perform(isToKeep: boolean): Promise<number> {
  const narrator = new Narrator(process.stdout);
  const interrupt = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => interrupt.abort(new Interrupted()));
  }
  await using cloud = await startCloud();
  await using gateway = await Gateway.create(cloud);
  const operator = new Operator(cloud.adminUrl, narrator);
  const stage = { cloud, gateway, operator, narrator, interrupted: interrupt.signal };
  try {
    introduce(stage);
    await arrive(stage);
    if (isToKeep) {
      await play(stage);
      await stop(stage);
      return 0;
    }
    await restart(stage);
    await move(stage);
    await stop(stage, "production");
    narrator.done();
    return 0;
  } catch (error) {
    if (error instanceof Interrupted) return 130;
    narrator.failed(error, gateway.agentLog(20));
    return 1;
  }
}

function introduce({ cloud, gateway, narrator }: Stage): void {
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    hub: "test",
    initialTwin: { desired: { [property]: wishes.atFirst } },
  });
  narrator.headline("latebind: a gateway that finds its place, and finds it again when it is moved");
  narrator.gap();
  narrator.say("A Device Provisioning Service (DPS) and two IoT Hubs run on this machine,");
  narrator.say("with real TLS and real tokens:");
  for (const { name, host, port } of cloud.levers.endpoints()) {
    narrator.say(`  ${(name === "dps" ? "DPS" : `hub ${name}`).padEnd(16)} ${host}:${port}`);
  }
  narrator.say(`The gateway has a key, and this configuration (${gateway.configFile}):`);
  narrator.show(gateway.config);
  narrator.say("✓ is what the cloud saw or what is on disk, never the agent's word;");
  narrator.say("each time counts from the line above.");
}
