import type { Login } from "./dps-login.ts";
import { parseTpmKeys, type TpmKeys } from "./dps-tpm.ts";
import { isJsonObject, parseJson, type JsonValue } from "./json.ts";

/** The body of a register call or a status lookup. */
export interface DpsRequest {
  readonly payload?: JsonValue;
  readonly tpm?: TpmKeys;
  readonly csr?: string;
}

/** The documented limit of a message. */
const longestBody = 96 * 1024;

/**
 * C# devices send nothing, or a payload without the ID: the ID that counts is the one they logged in with.
 * @returns undefined when the body makes no sense or names another registration ID.
 */
export function parseDpsRequest(login: Login, body: string): DpsRequest | undefined {
  if (body.trim() === "") return {};
  if (Buffer.byteLength(body) > longestBody) return undefined;
  const request = parseJson(body);
  if (!isJsonObject(request)) return undefined;
  // Some devices write null for what they do not have.
  const registrationId = request["registrationId"] ?? login.registrationId;
  const payload = request["payload"] ?? undefined;
  const csr = request["csr"] ?? undefined;
  const sentTpm = request["tpm"] ?? undefined;
  if (typeof registrationId !== "string") return undefined;
  if (registrationId.toLowerCase() !== login.registrationId.toLowerCase()) return undefined;
  if (csr !== undefined && typeof csr !== "string") return undefined;
  const tpm = parseTpmKeys(sentTpm);
  if (tpm === undefined && sentTpm !== undefined) return undefined;
  return {
    ...(payload === undefined ? {} : { payload }),
    ...(tpm === undefined ? {} : { tpm }),
    ...(csr === undefined ? {} : { csr }),
  };
}
