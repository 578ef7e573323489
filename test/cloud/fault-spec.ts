import * as v from "valibot";
import { parse } from "./enrollment-spec.ts";
import { packetNames } from "./fault-frames.ts";

/** Numbers of RFC 8446 6.2 and RFC 5246 7.2. */
export const alertNumbers = {
  handshake_failure: 40,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  unknown_ca: 48,
  access_denied: 49,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  unrecognized_name: 112,
  certificate_required: 116,
} as const;

/** The keys of the above, as a list that keeps its types. */
export const alertNames = [
  "handshake_failure",
  "bad_certificate",
  "unsupported_certificate",
  "certificate_revoked",
  "certificate_expired",
  "certificate_unknown",
  "unknown_ca",
  "access_denied",
  "protocol_version",
  "insufficient_security",
  "internal_error",
  "unrecognized_name",
  "certificate_required",
] as const satisfies readonly (keyof typeof alertNumbers)[];

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const waitMs = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(3_600_000));
const octet = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255));
const direction = v.picklist(["fromDevice", "toDevice"]);
const operation = v.picklist([
  "register",
  "poll",
  "lookup",
  "twin-get",
  "twin-patch",
  "telemetry",
  "method-answer",
  "issue-certificate",
]);

const when = v.variant("at", [
  /** A TCP connection has come in; nothing was read yet. */
  v.strictObject({ at: v.literal("connection"), port: v.optional(count) }),
  /** `nth` counts within a connection what else matches; left out: each. `topic` is how a topic or filter begins. */
  v.strictObject({
    at: v.literal("packet"),
    packet: v.picklist(packetNames),
    direction: v.optional(direction),
    nth: v.optional(count),
    topic: v.optional(v.string()),
  }),
  /** So many MQTT bytes have passed in this direction. */
  v.strictObject({ at: v.literal("byte"), byte: count, direction }),
  /** What the device asks for, over MQTT or HTTPS. */
  v.strictObject({ at: v.literal("request"), operation, nth: v.optional(count) }),
  /** Any packet after CONNECT, with this probability; the cloud's fault seed decides. */
  v.strictObject({
    at: v.literal("chance"),
    probability: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
    direction: v.optional(direction),
  }),
]);

const act = v.variant("act", [
  v.strictObject({
    act: v.literal("tls"),
    fault: v.picklist(["expired", "not-yet-valid", "wrong-name", "unknown-ca", "old-protocol"]),
  }),
  /** A fatal alert in answer to the ClientHello, or to the flight that may carry the client's certificate. */
  v.strictObject({
    act: v.literal("alert"),
    alert: v.picklist(alertNames),
    after: v.picklist(["hello", "certificate"]),
  }),
  /** `http` speaks HTTP where TLS is expected, `tls` speaks HTTP inside TLS under a CA of its own; both redirect. */
  v.strictObject({ act: v.literal("portal"), portal: v.picklist(["http", "tls"]) }),
  v.strictObject({ act: v.literal("connack"), returnCode: octet }),
  v.strictObject({ act: v.literal("suback"), returnCode: octet }),
  /** `body` is sent as it is; left out, it is the documented error with `errorCode` (status and three zeros). */
  v.strictObject({
    act: v.literal("answer"),
    status: v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(599)),
    errorCode: v.optional(v.pipe(v.number(), v.integer())),
    body: v.optional(v.string()),
    retryAfterSeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  }),
  /** The payload of a PUBLISH to the device becomes this. */
  v.strictObject({ act: v.literal("payload"), payload: v.string() }),
  /** These bytes in place of the packet. */
  v.strictObject({
    act: v.literal("bytes"),
    hex: v.pipe(v.string(), v.regex(/^([0-9a-f]{2})*$/i, "no hex")),
  }),
  v.strictObject({ act: v.literal("swallow") }),
  v.strictObject({ act: v.literal("duplicate") }),
  /** From here on nothing passes in this direction (both where left out), and nobody hears of a close. */
  v.strictObject({ act: v.literal("silence"), direction: v.optional(direction) }),
  /** `close` ends TLS and TCP in order, `reset` sends a TCP RST. The packet itself passes only with `deliver`. */
  v.strictObject({
    act: v.literal("drop"),
    how: v.picklist(["close", "reset"]),
    deliver: v.optional(v.boolean()),
  }),
  /** This packet and all behind it wait. */
  v.strictObject({ act: v.literal("delay"), delayMs: waitMs }),
  /** From here on `bytes` at a time, each in a TLS record of its own, `everyMs` apart. */
  v.strictObject({ act: v.literal("trickle"), bytes: count, everyMs: waitMs }),
]);

export const faultRule = v.pipe(
  v.strictObject({
    /** `dps` or a hub's name; left out: all of them. */
    endpoint: v.optional(v.string()),
    clientId: v.optional(v.string()),
    when,
    do: act,
    /** 1 where left out. */
    times: v.optional(v.union([count, v.literal("always")])),
  }),
  v.check((input) => fits(input.when, input.do), "this cannot be done at such a moment"),
  v.check(
    (input) => input.when.at !== "connection" || input.clientId === undefined,
    "who connects is not known yet at a connection",
  ),
);

export type FaultRule = v.InferInput<typeof faultRule>;
export type FaultMoment = v.InferOutput<typeof when>;
export type FaultAct = v.InferOutput<typeof act>;
export type Direction = v.InferOutput<typeof direction>;
export type Operation = v.InferOutput<typeof operation>;
/** What can be done before TLS, to packets, and in place of an answer. */
export type ConnectionAct = Extract<FaultAct, { act: "tls" | "alert" | "portal" | "drop" | "silence" }>;
export type LineAct = Exclude<FaultAct, { act: "tls" | "alert" | "portal" }>;
export type RequestAct = Extract<FaultAct, { act: "answer" | "drop" | "silence" | "delay" }>;

/** @throws CloudError 400 with every problem and its path. */
export function parseFaultRule(input: unknown): v.InferOutput<typeof faultRule> {
  return parse(faultRule, input);
}

const flow = ["drop", "silence", "delay", "trickle"];

function fits(moment: FaultMoment, { act }: FaultAct): boolean {
  switch (moment.at) {
    case "connection":
      return ["tls", "alert", "portal", "drop", "silence"].includes(act);
    case "byte":
      return flow.includes(act);
    case "request":
      return ["answer", "drop", "silence", "delay"].includes(act);
    case "chance":
      return [...flow, "swallow", "duplicate"].includes(act);
    case "packet":
      if (act === "connack") return moment.packet === "connect";
      if (act === "suback") return moment.packet === "subscribe";
      if (act === "payload") return moment.packet === "publish" && moment.direction === "toDevice";
      return [...flow, "swallow", "duplicate", "bytes"].includes(act);
  }
}
