import type { X509Certificate } from "node:crypto";
import { openIdentity } from "../agent/open-identity.ts";
import { loadConfig, type ConfigSources } from "../config/load.ts";
import { formatProblem } from "../config/problem.ts";
import { parseCertificates } from "../identity/certificate.ts";
import type { OpenIdentity } from "../identity/identity.ts";
import { LazyTpm } from "../identity/lazy-tpm.ts";
import { AgentError } from "../platform/failure.ts";
import type { DeviceParts } from "./device-parts.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";

export interface IdentityOptions {
  readonly json?: boolean;
  readonly csv?: boolean;
}

/**
 * `latebind identity`: who this device is, as it would tell a service. Opens the key, and so finds what is wrong with it; sends
 * nothing. The key itself is never printed.
 */
export async function showIdentity(
  sources: ConfigSources,
  options: IdentityOptions,
  { hostName, clock, tokens, memoryDirectory }: DeviceParts,
  io: CliIo,
): Promise<number> {
  if (options.json === true && options.csv === true) {
    io.stderr("Choose one of --json and --csv.\n");
    return exitCode.usage;
  }
  const loaded = await loadConfig(sources);
  if (loaded.status === "invalid") {
    for (const problem of loaded.problems) io.stderr(`${formatProblem(problem)}\n`);
    return exitCode.config;
  }
  try {
    const tpm = new LazyTpm(loaded.config.tpm, { workDirectory: memoryDirectory });
    const opening = { hostName, nowMs: clock.now(), tokens, tpm };
    await using opened = await openIdentity(loaded.config, opening, never);
    io.stdout(render(describe(opened), options));
    return exitCode.ok;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    io.stderr(`${error.message} [${error.code}]\n`);
    return exitCode.failure;
  }
}

const never = new AbortController().signal;

/** What is shown, in this order; a certificate's fields are absent with a symmetric key. */
interface Description {
  readonly registrationId: string;
  readonly attestation: string;
  readonly key: string;
  readonly subject?: string;
  readonly issuer?: string;
  /** Upper-case hex without colons, as the portal shows thumbprints. */
  readonly sha1Thumbprint?: string;
  readonly sha256Thumbprint?: string;
  /** RFC 3339, UTC. */
  readonly notBefore?: string;
  readonly notAfter?: string;
  /** The subjects from the device's own certificate upwards. */
  readonly chain?: readonly string[];
  readonly warnings: readonly string[];
}

const titles: readonly (readonly [keyof Description, string])[] = [
  ["registrationId", "Registration ID"],
  ["attestation", "Attestation"],
  ["key", "Key"],
  ["subject", "Certificate"],
  ["issuer", "Issued by"],
  ["sha1Thumbprint", "SHA-1"],
  ["sha256Thumbprint", "SHA-256"],
  ["notBefore", "Valid from"],
  ["notAfter", "Valid until"],
  ["chain", "Chain"],
  ["warnings", "Warning"],
];

function describe({ identity, credential }: OpenIdentity): Description {
  const { registrationId, attestation, custody: key, warnings } = identity;
  const certificate = credential.attestation === "x509" ? describeChain(credential.certificate.chain) : {};
  return { registrationId, attestation, key, ...certificate, warnings };
}

function describeChain(pem: string): Partial<Description> {
  const { leaf, others } = parseCertificates({ content: Buffer.from(pem), where: "the chain" });
  return {
    subject: oneLine(leaf.subject),
    issuer: oneLine(leaf.issuer),
    sha1Thumbprint: leaf.fingerprint.replaceAll(":", ""),
    sha256Thumbprint: leaf.fingerprint256.replaceAll(":", ""),
    notBefore: leaf.validFromDate.toISOString(),
    notAfter: leaf.validToDate.toISOString(),
    chain: [leaf, ...others].map(({ subject }: X509Certificate) => oneLine(subject)),
  };
}

/** Node puts each part of a name on a line of its own. */
function oneLine(name: string): string {
  return name.split("\n").join(", ");
}

function render(description: Description, { json, csv }: IdentityOptions): string {
  if (json === true) return `${JSON.stringify(description, undefined, 2)}\n`;
  if (csv === true) {
    const row = titles.map(([name]) => quoted([description[name] ?? ""].flat().join("; ")));
    return `${titles.map(([name]) => name).join(",")}\r\n${row.join(",")}\r\n`;
  }
  const lines = titles.flatMap(([name, title]) =>
    [description[name] ?? []].flat().map((value) => `${title.padEnd(titleWidth)}${value}\n`),
  );
  return lines.join("");
}

const titleWidth = 17;

/** RFC 4180 section 2. */
function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
