import * as v from "valibot";
import { logLevels } from "../platform/log.ts";
import * as explain from "./explain.ts";
import { documented } from "./key-doc.ts";
import {
  explainCertificateUri,
  explainKeyUri,
  parseCertificateUri,
  parseKeyUri,
  type CertificateUri,
  type KeyUri,
} from "./key-uri.ts";
import { tpmTable } from "./tpm-schema.ts";
import { applyRule } from "./apply-schema.ts";
import { messagesTable, telemetryTable } from "./message-schema.ts";
import { isRegistrationId } from "./registration-id.ts";
import { fileUri, proxy } from "./proxy-schema.ts";
import { absolutePath, duration, jsonValue, port } from "./value-schemas.ts";

const apiVersion = v.pipe(v.string(), v.regex(/^\d{4}-\d{2}-\d{2}(?:-preview)?$/));
const apiVersionDoc = { expected: "a date such as 2021-06-01, or 2021-06-01-preview" };
const portDoc = { expected: "a port from 1 to 65535" };

const provisioning = v.object({
  endpoint: documented(
    v.exactOptional(
      v.pipe(
        v.string(),
        v.maxLength(253),
        v.regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i),
      ),
      "global.azure-devices-provisioning.net",
    ),
    {
      help: "Host name of the Device Provisioning Service. The default serves public Azure; sovereign clouds and private endpoints have names of their own.",
      expected: "a host name without scheme or port",
      explain: explain.explainEndpoint,
    },
  ),
  transport: documented(v.exactOptional(v.picklist(["auto", "mqtt", "websocket", "https"]), "auto"), {
    help: "How to speak with the provisioning service: MQTT, MQTT over WebSocket, or HTTPS. auto is MQTT, and WebSocket in networks that turn out to let only port 443 pass; there MQTT is tried again daily. A TPM is always attested over HTTPS, for the service takes it over nothing else.",
    expected: "auto, mqtt, websocket or https",
  }),
  websocket_port: documented(v.exactOptional(port(), 443), {
    ...portDoc,
    help: "Port of the provisioning service for MQTT over WebSocket.",
  }),
  port: documented(v.exactOptional(port()), {
    ...portDoc,
    help: "Port of the provisioning service for mqtt (and auto) and https. Without it, 8883 for mqtt and 443 for https.",
    fix: "change it, or delete the line to get 8883 for mqtt and 443 for https",
    example: "8883",
  }),
  api_version: documented(v.exactOptional(apiVersion, "2021-06-01"), {
    ...apiVersionDoc,
    help: "Version of the provisioning API. The default is the newest that is not a preview.",
  }),
  payload: documented(v.exactOptional(jsonValue()), {
    help: "Sent along with each registration as JSON, for a custom allocation function in Azure.",
    expected: "what JSON can carry: no dates, no infinities, integers up to 9007199254740991",
    fix: "write dates and very large numbers as texts",
    example: '{ site = "plant-7", line = 2 }',
    explain: explain.explainPayload,
  }),
});

const hub = v.object({
  transport: documented(v.exactOptional(v.picklist(["auto", "mqtt", "websocket"]), "auto"), {
    help: "How to speak with the IoT Hub: MQTT, or MQTT over WebSocket. auto is as above.",
    expected: "auto, mqtt or websocket",
  }),
  websocket_port: documented(v.exactOptional(port(), 443), {
    ...portDoc,
    help: "Port of the IoT Hub for MQTT over WebSocket.",
  }),
  port: documented(v.exactOptional(port(), 8883), {
    ...portDoc,
    help: "Port of the IoT Hub for MQTT over TLS.",
  }),
  api_version: documented(v.exactOptional(apiVersion, "2021-04-12"), {
    ...apiVersionDoc,
    help: "Version of the IoT Hub API. The default is the newest that is not a preview.",
  }),
  keep_alive: documented(v.exactOptional(duration("30s", "1177s"), "3m"), {
    help: "Longest silence on the line before the agent sends a ping. Azure's load balancer drops a silent line after 4 minutes, so the default stays below; IoT Hub takes no more than 1177s.",
    expected: "a duration from 30s to 1177s",
    explain: explain.explainDuration,
  }),
  keep_alive_min: documented(v.exactOptional(duration("30s", "1177s"), "30s"), {
    help: "Where connections die of silence sooner, the agent shortens the keep-alive for that network step by step, but not below this; after a day without such a death it lengthens it again.",
    expected: "a duration from 30s to 1177s",
    explain: explain.explainDuration,
  }),
  token_lifetime: documented(v.exactOptional(duration("5m", "24h"), "1h"), {
    help: "How long a signed access token is valid; it is renewed before it ends. Short limits the harm of a stolen token, long spares reconnects.",
    expected: "a duration from 5m to 24h",
    explain: explain.explainDuration,
  }),
  refusal_retry: documented(v.exactOptional(duration("1s", "10m"), "30s"), {
    help: "How long after a first refusal by the hub it is tried once more, stretched at random up to twice this; a second refusal in a row leads back to DPS. A single refusal is no proof: hubs refuse healthy devices at times.",
    expected: "a duration from 1s to 10m",
    explain: explain.explainDuration,
  }),
  start_spread: documented(v.exactOptional(duration("0s", "10m"), "10s"), {
    help: "When the machine has just booted and knows its hub, the first connect is put off by a random part of this: after a power cut to a region its gateways boot in the same second, and a hub takes only so many connects in one. No other start waits, nor does a device without an assignment.",
    expected: "a duration from 0s to 10m",
    explain: explain.explainDuration,
  }),
});

