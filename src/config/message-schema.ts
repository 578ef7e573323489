import * as v from "valibot";
import { commandLine } from "./apply-schema.ts";
import * as explain from "./explain.ts";
import { documented } from "./key-doc.ts";
import { duration } from "./value-schemas.ts";

const telemetry = v.object({
  heartbeat: documented(v.exactOptional(duration("10s", "24h")), {
    help: "Send a message at these times that says that the device lives, with its version and what it has applied. Without it none is sent; the twin may set another time (latebind.heartbeat).",
    expected: "a duration from 10s to 24h",
    fix: 'write a time such as "15m", or delete the line to send none',
    example: '"15m"',
    explain: explain.explainDuration,
  }),
});

const messages = v.object({
  command: documented(v.exactOptional(commandLine()), {
    help: "Program that gets each message from the cloud: its body on standard input, what else is known of it in the environment (LATEBIND_MESSAGE_ID, LATEBIND_PROPERTIES as JSON, …). One at a time, and each message once. Without it messages are counted only.",
    expected: "a list of texts, the first one the absolute path of a program",
    fix: "write the program's whole path and its arguments as a list",
    example: '["/usr/local/bin/on-message"]',
    explain: explain.explainCommand,
  }),
  timeout: documented(v.exactOptional(duration("1s", "10m"), "30s"), {
    help: "The program is stopped after this time.",
    expected: "a duration from 1s to 10m",
    explain: explain.explainDuration,
  }),
});

export const telemetryTable = documented(v.exactOptional(telemetry, {}), {
  help: "Messages from this device to the cloud.",
});

export const messagesTable = documented(v.exactOptional(messages, {}), {
  help: "Messages from the cloud to this device.",
});
