import type { Command } from "commander";
import * as v from "valibot";
import { toJsonArgument, toTextArgument } from "./admin-arguments.ts";
import { findDevice, pathOf, type AdminClient } from "./admin-client.ts";
import { printJson, printList } from "./admin-print.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";

type Connect = () => Promise<AdminClient>;

interface Flags {
  readonly hub?: string;
  readonly json?: JsonValue;
}

const named = v.looseObject({ name: v.string() });
const listed = v.looseObject({ deviceId: v.string(), type: v.string(), enabled: v.boolean() });

/** Devices in their hubs: what an operator does to them and sends them. */
export function addDeviceCommands(program: Command, connect: Connect): void {
  const device = program.command("device").alias("devices").description("devices in their hubs");
  device
    .command("list")
    .option("--hub <name>", "left out: all")
    .action(async ({ hub }: Flags) => listDevices(await connect(), hub));
  const aboutDevice = createOnDevice(device, connect);
  aboutDevice("show <id>", "", async ({ client, path }) => client.call("GET", path));
  aboutDevice("enable <id>", "", async ({ client, path }) =>
    silence(client.call("PATCH", path, { enabled: true })),
  );
  aboutDevice("disable <id>", "closes its connection too", async ({ client, path }) =>
    silence(client.call("PATCH", path, { enabled: false })),
  );
  aboutDevice("delete <id>", "closes its connection too", async ({ client, path }) =>
    client.call("DELETE", path),
  );
  aboutDevice("drop <id>", "closes its connection; it may come back", async ({ client, path }) =>
    client.call("POST", `${path}/drop`),
  );
  aboutDevice(
    "rotate-key <id> <which>",
    "primary or secondary",
    async ({ client, path, words: [which = ""] }) => client.call("POST", `${path}/rotate-key`, { which }),
  );
  aboutDevice("telemetry <id>", "what it has sent", async ({ client, path }) =>
    client.call("GET", `${path}/telemetry`),
  );

  const aboutTwin = createOnDevice(program.command("twin").description("a device's twin"), connect);
  aboutTwin("get <id>", "", async ({ client, path }) => client.call("GET", `${path}/twin`));
  aboutTwin(
    "patch <id> <json>",
    'merges, null deletes: {"desired":{"a":1,"old":null},"tags":{}}',
    async ({ client, path, words: [json = ""] }) =>
      client.call("PATCH", `${path}/twin`, toJsonArgument(json)),
  );
  addMessaging(program, connect);
}

function addMessaging(program: Command, connect: Connect): void {
  const method = program.command("method").description("direct methods");
  createOnDevice(method, connect)(
    "call <id> <name> [json]",
    "waits for the device's answer, 30 s at most",
    async ({ client, path, words: [methodName = "", json] }) => {
      const payload = json === undefined ? {} : { payload: toJsonArgument(json) };
      return client.call("POST", `${path}/methods`, { methodName, ...payload });
    },
  );

  const message = program.command("message").description("cloud-to-device messages");
  const aboutMessages = createOnDevice(message, connect);
  aboutMessages("send <id> <text>", "", async ({ client, path, words: [text = ""], flags: { json } }) => {
    const rest = isJsonObject(json) ? json : {};
    return client.call("POST", `${path}/messages`, { body: toTextArgument(text), ...rest });
  }).option("--json <json>", 'other fields: {"properties":{"a":"b"},"ack":"full"}', toJsonArgument);
  aboutMessages("list <id>", "what waits for the device", async ({ client, path }) =>
    client.call("GET", `${path}/messages`),
  );
  aboutMessages("purge <id>", "", async ({ client, path }) => client.call("DELETE", `${path}/messages`));
}

interface DeviceCall {
  readonly client: AdminClient;
  /** Of the device, in the admin API. */
  readonly path: string;
  /** What stands behind the device's ID. */
  readonly words: readonly (string | undefined)[];
  readonly flags: Flags;
}

type OnDevice = (
  usage: string,
  description: string,
  run: (call: DeviceCall) => Promise<JsonValue | undefined>,
) => Command;

/** Commands whose first word is a device's ID; what they return is printed. */
function createOnDevice(parent: Command, connect: Connect): OnDevice {
  return (usage, description, run) => {
    const command = parent.command(usage).description(description);
    return command
      .option("--hub <name>", "where the device is known at more than one")
      .action(async (deviceId: string) => {
        const client = await connect();
        const flags = command.opts<Flags>();
        const path = await findDevice(client, deviceId, flags.hub);
        printJson(await run({ client, path, words: command.args.slice(1), flags }));
      });
  };
}

async function listDevices(client: AdminClient, only: string | undefined): Promise<void> {
  const hubs = v.parse(v.array(named), await client.call("GET", "/hubs"));
  const devices: JsonObject[] = [];
  for (const hub of only === undefined ? hubs.map(({ name }) => name) : [only]) {
    const known = v.parse(v.array(listed), await client.call("GET", pathOf`/hubs/${hub}/devices`));
    for (const { deviceId, type, enabled } of known) devices.push({ deviceId, hub, type, enabled });
  }
  printList(devices, ["deviceId", "hub", "type", "enabled"]);
}

/** For what answers with more than anybody asked for. */
async function silence(call: Promise<unknown>): Promise<undefined> {
  await call;
}
