import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startCloud, type Cloud } from "./cloud.ts";

const usage = `Usage: npm run cloud -- [options]
  --scope <id>       ID scope (made up where left out)
  --hub <name>       a hub; repeat for more (test and production where left out)
  --network <a.b.c>  loopback network, like 127.31.7 (random where left out)
  --port <number>    MQTT port (8883)
  --https <number>   port for HTTPS and MQTT over WebSocket (443, or a free one)
  --admin <number>   port of the admin API (a free one)
  --quiet            do not print what is seen on the wire
`;

const { values } = parseArgs({
  options: {
    scope: { type: "string" },
    hub: { type: "string", multiple: true },
    network: { type: "string" },
    port: { type: "string" },
    https: { type: "string" },
    admin: { type: "string" },
    quiet: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) process.stdout.write(usage);
else await run();

async function run(): Promise<void> {
  const stopped = Promise.withResolvers<void>();
  process.once("SIGINT", () => stopped.resolve());
  process.once("SIGTERM", () => stopped.resolve());
  const folder = await mkdtemp(join(tmpdir(), "latebind-cloud-"));
  try {
    await using cloud = await startCloud({
      ...(values.scope === undefined ? {} : { idScope: values.scope }),
      ...(values.hub === undefined ? {} : { hubs: values.hub }),
      ...(values.network === undefined ? {} : { network: values.network }),
      ...(values.port === undefined ? {} : { port: Number(values.port) }),
      ...(values.https === undefined ? {} : { httpsPort: Number(values.https) }),
      ...(values.admin === undefined ? {} : { adminPort: Number(values.admin) }),
      ...(values.quiet ? {} : { log: (line: string) => process.stdout.write(`${line}\n`) }),
    });
    const caPath = join(folder, "ca.pem");
    await writeFile(caPath, cloud.caPem);
    process.stdout.write(describe(cloud, caPath));
    await stopped.promise;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function describe(cloud: Cloud, caPath: string): string {
  const { primaryKey } = cloud.levers.enrollments.put({
    registrationId: "gateway-1",
    initialTwin: { desired: { greeting: "hello" } },
  });
  const hubs = cloud.levers.endpoints().filter(({ name }) => name !== "dps");
  const url = cloud.adminUrl;
  return [
    `ID scope    ${cloud.idScope}`,
    `DPS         ${cloud.dps.host}:${cloud.dps.port} (MQTT), ${cloud.dps.httpsPort} (HTTPS, WebSocket)`,
    ...hubs.map(({ name, host, port }) => `Hub         ${host}:${port} (${name})`),
    `CA          ${caPath}`,
    `Admin API   ${url}`,
    `Enrolled    gateway-1 with key ${primaryKey}`,
    "",
    `curl ${url}/                                   # everything there is`,
    `curl -X PUT ${url}/enrollments/gateway-2 -d '{}'   # enroll another, keys are made`,
    `curl -X PATCH ${url}/hubs/test/devices/gateway-1/twin -d '{"desired":{"greeting":"good day"}}'`,
    `curl -X POST ${url}/enrollments/gateway-1/move -d '{"hub":"production"}'`,
    `curl -X PATCH ${url}/hubs/test/devices/gateway-1 -d '{"enabled":false}'`,
    `curl -X PUT ${url}/endpoints/dps/line -d '{"up":false}'`,
    "",
    "Ctrl-C stops it.",
    "",
  ].join("\n");
}
