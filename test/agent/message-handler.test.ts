import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Counters } from "../../src/agent/counters.ts";
import { createMessageHandler } from "../../src/agent/message-handler.ts";
import type { CloudMessage } from "../../src/hub/callers.ts";
import { RecordingLog } from "../platform/recording-log.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const message = (body: string, more: Partial<CloudMessage> = {}): CloudMessage => ({
  body: new TextEncoder().encode(body),
  properties: {},
  ...more,
});

function handling(folder: TemporaryFolder, script: string, timeoutMs = 5_000) {
  const log = new RecordingLog();
  const counters = new Counters();
  const file = folder.join("on-message");
  writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const take = createMessageHandler({ command: [file, "--now"], timeoutMs }, counters, log.log);
  return { take, log, counters };
}

test("without a program messages are told and nothing else happens", () => {
  const log = new RecordingLog();
  createMessageHandler({ timeoutMs: 1_000 }, new Counters(), log.log)(message("hello"));
  expect(log.names()).toEqual(["message.received"]);
});

test("a program that fails, hangs or is missing is told, and the next message has its turn", async () => {
  using folder = new TemporaryFolder();
  const { take, log, counters } = handling(
    folder,
    'read -r text; case "$text" in bad) echo broken >&2; exit 3;; slow) sleep 60;; esac',
    300,
  );
  for (const text of ["bad", "slow", "good"]) take(message(`${text}\n`));
  await log.until("message.handled");
  const says = log.events
    .filter(({ event }) => event === "message.failed")
    .map((event) => String(event["says"]));
  expect(says).toEqual([
    expect.stringMatching(/on-message exited with 3: broken$/) as unknown,
    expect.stringMatching(/did not end within 300 ms/) as unknown,
  ]);
  expect(counters.list().map(({ labels, value }) => [labels["outcome"], value])).toEqual([
    ["failed", 2],
    ["done", 1],
  ]);
});

test("the program gets the body on standard input and everything else in its environment", async () => {
  using folder = new TemporaryFolder();
  const out = folder.join("out");
  const { take, log } = handling(
    folder,
    `{ cat; echo; echo "$1 $LATEBIND_MESSAGE_ID|$LATEBIND_CORRELATION_ID|$LATEBIND_CONTENT_TYPE"; echo "$LATEBIND_PROPERTIES"; } > ${out}`,
  );
  take(
    message("body; $(reboot)", {
      messageId: "7\u0000\n$(reboot)",
      contentType: "text/plain",
      properties: { colour: "red\u0000", __proto__x: "1" },
    }),
  );
  await log.until("message.handled");
  expect(readFileSync(out, "utf8")).toBe(
    'body; $(reboot)\n--now 7  $(reboot)||text/plain\n{"colour":"red\\u0000","__proto__x":"1"}\n',
  );
});

test("messages are handed on one at a time, in order; more than can wait are dropped and counted", async () => {
  using folder = new TemporaryFolder();
  const out = folder.join("out");
  const { take, log, counters } = handling(folder, `cat >> ${out}`);
  for (let index = 0; index < 70; index += 1) take(message(`${index};`));
  while (log.names().filter((name) => name === "message.handled").length < 65)
    await new Promise((resolve) => setImmediate(resolve));
  expect(readFileSync(out, "utf8")).toBe(Array.from({ length: 65 }, (_, index) => `${index};`).join(""));
  expect(counters.list()).toContainEqual({
    name: "cloud_messages_handled",
    labels: { outcome: "failed" },
    value: 5,
  });
});
