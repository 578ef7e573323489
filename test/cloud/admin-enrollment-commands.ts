import type { Command } from "commander";
import { toJsonArgument, toTextArgument } from "./admin-arguments.ts";
import { pathOf, type AdminClient } from "./admin-client.ts";
import { printJson, printList } from "./admin-print.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";

type Connect = () => Promise<AdminClient>;

interface AddFlags {
  readonly hub?: string;
  readonly deviceId?: string;
  readonly key?: string;
  readonly certificate?: string;
  readonly endorsementKey?: string;
  readonly json?: JsonValue;
}

/** Who may register, and what became of it. */
export function addEnrollmentCommands(program: Command, connect: Connect): void {
  const enrollment = program.command("enrollment").alias("enrollments").description("individual enrollments");
  addCommonCommands(enrollment, connect, "/enrollments", "registrationId")
    .option("--device-id <id>", "left out: the registration ID")
    .option("--certificate <pem>", "the device's own certificate, most often @device.pem", toTextArgument)
    .option("--endorsement-key <base64>", "of its TPM: the TPM2B_PUBLIC", toTextArgument);
  enrollment
    .command("move <id> <hub>")
    .description("to another hub, from the device's next register call on")
    .action(async (id: string, hub: string) => {
      await (await connect()).call("POST", pathOf`/enrollments/${id}/move`, { hub });
    });

  const group = program.command("group").alias("groups").description("enrollment groups");
  addCommonCommands(group, connect, "/enrollment-groups", "groupId");

  const registration = program
    .command("registration")
    .alias("registrations")
    .description("where DPS has sent whom");
  registration.command("list").action(async () => {
    printJson(await (await connect()).call("GET", "/registrations"));
  });
  registration
    .command("forget <id>")
    .description("the device's next register call is its first")
    .action(async (id: string) => {
      await (await connect()).call("DELETE", pathOf`/registrations/${id}`);
    });
}

/** What can be done to individual enrollments and groups alike. Returns `add`, for more options. */
function addCommonCommands(parent: Command, connect: Connect, all: string, nameField: string): Command {
  const one = (id: string): string => `${all}/${encodeURIComponent(id)}`;
  parent.command("list").action(async () => {
    const list = await (await connect()).call("GET", all);
    printList(list, [nameField, "attestation.type", "enabled", "allocationPolicy", "hub"]);
  });
  parent.command("show <id>").action(async (id: string) => {
    printJson(await (await connect()).call("GET", one(id)));
  });
  parent
    .command("change <id> <json>")
    .description('changes what is named: {"reprovisionPolicy":"reset"}')
    .action(async (id: string, json: string) => {
      printJson(await (await connect()).call("PATCH", one(id), toJsonArgument(json)));
    });
  for (const word of ["enable", "disable"] as const) {
    parent.command(`${word} <id>`).action(async (id: string) => {
      await (await connect()).call("PATCH", one(id), { enabled: word === "enable" });
    });
  }
  parent.command("delete <id>").action(async (id: string) => {
    await (await connect()).call("DELETE", one(id));
  });
  return parent
    .command("add <id>")
    .description("creates or replaces; keys that are left out are made")
    .option("--hub <name>", "where devices go")
    .option("--key <base64>", "primary key")
    .option("--json <json>", "other fields", toJsonArgument)
    .action(async (id: string, flags: AddFlags) => {
      printJson(await (await connect()).call("PUT", one(id), specOf(flags)));
    });
}

function specOf({ hub, deviceId, key, certificate, endorsementKey, json }: AddFlags): JsonObject {
  return {
    ...(certificate === undefined ? {} : { attestation: { type: "x509", primary: certificate } }),
    ...(endorsementKey === undefined
      ? {}
      : { attestation: { type: "tpm", endorsementKey: endorsementKey.trim() } }),
    ...(hub === undefined ? {} : { hub }),
    ...(deviceId === undefined ? {} : { deviceId }),
    ...(key === undefined ? {} : { primaryKey: key }),
    ...(isJsonObject(json) ? json : {}),
  };
}
