import type { IncomingMessage } from "node:http";
import { parseJson } from "../platform/json.ts";

export type ReadBody =
  | { readonly status: "read"; readonly body: unknown }
  | { readonly status: "too-large" }
  | { readonly status: "malformed" };

/** So many times the limit is read and thrown away: most clients listen for an answer only when they have sent all. */
const drainFactor = 16;

/** Reads a body as JSON, null where there is none. The connection stays open for the answer. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<ReadBody> {
  const drainBytes = maxBytes * drainFactor;
  if (Number(request.headers["content-length"] ?? 0) > drainBytes) return { status: "too-large" };
  const { promise, resolve } = Promise.withResolvers<ReadBody>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= maxBytes) chunks.push(chunk);
    else chunks.length = 0;
    if (bytes <= drainBytes) return;
    request.pause();
    resolve({ status: "too-large" });
  });
  request.once("end", () => {
    if (bytes > maxBytes) resolve({ status: "too-large" });
    const body = bytes === 0 ? null : parseJson(Buffer.concat(chunks));
    resolve(body === undefined ? { status: "malformed" } : { status: "read", body });
  });
  // The client has gone, or was cut off: nobody reads the answer.
  request.once("error", () => resolve({ status: "malformed" }));
  request.once("close", () => resolve({ status: "malformed" }));
  return promise;
}
