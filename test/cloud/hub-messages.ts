import { randomUUID } from "node:crypto";
import * as v from "valibot";
import { CloudError } from "./cloud-error.ts";
import { parse } from "./enrollment-spec.ts";
import type { ServerClock } from "./server-clock.ts";

const longestQueue = 50;
const largestMessageBytes = 64 * 1024;
const mostDeliveries = 10;
const defaultLifeSeconds = 3600;
const longestLifeSeconds = 2 * 24 * 3600;

const text = v.pipe(v.string(), v.maxLength(256));
export const messageSpec = v.strictObject({
  body: v.optional(v.string()),
  /** In place of `body`. */
  bodyBase64: v.optional(v.pipe(v.string(), v.base64())),
  messageId: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(128))),
  correlationId: v.optional(text),
  userId: v.optional(text),
  contentType: v.optional(text),
  contentEncoding: v.optional(text),
  /** Null and "" are two things on the wire. */
  properties: v.optional(v.record(v.pipe(v.string(), v.minLength(1)), v.nullable(v.string()))),
  ack: v.optional(v.picklist(["none", "positive", "negative", "full"])),
  timeToLiveSeconds: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(longestLifeSeconds)),
  ),
});

/** A message as an operator gives it; everything may be left out. It lives an hour where nothing is said. */
export type MessageSpec = v.InferInput<typeof messageSpec>;

/** One message in a device's queue. */
export interface CloudMessage extends Omit<MessageSpec, "body" | "bodyBase64"> {
  /** Tells messages apart; senders may use a message ID twice. */
  readonly lockToken: string;
  readonly messageId: string;
  readonly body: Buffer;
  readonly enqueuedAtMs: number;
  readonly expiresAtMs: number;
  readonly deliveryCount: number;
}

type Outcome = "Success" | "Rejected" | "Expired" | "DeliveryCountExceeded" | "Purged";

/** What the sender hears about a message that asked for acknowledgement. */
export interface Feedback {
  readonly originalMessageId: string;
  readonly deviceId: string;
  readonly statusCode: Outcome;
  readonly enqueuedTimeUtc: string;
}

interface Queued {
  message: CloudMessage;
  readonly cancelExpiry: () => void;
}

export interface MessageWatcher {
  queued(deviceId: string, message: CloudMessage): void;
  settled(deviceId: string, message: CloudMessage, outcome: Outcome): void;
}

/**
 * Cloud-to-device messages of one hub: a queue of at most 50 for each device, kept until the device acknowledges, the
 * message expires, or ten deliveries have not helped.
 * @see https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-messages-c2d
 */
export class CloudMessages {
  readonly #clock: ServerClock;
  readonly #queues = new Map<string, Queued[]>();
  readonly #watchers = new Set<MessageWatcher>();
  #feedback: Feedback[] = [];

  constructor(clock: ServerClock) {
    this.#clock = clock;
  }

  watch(watcher: MessageWatcher): void {
    this.#watchers.add(watcher);
  }

  /** @throws CloudError 400 for nonsense, 413 with 413001 above 64 KB, 403 with 403004 when 50 are waiting already. */
  send(deviceId: string, input: MessageSpec): CloudMessage {
    const { body, bodyBase64, ...spec } = parse(messageSpec, input);
    if (body !== undefined && bodyBase64 !== undefined)
      throw new CloudError(400, "body and bodyBase64: one only");
    const bytes = bodyBase64 === undefined ? Buffer.from(body ?? "") : Buffer.from(bodyBase64, "base64");
    if (bytes.length + sizeOf(spec.properties ?? {}) > largestMessageBytes) {
      throw new CloudError(413, "the message is larger than 64 KB", 413_001);
    }
    const queue = this.#queue(deviceId);
    if (queue.length >= longestQueue) {
      throw new CloudError(403, `${longestQueue} messages wait for device ${deviceId}`, 403_004);
    }
    const now = this.#clock.now();
    const message: CloudMessage = {
      ...spec,
      lockToken: randomUUID(),
      messageId: spec.messageId ?? randomUUID(),
      body: bytes,
      enqueuedAtMs: now,
      expiresAtMs: now + (spec.timeToLiveSeconds ?? defaultLifeSeconds) * 1000,
      deliveryCount: 0,
    };
    const cancelExpiry = this.#clock.at(message.expiresAtMs, () =>
      this.#settle(deviceId, message.lockToken, "Expired"),
    );
    queue.push({ message, cancelExpiry });
    for (const watcher of this.#watchers) watcher.queued(deviceId, message);
    return message;
  }

  /** Oldest first, those that are being delivered among them. */
  waiting(deviceId: string): readonly CloudMessage[] {
    return this.#queue(deviceId).map(({ message }) => message);
  }

  /** A delivery begins. @returns false when it is one too many: then the message is gone. */
  beginDelivery(deviceId: string, lockToken: string): boolean {
    const entry = this.#queue(deviceId).find(({ message }) => message.lockToken === lockToken);
    if (entry === undefined) return false;
    if (entry.message.deliveryCount >= mostDeliveries) {
      this.#settle(deviceId, lockToken, "DeliveryCountExceeded");
      return false;
    }
    entry.message = { ...entry.message, deliveryCount: entry.message.deliveryCount + 1 };
    return true;
  }

  /** The device has it. Too late for a message that is gone already. */
  complete(deviceId: string, lockToken: string): void {
    this.#settle(deviceId, lockToken, "Success");
  }

  /** The device does not want it: possible over HTTPS only. */
  reject(deviceId: string, lockToken: string): void {
    this.#settle(deviceId, lockToken, "Rejected");
  }

  /** @returns how many were dropped. */
  purge(deviceId: string): number {
    const waiting = this.waiting(deviceId);
    for (const { lockToken } of waiting) this.#settle(deviceId, lockToken, "Purged");
    return waiting.length;
  }

  /** Everything since the cloud has started, the newest 1000. */
  feedback(): readonly Feedback[] {
    return this.#feedback;
  }

  #settle(deviceId: string, lockToken: string, outcome: Outcome): void {
    const queue = this.#queue(deviceId);
    const at = queue.findIndex(({ message }) => message.lockToken === lockToken);
    const [entry] = at < 0 ? [] : queue.splice(at, 1);
    if (entry === undefined) return;
    entry.cancelExpiry();
    const { message } = entry;
    if (message.ack === "full" || message.ack === (outcome === "Success" ? "positive" : "negative")) {
      const enqueuedTimeUtc = new Date(message.enqueuedAtMs).toISOString();
      const record = { originalMessageId: message.messageId, deviceId, statusCode: outcome, enqueuedTimeUtc };
      this.#feedback = [...this.#feedback.slice(-999), record];
    }
    for (const watcher of this.#watchers) watcher.settled(deviceId, message, outcome);
  }

  #queue(deviceId: string): Queued[] {
    const queue = this.#queues.get(deviceId) ?? [];
    this.#queues.set(deviceId, queue);
    return queue;
  }
}

function sizeOf(properties: Readonly<Record<string, string | null>>): number {
  return Object.entries(properties).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value ?? ""),
    0,
  );
}
