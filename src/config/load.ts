import { dirname, join } from "node:path";
import type {
  ApplyRule,
  CertificateLocation,
  Config,
  KeyFile,
  KeyLocation,
  LocalFile,
  TpmKeyPlace,
} from "./config.ts";
import { checkRules } from "./check-rules.ts";
import { checkOrder } from "./check-order.ts";
import type { ProxyConfig } from "../platform/proxy.ts";
import { checkTargets } from "./check-targets.ts";
import { docOf } from "./key-doc.ts";
import { placeAt } from "./key-path.ts";
import type { CertificateUri, KeyUri } from "./key-uri.ts";
import type { Tpm2KeyPlace } from "./tpm2-uri.ts";
import { readLocalFiles } from "./local-files.ts";
import { mergeTrees } from "./merge.ts";
import type { Problem } from "./problem.ts";
import { readSources, type Sources } from "./read-sources.ts";
import { configSchema } from "./schema.ts";
import type { TableTree } from "./toml-tree.ts";
import { validate, type ValidConfig } from "./validate.ts";

export interface ConfigSources {
  /** The main file, `/etc/latebind/config.toml`. Drop-ins are `config.d/*.toml` beside it. */
  readonly file: string;
  /** `$CREDENTIALS_DIRECTORY`, where systemd set it. */
  readonly credentialsDirectory?: string;
  /** Where the agent keeps its own files; no rule may write there. */
  readonly stateDirectory: string;
}

export type LoadedConfig = (
  | { readonly status: "valid"; readonly config: Config }
  /** In the order of the files and their lines. */
  | { readonly status: "invalid"; readonly problems: readonly Problem[] }
) & {
  /** The main file and the drop-ins that were found, in the order in which they were laid over each other. */
  readonly files: readonly string[];
  /** Worth a person's attention, but nothing that keeps the agent from running. */
  readonly warnings: readonly Problem[];
};

/**
 * Reads the main file and its drop-ins in the order of their names and checks them as one document.
 *
 * Tables are merged key by key, a later file's value replaces an earlier one, `[[apply]]` tables add up. Every problem of
 * every file is reported at once and nothing is thrown for what an operator can mend.
 */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
  return check(sources, await readSources(sources.file));
}

/**
 * As `loadConfig`, for those who ask who the device is and not where it goes: file and ID scope need not be there yet, and every
 * setting that is missing has its default.
 */
export async function loadDraftConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const read = await readSources(sources.file, true);
  const place = { file: sources.file, line: 1 };
  const scope = { kind: "value", place, value: exampleScope } as const;
  const beneath = { kind: "table", place, entries: new Map([["id_scope", scope]]) } as const;
  return check(sources, { ...read, trees: [beneath, ...read.trees] });
}

/** As in the template. It is legal, so that the template is; no service has it. */
const exampleScope = "0ne00XXXXXX";

async function check(
  sources: ConfigSources,
  { files, trees, problems: unread, warnings }: Sources,
): Promise<LoadedConfig> {
  const [first, ...later] = trees;
  if (first === undefined) return { status: "invalid", problems: unread, files, warnings };

  const merged = mergeTrees([first, ...later]);
  const checked = validate(merged.tree);
  const ownDirectories = ["/etc/latebind", dirname(sources.file), sources.stateDirectory];
  const local = await readLocalFiles(merged.tree);
  const problems = [
    ...unread,
    // What seems to be missing may stand in the file that could not be read.
    ...checked.problems.filter(({ line }) => unread.length === 0 || line !== undefined),
    ...merged.problems,
    ...checkRules(merged.tree),
    ...checkOrder(merged.tree),
    ...checkTargets(merged.tree, ownDirectories),
    ...local.problems,
  ];
  if (checked.values === undefined || problems.length > 0) {
    return { status: "invalid", problems: inOrder(problems, files), files, warnings };
  }
  const config = assemble(checked.values, sources, local.files);
  return { status: "valid", config, files, warnings: [...warnings, ...warnOfExample(config, merged.tree)] };
}

/** @see https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-dps */
const dpsPorts = { auto: 8883, mqtt: 8883, websocket: 8883, https: 443 } as const;

function assemble(
  values: ValidConfig,
  sources: ConfigSources,
  files: ReadonlyMap<string, LocalFile>,
): Config {
  const { hub, tls, log, telemetry, messages, apply } = values;
  return {
    idScope: values.id_scope,
    ...(values.registration_id !== undefined && { registrationId: values.registration_id }),
    key: keyLocation(values.key, sources),
    ...(values.certificate !== undefined && { certificate: keyLocation(values.certificate, sources) }),
    ...(values.proxy !== undefined && { proxy: proxyOf(values.proxy, values.proxy_credentials, sources) }),
    provisioning: provisioningConfig(values),
    hub: {
      transport: hub.transport,
      webSocketPort: hub.websocket_port,
      port: hub.port,
      apiVersion: hub.api_version,
      keepAliveMs: hub.keep_alive,
      leastKeepAliveMs: Math.min(hub.keep_alive_min, hub.keep_alive),
      tokenLifetimeMs: hub.token_lifetime,
      refusalRetryMs: hub.refusal_retry,
      startSpreadMs: hub.start_spread,
    },
    tls: { trustBundle: tls.trust_bundle },
    tpm: tpmConfig(values.tpm, sources),
    log: { level: log.level },
    telemetry: { ...(telemetry.heartbeat !== undefined && { heartbeatMs: telemetry.heartbeat }) },
    messages: {
      timeoutMs: messages.timeout,
      ...(messages.command !== undefined && { command: messages.command }),
    },
    apply: apply.map((rule) => toApplyRule(rule, files)),
  };
}

