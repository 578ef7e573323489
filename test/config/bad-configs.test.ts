import { describe, expect, it } from "vitest";
import { problemsOf } from "./config-folder.ts";

/** One legal line, so that the lines after it are the only ones to complain about. */
const scope = 'id_scope = "0ne000A0B1C"\n';
const groupKey = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
const portalFix =
  "copy the ID scope from the overview page of your Device Provisioning Service in the Azure portal";
const registrationIdWords =
  "expected 1 to 128 of the letters A-Z a-z, digits and - . _ : with a letter, digit or - at the end";
type Case = readonly [what: string, text: string, ...lines: string[]];

const badValues: readonly Case[] = [
  [
    "an empty file",
    "",
    'config.toml: id_scope: expected this mandatory setting, found nothing. Fix: add the line id_scope = "0ne00XXXXXX" above the first [table]; the value is on the overview page of your Device Provisioning Service in the Azure portal, or run: az iot dps show --name NAME --query properties.idScope.',
  ],
  [
    "an ID scope with the letter O",
    'id_scope = "One000A0B1C"',
    'config.toml:1: id_scope: expected 0ne followed by 8 letters or digits, such as 0ne000A0B1C, found "One000A0B1C". Fix: write the digit 0 at the start, not the letter O.',
  ],
  [
    "a truncated ID scope",
    'id_scope = "0ne1"',
    `config.toml:1: id_scope: expected 0ne followed by 8 letters or digits, such as 0ne000A0B1C, found "0ne1". Fix: ${portalFix}.`,
  ],
  [
    "a key pasted as the ID scope",
    `id_scope = "${groupKey}"`,
    `config.toml:1: id_scope: expected 0ne followed by 8 letters or digits, such as 0ne000A0B1C, found 88 characters (not shown: they may be a key). Fix: ${portalFix}.`,
  ],
  [
    "a registration ID with a space",
    `${scope}registration_id = "gw 7"`,
    `config.toml:2: registration_id: ${registrationIdWords}, found "gw 7". Fix: write the registration ID of the enrollment.`,
  ],
  [
    "a registration ID that ends in a dot",
    `${scope}registration_id = "gw."`,
    `config.toml:2: registration_id: ${registrationIdWords}, found "gw.". Fix: write the registration ID of the enrollment.`,
  ],
  [
    "terminal control characters",
    `${scope}registration_id = "a\\u001b[2J\\u009b"`,
    `config.toml:2: registration_id: ${registrationIdWords}, found "a\\u001b[2J\\u009b". Fix: write the registration ID of the enrollment.`,
  ],
  [
    "the key itself",
    `${scope}key = "${groupKey}"`,
    "config.toml:2: key: expected a key URI, file:NAME, file:/PATH, pkcs11:… or tpm2:, found 88 characters without file: in front (not shown: they may be a key). Fix: put the key into the file device.key with mode 0600 beside this one and delete the line; a key that was pasted here is no longer secret, so regenerate it in Azure.",
  ],
  [
    "a password in the proxy's address",
    `${scope}proxy = "http://gateway:hunter2@proxy.test:3128"`,
    'config.toml:2: proxy: expected http://HOST:PORT, found a user name or password in the address (not shown). Fix: put user:password into a file with mode 0600 beside this one, write proxy_credentials = "file:proxy.login", and leave http://HOST:PORT here; a password that stood here was readable by others, so change it.',
  ],
  [
    "a proxy without its scheme",
    `${scope}proxy = "proxy.test:3128"`,
    'config.toml:2: proxy: expected http://HOST:PORT, found "proxy.test:3128". Fix: write "http://proxy.test:3128".',
  ],
  [
    "a proxy of another kind",
    `${scope}proxy = "socks5://proxy.test:1080"`,
    'config.toml:2: proxy: expected http://HOST:PORT, found "socks5://proxy.test:1080". Fix: use a proxy that is spoken to in plain HTTP; what goes through it is TLS all the same.',
  ],
  [
    "a proxy without a port",
    `${scope}proxy = "http://proxy.test"\n`,
    'config.toml:2: proxy: expected http://HOST:PORT, found "http://proxy.test". Fix: write it such as "http://proxy.plant.example:3128".',
  ],
  [
    "the proxy's credentials themselves",
    `${scope}proxy_credentials = "gateway:hunter2"`,
    'config.toml:2: proxy_credentials: expected file:NAME or file:/PATH, found 15 characters without file: in front (not shown: they may be a password). Fix: put user:password into a file with mode 0600 beside this one and write its name, such as "file:proxy.login"; a password that stood here was readable by others, so change it.',
  ],
  [
    "a key file without its scheme",
    `${scope}key = "device.key"`,
    'config.toml:2: key: expected a key URI, file:NAME, file:/PATH, pkcs11:… or tpm2:, found "device.key". Fix: write "file:device.key".',
  ],
  [
    "a key file by a relative path",
    `${scope}key = "file:../device.key"`,
    'config.toml:2: key: expected a key URI, file:NAME, file:/PATH, pkcs11:… or tpm2:, found a "file:" URI with a path that is neither a plain name nor absolute. Fix: write "file:device.key" or "file:/run/secrets/device.key".',
  ],
  [
    "a TPM key with a slot",
    `${scope}key = "tpm2:slot=3"`,
    'config.toml:2: key: expected a key URI, file:NAME, file:/PATH, pkcs11:… or tpm2:, found a "tpm2:" URI with something else behind the colon than a handle or two files. Fix: write "tpm2:" alone for the key that the provisioning service gives; for the private key of a certificate "tpm2:handle=0x81000201" or "tpm2:public=device.pub&private=device.priv"; how to reach the TPM is said in [tpm].',
  ],
  [
    "a TPM where a certificate should be",
    `${scope}certificate = "tpm2:"`,
    'config.toml:2: certificate: expected file:NAME or file:/PATH, found the TPM, which keeps no certificate for this. Fix: with key = "tpm2:" delete this line; for X.509 write the name of the certificate file, such as "file:device.pem".',
  ],
  [
    "a TPM at a place that no tool takes",
    `${scope}[tpm]\ntcti = "mssim:host=1.2.3.4"\nsrk_handle = "0x81"`,
    'config.toml:3: tpm.tcti: expected the path of a device, tabrmd: or swtpm:path=/PATH, found "mssim:host=1.2.3.4". Fix: change it, or delete the line to get "/dev/tpmrm0".',
    'config.toml:4: tpm.srk_handle: expected a persistent handle of the owner\'s, from 0x81000000 to 0x817fffff, found "0x81". Fix: change it, or delete the line to get "0x81000001".',
  ],
  [
    "a PIN in the key URI",
    `${scope}key = "pkcs11:token=gateway?pin-value=123456"`,
    'config.toml:2: key: expected a key URI, file:NAME, file:/PATH, pkcs11:… or tpm2:, found a "pkcs11:" URI with the PIN in it (pin-value). Fix: take pin-value out and change the PIN, it is no longer secret; put the new one into a file with mode 0600 and name it by pin-source=file:NAME.',
  ],
  [
    "a key URI of another scheme",
    `${scope}key = "https://vault/key"`,
    'config.toml:2: key: expected a key URI, file:NAME, file:/PATH, pkcs11:… or tpm2:, found the scheme "https". Fix: use file: with the name of a key file, pkcs11: with a token and a key, or tpm2: for the TPM.',
  ],
  [
    "an endpoint written as a URL, port 0 and a word as API version",
    `${scope}[provisioning]\nendpoint = "https://dps.example/"\nport = 0\napi_version = "latest"`,
    'config.toml:3: provisioning.endpoint: expected a host name without scheme or port, found "https://dps.example/". Fix: write the host name alone: "dps.example".',
    "config.toml:4: provisioning.port: expected a port from 1 to 65535, found the number 0. Fix: change it, or delete the line to get 8883 for mqtt and 443 for https.",
    'config.toml:5: provisioning.api_version: expected a date such as 2021-06-01, or 2021-06-01-preview, found "latest". Fix: change it, or delete the line to get "2021-06-01".',
  ],
  [
    "a date in the payload",
    `${scope}[provisioning.payload]\nline = 2\nsince = 2026-01-31`,
    "config.toml:2: provisioning.payload: expected what JSON can carry: no dates, no infinities, integers up to 9007199254740991, found something else in it. Fix: write dates and very large numbers as texts.",
  ],
  [
    "an integer JSON would round",
    `${scope}[provisioning]\npayload = 9007199254740993`,
    "config.toml:3: provisioning.payload: expected what JSON can carry: no dates, no infinities, integers up to 9007199254740991, found a number that not every reader can hold. Fix: write dates and very large numbers as texts.",
  ],
  [
    "a duration without a unit, and one in words",
    `${scope}[hub]\nkeep_alive = 180\ntoken_lifetime = "1 hour"`,
    'config.toml:3: hub.keep_alive: expected a duration from 30s to 1177s, found the number 180. Fix: write the unit, in quotes; for seconds "180s".',
    'config.toml:4: hub.token_lifetime: expected a duration from 5m to 24h, found "1 hour". Fix: write whole numbers with the units d, h, m or s, larger units first, such as "1h30m".',
  ],
  [
    "durations beyond their bounds",
    `${scope}[hub]\nkeep_alive = "1178s"\ntoken_lifetime = "4m59s"`,
    'config.toml:3: hub.keep_alive: expected a duration from 30s to 1177s, found "1178s". Fix: change it, or delete the line to get "3m".',
    'config.toml:4: hub.token_lifetime: expected a duration from 5m to 24h, found "4m59s". Fix: change it, or delete the line to get "1h".',
  ],
  [
    "a relative trust bundle",
    `${scope}[tls]\ntrust_bundle = "roots.pem"`,
    'config.toml:3: tls.trust_bundle: expected the absolute path of a PEM file, found "roots.pem". Fix: write the whole path from / on.',
  ],
  [
    "a log level that does not exist",
    `${scope}[log]\nlevel = "verbose"`,
    'config.toml:3: log.level: expected one of error, warning, notice, info, debug, found "verbose". Fix: change it, or delete the line to get "notice".',
  ],
  [
    "a value where a table belongs",
    `${scope}log = "debug"`,
    'config.toml:2: log: expected a table, found "debug". Fix: write [log] on a line of its own and its settings below.',
  ],
];

