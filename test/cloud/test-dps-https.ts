import type { RequestOptions } from "node:https";
import { parseAnswer, sasToken, type CloudAddress, type FinalAnswer } from "./test-device.ts";
import { askHttps, type HttpsAnswer } from "./test-https.ts";

type Overrides = Omit<RequestOptions, "headers"> & { readonly headers?: Readonly<Record<string, string>> };
type Shown = Overrides & {
  readonly apiVersion?: string;
  readonly token?: Partial<Parameters<typeof sasToken>[0]>;
};

/** A device that talks to DPS over HTTPS. What is not overridden is right; `key` undefined sends no Authorization. */
export interface HttpsDevice {
  register(body?: object | string, overrides?: Overrides): Promise<HttpsAnswer>;
  poll(operationId: string, overrides?: Overrides): Promise<HttpsAnswer>;
  lookup(body?: object | string, overrides?: Overrides): Promise<HttpsAnswer>;
  /** Registers and polls until the answer is final. */
  provision(body?: object): Promise<{ readonly status: number; readonly body: FinalAnswer }>;
}

export function httpsDevice(
  cloud: CloudAddress,
  registrationId: string,
  key: string | undefined,
  { token, apiVersion = "2021-06-01", ...shown }: Shown = {},
): HttpsDevice {
  const resource = `${cloud.idScope}/registrations/${registrationId}`;
  const version = `?api-version=${apiVersion}`;
  const authorization =
    key === undefined
      ? {}
      : { authorization: sasToken({ resource, key, keyName: "registration", ...token }) };

  async function ask(
    method: string,
    path: string,
    body: object | string | undefined,
    overrides: Overrides = {},
  ): Promise<HttpsAnswer> {
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    const { headers, ...rest } = { ...shown, ...overrides };
    return askHttps(cloud, "dps", {
      method,
      path: `/${resource}${path}${version}`,
      headers: {
        "content-type": "application/json; charset=utf-8",
        ...authorization,
        // Node does not frame the body of a GET by itself.
        ...(text === undefined ? {} : { "content-length": Buffer.byteLength(text) }),
        ...headers,
      },
      ...(text === undefined ? {} : { body: text }),
      ...rest,
    });
  }

  const device: HttpsDevice = {
    register: async (body = { registrationId }, overrides = {}) => ask("PUT", "/register", body, overrides),
    // Node's SDK sends a body with its GET.
    poll: async (operationId, overrides = {}) => ask("GET", `/operations/${operationId}`, {}, overrides),
    lookup: async (body = { registrationId }, overrides = {}) => ask("POST", "", body, overrides),
    async provision(body = { registrationId }) {
      let answer = await device.register(body);
      while (answer.status === 202) {
        answer = await device.poll(parseAnswer(answer.body).operationId ?? "");
      }
      return { status: answer.status, body: parseAnswer(answer.body) };
    },
  };
  return device;
}
