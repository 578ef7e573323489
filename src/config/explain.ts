import { posix } from "node:path";
import { looksLikeCredential, quote } from "./describe-value.ts";
import { parseDuration } from "../platform/duration.ts";
import type { Diagnosis } from "./key-doc.ts";

/** What a person most likely meant: each function recognises the usual mistakes at one kind of value. */
type Explanation = Partial<Diagnosis> | undefined;

export function explainDuration(value: unknown): Explanation {
  if (typeof value === "number" && Number.isInteger(value) && value > 0) {
    return { fix: `write the unit, in quotes; for seconds "${value}s"` };
  }
  if (typeof value === "string" && parseDuration(value) === undefined) {
    return { fix: 'write whole numbers with the units d, h, m or s, larger units first, such as "1h30m"' };
  }
  return undefined;
}

export function explainIdScope(value: unknown): Explanation {
  if (typeof value === "string" && /^one/i.test(value)) {
    return { fix: "write the digit 0 at the start, not the letter O" };
  }
  return undefined;
}

export function explainEndpoint(value: unknown): Explanation {
  if (typeof value !== "string" || value === "" || looksLikeCredential(value)) return undefined;
  const host = /^(?:[a-z]+:\/\/)?([^/:]+)/i.exec(value)?.[1];
  if (host !== undefined && host !== value) return { fix: `write the host name alone: ${quote(host)}` };
  return undefined;
}

export function explainPath(value: unknown): Explanation {
  if (typeof value !== "string" || value === "" || looksLikeCredential(value)) return undefined;
  if (!value.startsWith("/")) return { fix: "write the whole path from / on" };
  const clean = posix.normalize(value).replace(/\/$/, "");
  return clean === value || clean === "" ? undefined : { fix: `write ${quote(clean)}` };
}

export function explainMode(value: unknown): Explanation {
  if (typeof value === "number") {
    return { fix: 'write the digits of chmod(1) in quotes, such as "0640"' };
  }
  if (typeof value === "string" && /^[1-7][0-7]{3}$/.test(value)) {
    return { fix: `set-user-id, set-group-id and sticky bits are not allowed: write "0${value.slice(1)}"` };
  }
  return undefined;
}

export function explainCommand(value: unknown): Explanation {
  if (typeof value === "string") {
    return {
      fix: 'write a list, program first, without a shell: ["/usr/bin/systemctl", "restart", "chrony"]',
    };
  }
  if (Array.isArray(value) && typeof value[0] === "string" && !value[0].startsWith("/")) {
    return {
      found: `${quote(value[0])} as the program`,
      fix: "write the program's whole path; the shell prints it: command -v NAME",
    };
  }
  return undefined;
}

export function explainProperty(value: unknown): Explanation {
  if (value === "latebind") {
    return { fix: "choose another name: the component latebind is the agent's own" };
  }
  if (typeof value === "string" && value.includes(".")) {
    return { fix: "name the top-level property alone; its whole value goes into the file" };
  }
  return undefined;
}

export function explainAfter(value: unknown): Explanation {
  return typeof value === "string" ? { fix: `write a list: [${quote(value)}]` } : undefined;
}

export function explainPayload(value: unknown): Explanation {
  return {
    found: typeof value === "number" ? "a number that not every reader can hold" : "something else in it",
  };
}

export function explainTableList(value: unknown): Explanation {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return { found: "one table", fix: "write the header with two brackets on each side: [[apply]]" };
  }
  return undefined;
}

/** Never shows what may be a password. */
export function explainProxy(value: unknown): Explanation {
  if (typeof value !== "string") return undefined;
  if (value.includes("@")) {
    return {
      found: "a user name or password in the address (not shown)",
      fix: 'put user:password into a file with mode 0600 beside this one, write proxy_credentials = "file:proxy.login", and leave http://HOST:PORT here; a password that stood here was readable by others, so change it',
    };
  }
  if (/^(https|socks[45]?[ah]?):/i.test(value)) {
    return { fix: "use a proxy that is spoken to in plain HTTP; what goes through it is TLS all the same" };
  }
  if (/^[a-z0-9.-]+:\d+$/i.test(value)) return { fix: `write ${quote(`http://${value}`)}` };
  return undefined;
}

/** The text may be the password itself. */
export function explainProxyCredentials(value: unknown): Explanation {
  if (typeof value !== "string" || value.startsWith("file:")) return undefined;
  return {
    found: `${value.length} characters without file: in front (not shown: they may be a password)`,
    fix: 'put user:password into a file with mode 0600 beside this one and write its name, such as "file:proxy.login"; a password that stood here was readable by others, so change it',
  };
}