const badRules: readonly Case[] = [
  [
    "single brackets",
    `${scope}[apply]\nproperty = "network"`,
    "config.toml:2: apply: expected tables under [[apply]], found one table. Fix: write the header with two brackets on each side: [[apply]].",
  ],
  [
    "an empty rule",
    `${scope}[[apply]]`,
    'config.toml:2: apply[0].property: expected this mandatory setting, found nothing. Fix: add the line property = "NAME" with the name of the desired property.',
    'config.toml:2: apply[0]: expected one of file, handler, units, found none of them. Fix: add the line file = "/PATH" with the file to write.',
  ],
  [
    "every key wrong at once",
    `${scope}[[apply]]\nproperty = "latebind"\nfile = "/etc/app//x/"\nformat = "xml"\nmode = 0o640\nowner = "a b"\ncommand = "ls -l"\ntimeout = "11m"`,
    'config.toml:3: apply[0].property: expected a name without spaces, dots, $ and control characters, of up to 1024 bytes, other than latebind, found "latebind". Fix: choose another name: the component latebind is the agent\'s own.',
    'config.toml:4: apply[0].file: expected an absolute path, found "/etc/app//x/". Fix: write "/etc/app/x".',
    'config.toml:5: apply[0].format: expected one of json, toml, yaml, env, ini, text, found "xml". Fix: change it, or delete the line to get "json".',
    'config.toml:6: apply[0].mode: expected octal digits in quotes, such as "0640", found the number 416. Fix: write the digits of chmod(1) in quotes, such as "0640".',
    'config.toml:7: apply[0].owner: expected "user" or "user:group", found "a b". Fix: delete the line to leave the file to the user the agent runs as.',
    'config.toml:8: apply[0].command: expected a list of texts, the first one the absolute path of a program, found "ls -l". Fix: write a list, program first, without a shell: ["/usr/bin/systemctl", "restart", "chrony"].',
    'config.toml:9: apply[0].timeout: expected a duration from 1s to 10m, found "11m". Fix: change it, or delete the line to get "30s".',
  ],
  [
    "a set-user-id bit and a program without its path",
    `${scope}[[apply]]\nproperty = "tool"\nfile = "/opt/tool"\nmode = "4755"\ncommand = ["systemctl", "restart"]`,
    'config.toml:5: apply[0].mode: expected octal digits in quotes, such as "0640", found "4755". Fix: set-user-id, set-group-id and sticky bits are not allowed: write "0755".',
    'config.toml:6: apply[0].command: expected a list of texts, the first one the absolute path of a program, found "systemctl" as the program. Fix: write the program\'s whole path; the shell prints it: command -v NAME.',
  ],
  [
    "a path that climbs",
    `${scope}[[apply]]\nproperty = "a"\nfile = "/opt/app/../../etc/passwd"`,
    'config.toml:4: apply[0].file: expected an absolute path, found "/opt/app/../../etc/passwd". Fix: write "/etc/passwd".',
  ],
  [
    "properties the twin cannot have",
    `${scope}[[apply]]\nproperty = "$version"\nfile = "/opt/a"\n[[apply]]\nproperty = "net.dns"\nfile = "/opt/b"`,
    'config.toml:3: apply[0].property: expected a name without spaces, dots, $ and control characters, of up to 1024 bytes, other than latebind, found "$version". Fix: write the name of the desired property as it is in the twin.',
    'config.toml:6: apply[1].property: expected a name without spaces, dots, $ and control characters, of up to 1024 bytes, other than latebind, found "net.dns". Fix: name the top-level property alone; its whole value goes into the file.',
  ],
  [
    "the agent's own files as targets",
    `${scope}[[apply]]\nproperty = "a"\nfile = "/var/lib/latebind/assignment.json"\n[[apply]]\nproperty = "b"\nfile = "/etc/latebind/config.d/b.toml"`,
    'config.toml:4: apply[0].file: expected a file outside the agent\'s own /var/lib/latebind, found "/var/lib/latebind/assignment.json". Fix: choose a file in the folder of the program that reads it.',
    'config.toml:7: apply[1].file: expected a file outside the agent\'s own /etc/latebind, found "/etc/latebind/config.d/b.toml". Fix: choose a file in the folder of the program that reads it.',
  ],
  [
    "one property and one file twice",
    `${scope}[[apply]]\nproperty = "a"\nfile = "/opt/a"\n[[apply]]\nproperty = "a"\nfile = "/opt/a"`,
    'config.toml:6: apply[1].property: expected each property once, found "a" again after config.toml:3. Fix: keep one of the two [[apply]] tables.',
    'config.toml:7: apply[1].file: expected each file once, found "/opt/a" again after config.toml:4. Fix: keep one of the two [[apply]] tables.',
  ],
];

