import { describe, expect, test } from "vitest";
import { AgentError } from "../../src/platform/failure.ts";
import { createLog, logLevels, type Log, type LogLevel } from "../../src/platform/log.ts";
import { Secret } from "../../src/platform/secret.ts";

function logTo(level: LogLevel): { readonly log: Log; readonly lines: readonly string[] } {
  const lines: string[] = [];
  return { log: createLog({ write: (line) => lines.push(line) }, level), lines };
}

/** sd-daemon(3): the priorities of syslog, which fall with gravity. */
const priorities: readonly (readonly [LogLevel, number])[] = [
  ["error", 3],
  ["warning", 4],
  ["notice", 5],
  ["info", 6],
  ["debug", 7],
];

test.each(priorities)("%s carries the journal's priority %i in front", (level, priority) => {
  const { log, lines } = logTo("debug");
  log[level]("room.fact", { hub: "h" });
  expect(lines).toEqual([`<${priority}>{"level":"${level}","event":"room.fact","hub":"h"}\n`]);
});

test.each(logLevels)("at level %s everything graver is written and nothing lighter", (level) => {
  const { log, lines } = logTo(level);
  for (const name of logLevels) log[name]("room.fact");
  expect(lines.length).toBe(logLevels.indexOf(level) + 1);
});

test("a changed level holds from the next event on, in both directions", () => {
  const { log, lines } = logTo("notice");
  log.debug("room.one");
  log.setLevel("debug");
  log.debug("room.two");
  log.setLevel("error");
  log.warning("room.three");
  expect(lines.join("")).toBe('<7>{"level":"debug","event":"room.two"}\n');
});

test("one event is one line, whatever the fields hold", () => {
  const { log, lines } = logTo("debug");
  log.notice("room.fact", {
    "a\nb": "one\ntwo\r\nthree\u2028four",
    error: new Error("first\nsecond"),
    list: ["x\ny"],
    nothing: undefined,
  });
  expect(lines).toHaveLength(1);
  expect(lines[0]?.match(/\n/g)).toHaveLength(1);
  expect(lines[0]).not.toContain("\r");
  expect(lines[0]).toMatch(/^<5>\{.*\}\n$/s);
});

test("fields that JSON cannot hold do not stop the line", () => {
  const { log, lines } = logTo("debug");
  const loop: Record<string, unknown> = {};
  loop["self"] = loop;
  log.notice("room.fact", { loop, lone: "\uD800", infinite: Number.POSITIVE_INFINITY });
  log.notice("room.big", { big: 12n });
  expect(lines.map((line) => /"event":"([^"]+)"/.exec(line)?.[1])).toEqual(["room.fact", "room.big"]);
});

test("a secret is not in the line, however deep it lies", () => {
  const { log, lines } = logTo("debug");
  const secret = new Secret("hunter2");
  log.error("room.fact", { secret, deep: { list: [secret] }, words: `it is ${secret.toString()}` });
  expect(lines.join("")).not.toContain("hunter2");
  expect(lines.join("")).toContain('"secret":"[redacted]"');
});

describe("errors", () => {
  test("have code, remedy, message and their causes, but no stack", () => {
    const { log, lines } = logTo("debug");
    const system = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    const error = new AgentError("mqtt/unreachable", "retry", "the port is closed", {
      cause: new Error("in between", { cause: system }),
    });
    log.warning("hub.failed", { error });
    expect(JSON.parse(lines[0]?.slice(3) ?? "")).toEqual({
      level: "warning",
      event: "hub.failed",
      error: {
        code: "mqtt/unreachable",
        remedy: "retry",
        message: "the port is closed",
        cause: { message: "in between", cause: { code: "ECONNREFUSED", message: "connect ECONNREFUSED" } },
      },
    });
  });

  test("that cause themselves end somewhere", () => {
    const { log, lines } = logTo("debug");
    const error = new Error("snake");
    error.cause = error;
    log.error("room.fact", { error });
    expect(lines).toHaveLength(1);
  });
});
