import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { adminUrlFile, cloudFolder } from "./admin-place.ts";
import { startCloud, type Cloud, type CloudOptions } from "./cloud.ts";
import { readDescriptionFile } from "./description-file.ts";
import { journalLine } from "./journal-line.ts";
import type { CloudEvent } from "./journal.ts";

interface Flags {
  readonly file?: string;
  readonly scope?: string;
  readonly hub?: readonly string[];
  readonly network?: string;
  readonly port?: number;
  readonly https?: number;
  readonly admin?: number;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

const command = new Command("npm run cloud --")
  .usage("[options]")
  .description("A Device Provisioning Service with IoT Hubs on loopback, until Ctrl-C.")
  .option("--file <path>", "what there shall be: .toml or .json, see example.toml; other options win over it")
  .option("--scope <id>", "ID scope (made up where left out)")
  .option("--hub <name...>", "hubs (test and production where none is named)")
  .option("--network <a.b.c>", "loopback network, like 127.31.7 (random where left out)", toNetwork)
  .option("--port <number>", "MQTT port (8883)", toPort)
  .option("--https <number>", "port for HTTPS and MQTT over WebSocket (443, or a free one)", toPort)
  .option("--admin <number>", "port of the admin API (a free one)", toPort)
  .option("--quiet", "do not print what is seen on the wire")
  .option("--json", "print JSON for machines: first the addresses, then each event on its line")
  .addHelpText("after", "\nIn another terminal: npm run cloud:admin -- --help")
  .action(async (flags: Flags) => run(flags));

try {
  await command.parseAsync();
} catch (error) {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = 1;
}

async function run(flags: Flags): Promise<void> {
  const stopped = Promise.withResolvers<void>();
  process.once("SIGINT", () => stopped.resolve());
  process.once("SIGTERM", () => stopped.resolve());
  // Whoever read this is gone, as `head` is after its last line.
  process.stdout.on("error", () => stopped.resolve());
  const options = optionsOf(flags);
  const folder = await mkdtemp(join(tmpdir(), cloudFolder));
  try {
    await using cloud = await startCloud(options);
    const caPath = join(folder, "ca.pem");
    await writeFile(caPath, cloud.caPem);
    await writeFile(join(folder, adminUrlFile), `${cloud.adminUrl}\n`);
    if (flags.file === undefined) {
      cloud.levers.enrollments.put({
        registrationId: "gateway-1",
        initialTwin: { desired: { greeting: "hello" } },
      });
    }
    print(flags.json === true ? describeAsJson(cloud, caPath) : describe(cloud, caPath));
    await stopped.promise;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function optionsOf(flags: Flags): CloudOptions {
  const { file, scope, hub, network, port, https, admin } = flags;
  const say = flags.json === true ? JSON.stringify : journalLine;
  return {
    ...(file === undefined ? {} : { description: readDescriptionFile(file, hub) }),
    ...(scope === undefined ? {} : { idScope: scope }),
    ...(hub === undefined ? {} : { hubs: hub }),
    ...(network === undefined ? {} : { network }),
    ...(port === undefined ? {} : { port }),
    ...(https === undefined ? {} : { httpsPort: https }),
    ...(admin === undefined ? {} : { adminPort: admin }),
    ...(flags.quiet === true ? {} : { log: (event: CloudEvent) => print(`${say(event)}\n`) }),
  };
}

function describe(cloud: Cloud, caPath: string): string {
  const hubs = cloud.levers.endpoints().filter(({ name }) => name !== "dps");
  const { enrollments } = cloud.levers;
  const individuals = enrollments.list().filter(({ attestation }) => attestation.type === "symmetricKey");
  const groups = enrollments.groups().filter(({ attestation }) => attestation.type === "symmetricKey");
  const [first] = individuals;
  const id = first?.registrationId ?? "gateway-1";
  const hub = first?.hub ?? hubs[0]?.name ?? "test";
  const admin = "npm run --silent cloud:admin --";
  return [
    `ID scope    ${cloud.idScope}`,
    `DPS         ${cloud.dps.host}:${cloud.dps.port} (MQTT), ${cloud.dps.httpsPort} (HTTPS, WebSocket)`,
    ...hubs.map(({ name, host, port }) => `Hub         ${host}:${port} (${name})`),
    `CA          ${caPath}`,
    `Admin API   ${cloud.adminUrl}`,
    ...individuals.map((one) => `Enrolled    ${one.registrationId} with key ${one.primaryKey}`),
    ...groups.map((one) => `Enrolled    group ${one.groupId} with key ${one.primaryKey}`),
    "",
    `${admin} enrollment add gateway-9`,
    `${admin} twin patch ${id} '{"desired":{"greeting":"good day"}}'`,
    `${admin} enrollment move ${id} ${hubs.at(-1)?.name ?? hub}`,
    `${admin} device disable ${id}`,
    `${admin} line down dps`,
    `${admin} --help`,
    "",
    "Ctrl-C stops it.",
    "",
  ].join("\n");
}

function describeAsJson({ idScope, adminUrl, levers }: Cloud, caPath: string): string {
  return `${JSON.stringify({ idScope, caPath, adminUrl, endpoints: levers.endpoints() })}\n`;
}

function print(text: string): void {
  process.stdout.write(text);
}

function toPort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new InvalidArgumentError("It is no port number.");
  return port;
}

function toNetwork(text: string): string {
  if (!/^127\.\d{1,3}\.\d{1,3}$/.test(text)) throw new InvalidArgumentError("It is not like 127.31.7.");
  return text;
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!("code" in error)) return error.message;
  if (error.code === "EADDRINUSE") return `${error.message}: something listens there already`;
  if (error.code === "EADDRNOTAVAIL") {
    return `${error.message}: this machine has not all of 127.0.0.0/8 as Linux has`;
  }
  return error.message;
}