const unknownWords = "expected a setting known in this place, found an unknown name";

const badNames: readonly Case[] = [
  [
    "a misspelt mandatory key, which is not reported as missing besides",
    'idscope = "0ne000A0B1C"',
    `config.toml:1: idscope: ${unknownWords}. Fix: did you mean id_scope?`,
  ],
  [
    "words in another order",
    'scope-id = "0ne000A0B1C"',
    `config.toml:1: scope-id: ${unknownWords}. Fix: did you mean id_scope?`,
  ],
  [
    "a top-level key below a table header",
    '[log]\nlevel = "info"\nid_scope = "0ne000A0B1C"',
    `config.toml:3: log.id_scope: ${unknownWords}. Fix: move id_scope to the top of the file, above the first [table].`,
  ],
  [
    "keys of tables at the top",
    `${scope}endpoint = "dps.example"\nport = 1\nkeepAlive = "3m"`,
    `config.toml:2: endpoint: ${unknownWords}. Fix: move endpoint under [provisioning].`,
    `config.toml:3: port: ${unknownWords}. Fix: move port under [provisioning], or move port under [hub].`,
    `config.toml:4: keepAlive: ${unknownWords}. Fix: did you mean keep_alive? Then move keep_alive under [hub].`,
  ],
  [
    "a misspelt table, and a misspelt key in a rule",
    `${scope}[hubb]\nport = 1\n[[apply]]\nproprety = "a"\nfile = "/opt/a"`,
    `config.toml:2: hubb: ${unknownWords}. Fix: did you mean hub?`,
    `config.toml:5: apply[0].proprety: ${unknownWords}. Fix: did you mean property?`,
  ],
  [
    "a name that is like no other",
    `${scope}[log]\ncolour = true`,
    `config.toml:3: log.colour: ${unknownWords}. Fix: delete it; what is known here: level.`,
  ],
  [
    "a key pasted as a name",
    `${scope}"${groupKey}" = true`,
    `config.toml:2: 88 characters (not shown: they may be a key): ${unknownWords}. Fix: delete it; what is known here: id_scope, registration_id, key, certificate, proxy, proxy_credentials, provisioning, hub, tls, tpm, log, telemetry, messages, apply.`,
  ],
  [
    "names that JavaScript objects have",
    `${scope}__proto__ = 1\nconstructor = 2`,
    `config.toml:2: __proto__: ${unknownWords}. Fix: delete it; what is known here: id_scope, registration_id, key, certificate, proxy, proxy_credentials, provisioning, hub, tls, tpm, log, telemetry, messages, apply.`,
    `config.toml:3: constructor: ${unknownWords}. Fix: delete it; what is known here: id_scope, registration_id, key, certificate, proxy, proxy_credentials, provisioning, hub, tls, tpm, log, telemetry, messages, apply.`,
  ],
];

const tomlFix =
  'Fix: write each setting on its own line as name = "text" and each table name once, as [name].';

const badSyntax: readonly Case[] = [
  [
    "a text without quotes",
    `${scope}key = device.key`,
    `config.toml:2:7: not valid TOML: unexpected character. ${tomlFix}`,
  ],
  [
    "an open quote",
    `${scope}key = "file:x`,
    `config.toml:2:14: not valid TOML: unterminated string constant. ${tomlFix}`,
  ],
  [
    "a key that is there twice",
    scope + scope,
    `config.toml:2:1: not valid TOML: defining a key multiple times is invalid. ${tomlFix}`,
  ],
];

describe.each([
  ["values", badValues],
  ["rules", badRules],
  ["names", badNames],
  ["syntax", badSyntax],
] as const)("wrong %s are explained", (_, cases) => {
  it.each(cases.map(([what, text, ...lines]) => ({ what, text, lines })))(
    "$what",
    async ({ text, lines }) => {
      await expect(problemsOf(text)).resolves.toEqual(lines);
    },
  );
});