/** Which of `file`, `handler` and `units` there is, `checkRules` made sure. */
function toApplyRule(
  { timeout, ...rule }: ValidConfig["apply"][number],
  files: ReadonlyMap<string, LocalFile>,
): ApplyRule {
  const {
    property,
    file,
    handler,
    units,
    format,
    template,
    schema,
    confirm,
    drift_check,
    after,
    mend,
    privileged,
    ...more
  } = rule;
  const judge = schema === undefined ? undefined : files.get(schema);
  const shared = {
    property,
    after,
    mend,
    privileged,
    timeoutMs: timeout,
    ...(judge !== undefined && { schema: judge }),
    ...(confirm !== undefined && { confirmMs: confirm }),
    ...(drift_check !== undefined && { driftCheckMs: drift_check }),
  };
  const text = template === undefined ? undefined : files.get(template);
  if (handler !== undefined) return { ...shared, kind: "handler", handler };
  if (units !== undefined) return { ...shared, kind: "units", units };
  return {
    ...shared,
    ...more,
    kind: "file",
    file: file ?? "",
    ...(text === undefined ? { format } : { format: "template", template: text }),
  };
}

function provisioningConfig({ provisioning, key, certificate }: ValidConfig): Config["provisioning"] {
  // DPS gives a TPM its key over HTTPS alone.
  const isTpm = key.scheme === "tpm2" && certificate === undefined;
  const transport = isTpm ? "https" : provisioning.transport;
  return {
    endpoint: provisioning.endpoint,
    transport,
    port: provisioning.port ?? dpsPorts[transport],
    webSocketPort: provisioning.websocket_port,
    apiVersion: provisioning.api_version,
    ...(provisioning.payload !== undefined && { payload: provisioning.payload }),
  };
}

function tpmConfig(tpm: ValidConfig["tpm"], sources: ConfigSources): Config["tpm"] {
  const { owner_auth: owner, endorsement_auth: endorsement } = tpm;
  return {
    tcti: tpm.tcti,
    ekTemplate: tpm.ek_template,
    ekHandle: tpm.ek_handle,
    srkHandle: tpm.srk_handle,
    ...(owner !== undefined && { ownerAuth: places(owner.nameOrPath, sources) }),
    ...(endorsement !== undefined && { endorsementAuth: places(endorsement.nameOrPath, sources) }),
  };
}

function keyLocation(uri: CertificateUri, sources: ConfigSources): CertificateLocation;
function keyLocation(uri: KeyUri, sources: ConfigSources): KeyLocation;
function keyLocation(uri: KeyUri, sources: ConfigSources): KeyLocation {
  switch (uri.scheme) {
    case "file":
      return { scheme: "file", locations: places(uri.nameOrPath, sources) };
    case "pkcs11": {
      const { pinSource, ...key } = uri;
      return { ...key, ...(pinSource !== undefined && { pin: places(pinSource, sources) }) };
    }
    case "tpm2":
      return uri;
    case "tpm2-key":
      return { scheme: uri.scheme, place: tpmKeyPlace(uri.place, sources) };
  }
}

function tpmKeyPlace(place: Tpm2KeyPlace<string>, sources: ConfigSources): TpmKeyPlace {
  if (place.kind === "handle") return place;
  return { ...place, public: places(place.public, sources), private: places(place.private, sources) };
}

function proxyOf(
  address: NonNullable<ValidConfig["proxy"]>,
  credentials: ValidConfig["proxy_credentials"],
  sources: ConfigSources,
): ProxyConfig {
  return credentials === undefined
    ? address
    : { ...address, credentials: places(credentials.nameOrPath, sources) };
}

/** A bare name is a systemd credential where there is one, or else a file beside the configuration. */
function places(nameOrPath: string, { file, credentialsDirectory }: ConfigSources): readonly KeyFile[] {
  if (nameOrPath.startsWith("/")) return [{ path: nameOrPath, isCredential: false }];
  return [
    ...(credentialsDirectory === undefined
      ? []
      : [{ path: join(credentialsDirectory, nameOrPath), isCredential: true }]),
    { path: join(dirname(file), nameOrPath), isCredential: false },
  ];
}

/** File by file as they were read, then line by line; what has no line comes first. */
function inOrder(problems: readonly Problem[], files: readonly string[]): readonly Problem[] {
  return problems.toSorted(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || (a.line ?? 0) - (b.line ?? 0),
  );
}

function warnOfExample(config: Config, tree: TableTree): readonly Problem[] {
  if (config.idScope !== exampleScope) return [];
  return [
    {
      ...placeAt(tree, ["id_scope"]),
      key: "id_scope",
      message: "this is the example of the template and not the ID scope of a service",
      fix: docOf(configSchema.entries.id_scope).fix ?? "",
    },
  ];
}
