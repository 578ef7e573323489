import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startCloud, type Cloud } from "../../test/cloud/cloud.ts";
import { journalLine } from "../../test/cloud/journal-line.ts";
import { Agent } from "./agent.ts";
import type { Custody } from "./custody.ts";
import { Daemon } from "./run.ts";

interface Against {
  readonly work: string;
  readonly custody: Custody;
  /** The user's own; empty where there is none. */
  readonly command: readonly string[];
}

const patienceMs = 60_000;

/**
 * Starts the local cloud, enrolls this device, lets the agent provision and waits until its twin says that it is what was wanted.
 * Then the command runs beside them. Everything that the cloud saw is printed on the way.
 * @returns the command's exit code; 1 where the device did not get that far.
 */
export async function runAgainstLocalCloud(
  { work, custody, command }: Against,
  stop: AbortSignal,
): Promise<number> {
  await using cloud = await startCloud({ log: (event) => say(`  ${journalLine(event)}`) });
  const ca = join(work, "ca.pem");
  writeFileSync(ca, cloud.caPem);
  const agent = new Agent(work, custody, `id_scope = "${cloud.idScope}"\n`, tables(cloud, custody, ca));
  const { registrationId, endorsementKey } = await agent.identity();
  say(`device ${registrationId}, its key in ${custody.name}; enrolled by the operator`);
  cloud.levers.enrollments.put({
    registrationId,
    ...(endorsementKey !== undefined && { attestation: { type: "tpm", endorsementKey } }),
    ...(custody.symmetricKey !== undefined && { primaryKey: custody.symmetricKey }),
    initialTwin: { desired: { latebind: { __t: "c", logLevel: "info" } } },
  });
  await using daemon = agent.start();
  const acknowledged = cloud.waitFor(
    (event) => event.kind === "twin-patch" && event.status < 300,
    patienceMs,
  );
  const arrived = await Promise.race([
    acknowledged.then(() => true),
    daemon.exited.then(() => false),
    aborted(stop),
  ]).catch(() => false);
  if (!arrived) {
    say(`FAILED: the device was not connected within ${patienceMs / 1000} s`);
    return 1;
  }
  say(`${registrationId} is provisioned and connected to ${cloud.hub("test").host}`);
  if (command.length === 0) return 0;
  return await runCommand(command, {
    LATEBIND_REGISTRATION_ID: registrationId,
    LATEBIND_HUB: cloud.hub("test").host,
    LATEBIND_CLOUD_ADMIN: cloud.adminUrl,
    LATEBIND_CA: ca,
    LATEBIND_WORK: work,
  });
}

/** DPS attests TPMs over HTTPS only, and the cloud's HTTPS port is a free one. */
function tables(cloud: Cloud, { symmetricKey }: Custody, ca: string): string {
  const { host, port, httpsPort } = cloud.dps;
  return [
    "[provisioning]",
    `endpoint = "${host}"`,
    `port = ${symmetricKey === undefined ? httpsPort : port}`,
    "[tls]",
    `trust_bundle = "${ca}"`,
    "",
  ].join("\n");
}

async function runCommand(
  [file = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  say(`running ${[file, ...args].join(" ")}`);
  await using command = new Daemon(file, args, { env: { ...process.env, ...env } });
  return await command.exited;
}

async function aborted(signal: AbortSignal): Promise<false> {
  const { promise, resolve } = Promise.withResolvers<false>();
  signal.addEventListener("abort", () => resolve(false), { once: true });
  return promise;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
