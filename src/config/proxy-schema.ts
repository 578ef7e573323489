import * as v from "valibot";
import { parseKeyUri, type KeyUri } from "./key-uri.ts";

interface ProxyAddress {
  readonly host: string;
  readonly port: number;
}

/** `http://host:port` and nothing else: credentials have no place here. */
export function proxy() {
  return v.pipe(
    v.string(),
    v.transform(parseProxy),
    v.custom<ProxyAddress>((address) => address !== undefined),
  );
}

/** The URI of a file that is found like a key file. */
export function fileUri() {
  return v.pipe(
    v.string(),
    v.transform(parseKeyUri),
    v.custom<Extract<KeyUri, { scheme: "file" }>>(isFileUri),
  );
}

function parseProxy(text: string): ProxyAddress | undefined {
  const [, host = "", port] = /^http:\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\]):(\d{1,5})\/?$/i.exec(text) ?? [];
  if (host === "" || !URL.canParse(text) || Number(port) < 1) return undefined;
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port: Number(port) };
}

function isFileUri(uri: unknown): boolean {
  return typeof uri === "object" && uri !== null && "scheme" in uri && uri.scheme === "file";
}
