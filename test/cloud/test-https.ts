import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { request, type RequestOptions } from "node:https";
import type { CloudAddress } from "./test-device.ts";

export interface HttpsAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One HTTPS request to `dps` or a hub on a connection of its own. */
export async function askHttps(
  cloud: CloudAddress,
  endpoint: string,
  { body, ...options }: RequestOptions & { readonly body?: string },
): Promise<HttpsAnswer> {
  const { host, httpsPort } = endpoint === "dps" ? cloud.dps : cloud.hub(endpoint);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = request({ host, port: httpsPort, ca: cloud.caPem, agent: false, ...options }, resolve);
  sent.once("error", reject);
  sent.end(body);
  const response = await promise;
  response.setEncoding("utf8");
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode ?? 0, headers: response.headers, body: text };
}
