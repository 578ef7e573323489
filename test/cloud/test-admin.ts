import type { Cloud } from "./cloud.ts";

export interface AdminAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** One call of the admin API. */
export async function askAdmin(
  cloud: Cloud,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<AdminAnswer> {
  const response = await fetch(`${cloud.adminUrl}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
}
