import { AgentError } from "./failure.ts";
import { readPrivateFile } from "./private-file.ts";
import { Secret } from "./secret.ts";

/** An HTTP proxy that makes tunnels (RFC 9110 section 9.3.6). Everything goes through it, or nowhere. */
export interface Proxy {
  readonly host: string;
  readonly port: number;
  /** The value of Proxy-Authorization. */
  readonly authorization?: Secret<string>;
}

/** What the configuration says about it. */
export interface ProxyConfig {
  readonly host: string;
  readonly port: number;
  /** Where the file with `user:password` may lie: the first that exists serves. Absent: the proxy wants to know nobody. */
  readonly credentials?: readonly { readonly path: string; readonly isCredential: boolean }[];
}

/** `http://proxy.example:3128`, for a person. */
export function proxyWords({ host, port }: Pick<Proxy, "host" | "port">): string {
  return `the proxy http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/**
 * Reads the credentials, anew for each connection, so that a mended file heals the agent.
 * @throws AgentError `platform/proxy-credentials` (operator).
 */
export async function readProxy({ host, port, credentials }: ProxyConfig): Promise<Proxy> {
  if (credentials === undefined) return { host, port };
  for (const { path, isCredential } of credentials) {
    const file = await readPrivateFile(path, isCredential);
    switch (file.status) {
      case "missing":
        continue;
      case "read":
        return { host, port, authorization: basic(file.content, path) };
      case "too-open":
        throw unusable(path, `others can read it. Run: chmod 0600 ${path}, and change the password`);
      case "foreign-owner":
        throw unusable(path, `it belongs to user ${file.uid}. Run: chown latebind ${path}`);
      case "not-a-file":
        throw unusable(path, "it is not a plain file");
      case "unreadable":
        throw unusable(path, `reading it fails (${file.systemCode}). Run: chown latebind ${path}`);
    }
  }
  const paths = credentials.map(({ path }) => path);
  throw unusable(paths.join(" or "), "it does not exist. Put user:password there on one line, mode 0600");
}

/** RFC 7617 section 2, with UTF-8; a user name has no colon, a password may have. */
function basic(content: Buffer, path: string): Secret<string> {
  const line = content.toString("utf8").replace(/\r?\n$/, "");
  content.fill(0);
  // oxlint-disable-next-line no-control-regex -- exactly those are meant
  if (/[\u0000-\u001F\u007F]/.test(line)) throw unusable(path, "it has more than one line of text");
  if (!/^[^:]+:/.test(line)) throw unusable(path, "it holds no user:password. Write both on one line");
  return new Secret(`Basic ${Buffer.from(line).toString("base64")}`);
}

function unusable(path: string, because: string): AgentError {
  const message = `the file with the proxy's credentials, ${path}, cannot be used: ${because}`;
  return new AgentError("platform/proxy-credentials", "operator", message);
}
