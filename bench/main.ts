import { startCloud } from "./cloud.ts";
import { Workshop } from "./devices.ts";
import { measureIdle } from "./idle.ts";
import { measurePatches } from "./patches.ts";
import { measurePayloadLengths } from "./payload-lengths.ts";
import { measureColdStart, measureStartUp } from "./start-up.ts";
import { formatTable, isMet, type Row } from "./table.ts";

/** `npm run bench`: the agent beside two controls against the local cloud, in one run. Exit code 1 when a target is missed. */
await using cloud = await startCloud();
await using workshop = await Workshop.open(cloud);
const devices = await Promise.all(
  Array.from({ length: 6 }, async (_nothing, index) => workshop.make(`bench-${index}`)),
);
const [device] = devices;
if (device === undefined) throw new Error("no device");

const rows: Row[] = [];
const measure = async (what: string, measured: Promise<readonly Row[]>) => {
  process.stderr.write(`${what} …\n`);
  rows.push(...(await measured));
};
await measure("cold starts", measureColdStart(devices));
await workshop.keepCode(device);
await measure("warm starts", measureStartUp(cloud, device));
await measure("changes", measurePatches(cloud, devices, await workshop.makeOnDisk("bench-disk")));
await measure("payload lengths", measurePayloadLengths(device));
await measure("half a minute of nothing", measureIdle(cloud, devices));
process.stdout.write(
  `\nNode ${process.versions.node}. bare: least possible client in our bundle; control: tuned client, mqtt's front door.\n`,
);
process.stdout.write(formatTable(rows));
process.exitCode = rows.every(isMet) ? 0 : 1;
