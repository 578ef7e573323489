import type { JsonValue } from "./json.ts";

/**
 * What was seen on the wire, or done to it. `endpoint` is `dps` or a hub's name; `clientId` is the MQTT client ID.
 * Passwords and keys are never in here.
 */
export type CloudEvent = { readonly seq: number; readonly atMs: number; readonly endpoint: string } & (
  | {
      readonly kind: "connect";
      readonly clientId: string;
      /** The CONNACK's code; 0 is success. */
      readonly returnCode: number;
      /** Why it was refused: for people, the wire does not carry it. */
      readonly because?: string;
      readonly username: string;
      readonly cleanSession: boolean;
      readonly sessionPresent: boolean;
      readonly keepAliveSeconds: number;
    }
  | { readonly kind: "disconnect"; readonly clientId: string; readonly because: string }
  | { readonly kind: "subscribe"; readonly clientId: string; readonly filter: string; readonly qos: number }
  | {
      readonly kind: "register";
      readonly clientId: string;
      readonly status: number;
      readonly errorCode?: number;
      readonly registrationStatus?: string;
      readonly payload?: JsonValue;
    }
  | {
      readonly kind: "poll";
      readonly clientId: string;
      readonly operationId: string;
      readonly status: number;
      readonly errorCode?: number;
      readonly registrationStatus?: string;
    }
  | {
      readonly kind: "lookup";
      readonly clientId: string;
      readonly status: number;
      readonly errorCode?: number;
      readonly registrationStatus?: string;
    }
  | {
      readonly kind: "https";
      readonly method: string;
      /** Without its query. */
      readonly path: string;
      readonly status: number;
    }
  | { readonly kind: "twin-get"; readonly clientId: string; readonly status: number }
  | {
      readonly kind: "twin-patch";
      readonly clientId: string;
      readonly status: number;
      readonly version?: number;
      readonly because?: string;
      readonly body: string;
    }
  | {
      readonly kind: "desired-push";
      readonly clientId: string;
      readonly version: number;
      readonly patch: JsonValue;
    }
  | {
      readonly kind: "method-call";
      readonly clientId: string;
      readonly rid: string;
      readonly name: string;
    }
  | {
      readonly kind: "method-answer";
      readonly clientId: string;
      readonly rid: string;
      readonly status: number;
      /** False for an answer that nobody waits for, or waits for any more. */
      readonly isAwaited: boolean;
    }
  | { readonly kind: "message-queued"; readonly clientId: string; readonly messageId: string }
  | {
      readonly kind: "message-sent";
      readonly clientId: string;
      readonly messageId: string;
      readonly deliveryCount: number;
    }
  | {
      readonly kind: "message-settled";
      readonly clientId: string;
      readonly messageId: string;
      readonly outcome: string;
    }
  | {
      /** A request for a certificate and its answers; 202 is the first of two. */
      readonly kind: "certificate";
      readonly clientId: string;
      readonly rid: string;
      readonly status: number;
      readonly errorCode?: number;
    }
  | {
      readonly kind: "telemetry";
      readonly clientId: string;
      readonly properties: Readonly<Record<string, string>>;
      readonly body: string;
    }
  | { readonly kind: "line"; readonly up: boolean }
  | { readonly kind: "tls-failure" | "https-failure"; readonly because: string }
  | {
      readonly kind: "fault";
      readonly clientId?: string;
      /** The number of the rule that struck. */
      readonly fault: number;
      readonly moment: string;
      readonly act: string;
    }
  /** A CONNECT at one of the HTTP proxies; `none` when it was not answered. */
  | { readonly kind: "proxy"; readonly target: string; readonly status: number | "none" }
  /** Chances are drawn from this: give it to another cloud to repeat them. */
  | { readonly kind: "fault-seed"; readonly seed: string }
);

/** An event before the journal has numbered and timed it. */
export type CloudEventFacts = CloudEvent extends infer E
  ? E extends CloudEvent
    ? Omit<E, "seq" | "atMs">
    : never
  : never;

/** Ordered and kept for the life of the cloud; the oldest half goes when 20 000 are reached. */
export class Journal {
  readonly #now: () => number;
  readonly #log: (event: CloudEvent) => void;
  readonly #watchers = new Set<(event: CloudEvent) => void>();
  #events: CloudEvent[] = [];
  #lastSeq = 0;

  constructor(now: () => number, log: (event: CloudEvent) => void) {
    this.#now = now;
    this.#log = log;
  }

  record(facts: CloudEventFacts): void {
    this.#lastSeq += 1;
    const event: CloudEvent = { seq: this.#lastSeq, atMs: this.#now(), ...facts };
    if (this.#events.length >= 20_000) this.#events = this.#events.slice(10_000);
    this.#events.push(event);
    this.#log(event);
    for (const watcher of this.#watchers) watcher(event);
  }

  /** The number of the newest event: pass it to `waitFor` or `events` to look only at what comes after. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  events(afterSeq = 0): readonly CloudEvent[] {
    return this.#events.filter(({ seq }) => seq > afterSeq);
  }

  /**
   * Resolves with the first event after `afterSeq` that satisfies the predicate, also when it has already happened.
   * @throws Error after `timeoutMs`, with the newest events in its message.
   */
  async waitFor(
    predicate: (event: CloudEvent) => boolean,
    timeoutMs = 5000,
    afterSeq = 0,
  ): Promise<CloudEvent> {
    const seen = this.events(afterSeq).find((event) => predicate(event));
    if (seen !== undefined) return seen;
    const { promise, resolve, reject } = Promise.withResolvers<CloudEvent>();
    const watcher = (event: CloudEvent): void => {
      if (event.seq > afterSeq && predicate(event)) resolve(event);
    };
    const timer = setTimeout(() => {
      const tail = this.#events.slice(-8).map((event) => `  ${JSON.stringify(event)}`);
      reject(new Error(`the cloud did not see it within ${timeoutMs} ms; last events:\n${tail.join("\n")}`));
    }, timeoutMs);
    this.#watchers.add(watcher);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    }
  }
}
