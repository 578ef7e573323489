import * as v from "valibot";
import { isJsonObject, parseJson, type JsonValue } from "./json.ts";

/** The admin API of one running cloud. */
export interface AdminClient {
  /** @throws Error with what the cloud says is wrong, or that it cannot be reached. */
  call(method: string, path: string, body?: JsonValue): Promise<JsonValue | undefined>;
}

export function createAdminClient(url: string): AdminClient {
  return {
    call: async (method, path, body) => {
      const response = await send(url, method, path, body);
      const text = await response.text();
      const answer = parseJson(text);
      if (response.ok) return text === "" ? undefined : answer;
      const reason = isJsonObject(answer) ? answer["error"] : undefined;
      throw new Error(typeof reason === "string" ? reason : `the cloud answered ${response.status}: ${text}`);
    },
  };
}

/** `/hubs/{test}/devices/{a b}`: names as they go into a path. */
export function pathOf(parts: TemplateStringsArray, ...names: readonly string[]): string {
  return String.raw(parts, ...names.map((name) => encodeURIComponent(name)));
}

const device = v.looseObject({ deviceId: v.string() });
const hub = v.looseObject({ name: v.string() });

/** The path of a device in its hub: the one that was named, or else the only one that knows the device. */
export async function findDevice(client: AdminClient, deviceId: string, hubName?: string): Promise<string> {
  if (hubName !== undefined) return pathOf`/hubs/${hubName}/devices/${deviceId}`;
  const hubs = v.parse(v.array(hub), await client.call("GET", "/hubs"));
  const homes: string[] = [];
  for (const { name } of hubs) {
    const devices = v.parse(v.array(device), await client.call("GET", pathOf`/hubs/${name}/devices`));
    if (devices.some((one) => one.deviceId === deviceId)) homes.push(name);
  }
  const [home] = homes;
  if (home === undefined)
    throw new Error(`no hub knows a device ${deviceId}; devices come with their registration`);
  if (homes.length > 1)
    throw new Error(`several hubs know ${deviceId}, choose one: --hub ${homes.join(" or --hub ")}`);
  return pathOf`/hubs/${home}/devices/${deviceId}`;
}

async function send(url: string, method: string, path: string, body?: JsonValue): Promise<Response> {
  try {
    return await fetch(`${url.replace(/\/$/, "")}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    throw new Error(`no cloud answers at ${url}`, { cause: error });
  }
}
