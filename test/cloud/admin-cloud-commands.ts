import type { Command } from "commander";
import * as v from "valibot";
import { toJsonArgument } from "./admin-arguments.ts";
import { pathOf, type AdminClient } from "./admin-client.ts";
import { print, printJson, printList } from "./admin-print.ts";
import { journalLine } from "./journal-line.ts";
import type { CloudEvent } from "./journal.ts";
import { isJsonObject } from "./json.ts";

type Connect = () => Promise<AdminClient>;

interface EventFlags {
  readonly follow?: boolean;
  readonly json?: boolean;
}

const isEvent = (value: unknown): boolean => typeof value === "object" && value !== null && "seq" in value;
const events = v.array(v.custom<CloudEvent>(isEvent, "no event"));
const about = v.looseObject({ idScope: v.string(), caPem: v.string() });
const pollMs = 200;

/** The cloud itself: what was seen, lines, faults, and the whole admin API for what has no word here. */
export function addCloudCommands(program: Command, connect: Connect): void {
  program
    .command("info")
    .description("ID scope, CA, addresses")
    .action(async () => {
      const client = await connect();
      const { idScope, caPem } = v.parse(about, await client.call("GET", "/"));
      print(`ID scope  ${idScope}`);
      printList(await client.call("GET", "/endpoints"), ["name", "host", "port", "httpsPort", "isUp"]);
      print(caPem.trimEnd());
    });
  program
    .command("events")
    .description("what was seen on the wire, one line each")
    .option("-f, --follow", "and what comes, until Ctrl-C or the cloud's end")
    .option("--json", "as JSON, one line each")
    .action(async (flags: EventFlags) => showEvents(await connect(), flags));

  const line = program.command("line").description("cut an endpoint off, or take it back");
  for (const word of ["up", "down"] as const) {
    line.command(`${word} <endpoint>`).action(async (endpoint: string) => {
      await (await connect()).call("PUT", pathOf`/endpoints/${endpoint}/line`, { up: word === "up" });
    });
  }
  addFaultCommands(program, connect);
  program
    .command("call <method> <path> [json]")
    .description("anything else: call PATCH /pace '{\"pollAfterSeconds\":1}'; call GET / lists what there is")
    .action(async (method: string, path: string, json?: string) => {
      const body = json === undefined ? undefined : toJsonArgument(json);
      printJson(await (await connect()).call(method.toUpperCase(), path, body));
    });
}

function addFaultCommands(program: Command, connect: Connect): void {
  const fault = program.command("fault").alias("faults").description("what shall go wrong");
  fault
    .command("add <json>")
    .description(
      'a rule or a list of them: {"when":{"at":"packet","packet":"connect"},"do":{"act":"connack","returnCode":3}}',
    )
    .action(async (json: string) => {
      printList(await (await connect()).call("POST", "/faults", toJsonArgument(json)), faultFields);
    });
  fault.command("list").action(async () => {
    const desk = await (await connect()).call("GET", "/faults");
    if (isJsonObject(desk)) printList(desk["faults"], faultFields);
  });
  fault.command("remove <id>").action(async (id: string) => {
    await (await connect()).call("DELETE", pathOf`/faults/${id}`);
  });
  fault.command("clear").action(async () => {
    await (await connect()).call("DELETE", "/faults");
  });
}

const faultFields = ["id", "endpoint", "clientId", "when", "do", "struck"];

async function showEvents(client: AdminClient, { follow, json }: EventFlags): Promise<void> {
  const say = json === true ? JSON.stringify : journalLine;
  let lastSeq = 0;
  for (;;) {
    const news = v.parse(events, await client.call("GET", `/journal?after=${lastSeq}`));
    for (const event of news) print(say(event));
    lastSeq = news.at(-1)?.seq ?? lastSeq;
    if (follow !== true) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, pollMs);
    await promise;
  }
}