const tls = v.object({
  trust_bundle: documented(v.exactOptional(absolutePath(), "/etc/ssl/certs/ca-certificates.crt"), {
    help: "PEM file with the root certificates to trust. The default is the system's own store; name another for a private endpoint or a TLS gateway.",
    expected: "the absolute path of a PEM file",
    explain: explain.explainPath,
  }),
});

const log = v.object({
  level: documented(v.exactOptional(v.picklist(logLevels), "notice"), {
    help: "Least grave lines to log: error, warning, notice (phases, reconnects, outcomes), info (attempts), debug (wire traffic). The default is silent on an idle device.",
    expected: `one of ${logLevels.join(", ")}`,
  }),
});

/**
 * Every key there is, spelled as in the file: shape, default, unit, reason and example. Parser, template and hints walk it.
 *
 * Durations come out in milliseconds, `mode` as a number, `key` and `owner` taken apart; names are still the file's.
 */
export const configSchema = v.object({
  id_scope: documented(v.pipe(v.string(), v.regex(/^0ne[0-9A-Za-z]{8}$/)), {
    help: "The ID scope of your Device Provisioning Service. It is on the overview page of the service in the Azure portal.",
    expected: "0ne followed by 8 letters or digits, such as 0ne000A0B1C",
    fix: "copy the ID scope from the overview page of your Device Provisioning Service in the Azure portal",
    example: '"0ne00XXXXXX"',
    explain: explain.explainIdScope,
    missing:
      'add the line id_scope = "0ne00XXXXXX" above the first [table]; the value is on the overview page of your Device Provisioning Service in the Azure portal, or run: az iot dps show --name NAME --query properties.idScope',
  }),
  registration_id: documented(v.exactOptional(v.pipe(v.string(), v.check(isRegistrationId))), {
    help: "The name of this device at the provisioning service. Without it the identity supplies the name, or else the host name in lower case.",
    expected: "1 to 128 of the letters A-Z a-z, digits and - . _ : with a letter, digit or - at the end",
    fix: "write the registration ID of the enrollment",
    example: '"plant-7-gateway-3"',
  }),
  key: documented(
    v.exactOptional(
      v.pipe(
        v.string(),
        v.transform(parseKeyUri),
        v.custom<KeyUri>((uri) => uri !== undefined),
      ),
      "file:device.key",
    ),
    {
      help: "Where the key of this device is. file:NAME is a systemd credential of that name, or else the file beside this one; file:/PATH is that file. Mode 0600 or 0400; the content is the base64 key, individual or derived from the group's. pkcs11:token=LABEL;object=LABEL?module-path=/PATH&pin-source=file:NAME is a key in a token that stays there (RFC 7512); the PIN is found like a key file. tpm2: is a key that the provisioning service gives to the TPM of this machine, by its endorsement key; nothing else has to be set. tpm2:handle=0x81000201 and tpm2:public=NAME&private=NAME are the private key of a certificate that stays in the TPM, at a persistent handle or in the two files that tpm2_create wrote.",
      expected: "a key URI, file:NAME, file:/PATH, pkcs11:… or tpm2:",
      explain: explainKeyUri,
    },
  ),
  certificate: documented(
    v.exactOptional(
      v.pipe(
        v.string(),
        v.transform(parseCertificateUri),
        v.custom<CertificateUri>((uri) => uri !== undefined),
      ),
    ),
    {
      help: "For X.509: where the certificate of this device is, in PEM with its intermediates after it, found like a key file. The key is then its private key in PEM, and the common name is the registration ID. Without it the key is symmetric.",
      expected: "file:NAME or file:/PATH",
      fix: 'write the name of the certificate file, such as "file:device.pem"',
      example: '"file:device.pem"',
      explain: explainCertificateUri,
    },
  ),
  proxy: documented(v.exactOptional(proxy()), {
    help: "HTTP proxy through which everything goes, to the provisioning service and to the hub alike (CONNECT, RFC 9110). It is never gone around.",
    expected: "http://HOST:PORT",
    fix: 'write it such as "http://proxy.plant.example:3128"',
    example: '"http://proxy.plant.example:3128"',
    explain: explain.explainProxy,
  }),
  proxy_credentials: documented(v.exactOptional(fileUri()), {
    help: "Where the proxy's user name and password are, as user:password on one line of a file that is found and protected like a key file. Without it the proxy asks for none.",
    expected: "file:NAME or file:/PATH",
    fix: 'write the name of the file, such as "file:proxy.login"',
    example: '"file:proxy.login"',
    explain: explain.explainProxyCredentials,
  }),
  provisioning: documented(v.exactOptional(provisioning, {}), {
    help: "The Device Provisioning Service: the place that knows where this device belongs.",
  }),
  hub: documented(v.exactOptional(hub, {}), {
    help: "The IoT Hub the device is assigned to. Its name comes from the provisioning service.",
  }),
  tls: documented(v.exactOptional(tls, {}), {
    help: "Whom to trust.",
  }),
  tpm: tpmTable,
  log: documented(v.exactOptional(log, {}), {
    help: "What to write to the journal.",
  }),
  telemetry: telemetryTable,
  messages: messagesTable,
  apply: documented(v.exactOptional(v.array(applyRule), []), {
    help: "One such table for each desired property of the twin that becomes a file on this device.",
    expected: "tables under [[apply]]",
    explain: explain.explainTableList,
  }),
});
