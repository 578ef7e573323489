import type { Json } from "../platform/json.ts";
import type { LogLevel } from "../platform/log.ts";
import type { ProxyConfig } from "../platform/proxy.ts";
import type { Pkcs11Uri } from "./pkcs11-uri.ts";
import type { Tpm2KeyPlace } from "./tpm2-uri.ts";

/**
 * Everything the agent was told, checked and with every default filled in. Durations are milliseconds, paths absolute.
 *
 * Plain data: two equal configurations are equal values, so a reload can be compared with what is in force.
 */
export interface Config {
  /** As in the portal: `0ne000A0B1C`. */
  readonly idScope: string;
  /** As spelled by the operator: group keys are derived from the spelling. Absent: the identity supplies it. */
  readonly registrationId?: string;
  readonly key: KeyLocation;
  /** The device's certificate and its intermediates, for X.509. Absent: the key is a symmetric one. */
  readonly certificate?: CertificateLocation;
  /** The only way out, where there is one. */
  readonly proxy?: ProxyConfig;
  readonly provisioning: ProvisioningConfig;
  readonly hub: HubConfig;
  readonly tls: TlsConfig;
  readonly tpm: TpmConfig;
  readonly log: { readonly level: LogLevel };
  readonly telemetry: TelemetryConfig;
  readonly messages: MessagesConfig;
  /** In the order of the files; no two have the same property or the same file. */
  readonly apply: readonly ApplyRule[];
}

interface TelemetryConfig {
  /** Absent: no heartbeat. */
  readonly heartbeatMs?: number;
}

interface MessagesConfig {
  /** The first element is an absolute path; no shell is involved. Absent: messages are counted only. */
  readonly command?: readonly [string, ...string[]];
  readonly timeoutMs: number;
}

/** Where the device's certificate is. */
export type CertificateLocation = Exclude<KeyLocation, { readonly scheme: "tpm2" | "tpm2-key" }>;

/** Where the device's key is, by the scheme of its URI. */
export type KeyLocation =
  | { readonly scheme: "file"; readonly locations: readonly KeyFile[] }
  | Pkcs11Location
  | { readonly scheme: "tpm2" }
  | { readonly scheme: "tpm2-key"; readonly place: TpmKeyPlace };

/** Where a private key is that never leaves the TPM in the clear. */
export type TpmKeyPlace = Tpm2KeyPlace<readonly KeyFile[]>;

/** `pin`: the places of the file with the PIN; absent where the URI names none. */
export interface Pkcs11Location extends Omit<Pkcs11Uri, "pinSource"> {
  readonly pin?: readonly KeyFile[];
}

/** One place for a key or PIN file. The places are tried in their order, each time the key is opened: the first that exists serves. */
export interface KeyFile {
  readonly path: string;
  /** Inside systemd's credentials directory, where access lists stand in for the mode. */
  readonly isCredential: boolean;
}

interface ProvisioningConfig {
  /** Host name without scheme or port. */
  readonly endpoint: string;
  readonly transport: "auto" | "mqtt" | "websocket" | "https";
  /** For MQTT over TLS, and for HTTPS. */
  readonly port: number;
  readonly webSocketPort: number;
  readonly apiVersion: string;
  /** Sent along with each registration, for a custom allocation function. */
  readonly payload?: Json;
}

interface HubConfig {
  readonly transport: "auto" | "mqtt" | "websocket";
  readonly webSocketPort: number;
  readonly port: number;
  readonly apiVersion: string;
  readonly keepAliveMs: number;
  /** What the keep-alive is never shortened below; no longer than that. */
  readonly leastKeepAliveMs: number;
  readonly tokenLifetimeMs: number;
  /** From a first refusal to the second try. */
  readonly refusalRetryMs: number;
  /** The first connect after the machine booted is put off by a random part of this. */
  readonly startSpreadMs: number;
}

interface TlsConfig {
  /** PEM file with the roots to trust; the system's store where the operator named none. */
  readonly trustBundle: string;
}

/** How to use the TPM of this machine, whether a key is in it or not. */
interface TpmConfig {
  /** As tpm2-tools take it: `device:/dev/tpmrm0`. */
  readonly tcti: string;
  readonly ekTemplate: "tcg" | "azure-sdk";
  /** Persistent handles: `0x81010001`. */
  readonly ekHandle: string;
  readonly srkHandle: string;
  /** Files with the authorization values of the hierarchies; absent where they are empty. */
  readonly ownerAuth?: readonly KeyFile[];
  readonly endorsementAuth?: readonly KeyFile[];
}

/** One `[[apply]]` table: the desired property and what it becomes on this device. */
export type ApplyRule = FileRule | HandlerRule | UnitRule;

interface SharedRule {
  readonly property: string;
  /** Of the command or the handler. */
  readonly timeoutMs: number;
  /** Done by the helper that runs as root. */
  readonly privileged: boolean;
  /** Within this time after a change the hub has to be reached, or the change is undone. */
  readonly confirmMs?: number;
  /** Properties that come before this one; no circles. */
  readonly after: readonly string[];
  /** How often to look for somebody else's changes. */
  readonly driftCheckMs?: number;
  /** Whether they are put right. */
  readonly mend: boolean;
  /** A JSON Schema that values must keep to. */
  readonly schema?: LocalFile;
}

/** The property becomes a file. */
export interface FileRule extends SharedRule {
  readonly kind: "file";
  readonly file: string;
  readonly format: "json" | "toml" | "yaml" | "env" | "ini" | "text" | "template";
  /** For the format `template`. */
  readonly template?: LocalFile;
  /** Permission bits, for example `0o640`. */
  readonly mode: number;
  /** Names or numbers as written; the running user where absent. */
  readonly owner?: { readonly user: string; readonly group?: string };
  /** Run after a change. The first element is an absolute path; no shell is involved. */
  readonly command?: readonly [string, ...string[]];
}

/** A local program puts the property in force. */
export interface HandlerRule extends SharedRule {
  readonly kind: "handler";
  /** Its file name in one of the folders for handlers. */
  readonly handler: string;
}

/** The property is the state of systemd units. */
export interface UnitRule extends SharedRule {
  readonly kind: "units";
  /** Those that the property may name. */
  readonly units: readonly string[];
}

/** A file beside the configuration, as it was when the configuration was read. */
export interface LocalFile {
  readonly path: string;
  readonly text: string;
}
