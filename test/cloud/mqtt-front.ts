import { Aedes, type AuthenticateError, type Client, type ConnectPacket } from "aedes";
import type { X509Certificate } from "node:crypto";
import { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import type { ClientLine, ConnectVerdict, Conversation, MqttService } from "./mqtt-service.ts";
import type { Journal } from "./journal.ts";

interface MqttFrontOptions {
  /** The name that the journal's events carry. */
  readonly endpoint: string;
  readonly journal: Journal;
  readonly service: MqttService;
}

export interface MqttFront {
  /** @param certificates what the client showed in the TLS handshake beneath, leaf first. */
  accept(stream: Duplex, certificates: readonly X509Certificate[]): void;
  close(): Promise<void>;
}

/** What is known about one connection from CONNECT to its end. */
interface Visit {
  readonly packet: ConnectPacket;
  /** Filter to granted QoS. */
  readonly granted: Map<string, number>;
  conversation?: Conversation;
  /** CONNACK is out. The broker's own `connected` comes a little later, at times after the first SUBSCRIBE. */
  isAnswered: boolean;
  /** Why it was refused or closed. */
  because?: string;
  /** Resolved after CONNACK: nothing may be sent earlier. */
  readonly ready: PromiseWithResolvers<void>;
  lastSent: Promise<void>;
  lastMessageId: number;
  /** By packet identifier, for what was sent with QoS 1 and has not been acknowledged. */
  readonly untaken: Map<number, () => void>;
}

/** Who wants to know about the PUBACK for this payload. */
const takers = new WeakMap<Buffer, () => void>();

/** The hub waits at most 1767 s for a sign of life, whatever the client's keep-alive says: 1.5 times this. */
const longestKeepAliveSeconds = 1178;

/** MQTT 3.1.1 as DPS and IoT Hub speak it: a broker that carries nothing from client to client and retains nothing. */
export async function createMqttFront({ endpoint, journal, service }: MqttFrontOptions): Promise<MqttFront> {
  const visits = new WeakMap<Client, Visit>();
  const shown = new WeakMap<Client, readonly X509Certificate[]>();
  const latest = new Map<string, Client>();
  /** Packets whose retain flag was taken away before the broker could store them, and wills. */
  const retained = new WeakSet();
  const wills = new WeakSet();

  const broker = await Aedes.createBroker({
    drainTimeout: 10_000,
    preConnect(client, packet, callback) {
      // MQTT 3.1 is as unwelcome as 5: the broker answers that one with CONNACK 1.
      if (packet.protocolVersion === 3) packet.protocolVersion = 5;
      if (service.sessions === "none") packet.clean = true;
      const asked = packet.keepalive ?? 0;
      packet.keepalive = asked === 0 ? longestKeepAliveSeconds : Math.min(asked, longestKeepAliveSeconds);
      if (packet.will !== undefined) wills.add(packet.will);
      const ready = Promise.withResolvers<void>();
      visits.set(client, {
        packet,
        granted: new Map(),
        isAnswered: false,
        ready,
        lastSent: ready.promise,
        lastMessageId: 0,
        untaken: new Map(),
      });
      callback(null, true);
    },
    authenticate(client, username, password, callback) {
      const visit = visits.get(client);
      if (visit === undefined) throw new Error("a client was authenticated before its CONNECT");
      const verdict = service.decide({
        clientId: visit.packet.clientId,
        username: username ?? "",
        password: password?.toString(),
        willTopic: visit.packet.will?.topic,
        cleanSession: visit.packet.clean ?? false,
        certificates: shown.get(client) ?? [],
      });
      if (verdict.returnCode !== 0) {
        visit.because = verdict.because;
        recordConnect(client, verdict.returnCode, false);
        const error = refusal(verdict);
        callback(isAuthenticateError(error) ? error : null, false);
        return;
      }
      const previous = latest.get(client.id);
      if (previous !== undefined) because(previous, "another connection took over this client ID");
      latest.set(client.id, client);
      visit.conversation = verdict.open(openLine(client, visit));
      callback(null, true);
    },
    authorizePublish(client, packet, callback) {
      const conversation = client === null ? undefined : visits.get(client)?.conversation;
      if (packet.retain) retained.add(packet);
      packet.retain = false;
      if (packet.qos === 2) callback(new Error("published with QoS 2"));
      else if (conversation?.acceptsTopic(packet.topic) === true) void admit(conversation, packet, callback);
      else callback(new Error(`published to the unknown topic ${packet.topic}`));
    },
    published(packet, client: Client | null, callback) {
      // The PUBACK is out by now: devices exist that fail when the answer overtakes it.
      if (client !== null) {
        visits.get(client)?.conversation?.received({
          topic: packet.topic,
          payload: Buffer.from(packet.payload),
          retain: retained.has(packet),
          isWill: wills.has(packet),
        });
      }
      callback(null);
    },
    authorizeSubscribe(client, subscription, callback) {
      const visit = visits.get(client);
      if (visit?.conversation?.filters.includes(subscription.topic) !== true) {
        // Brought along by a kept session, from a connection that was allowed more: it is left out.
        if (visit?.isAnswered === false) callback(null, null);
        else callback(new Error(`subscribed to the unknown filter ${subscription.topic}`));
        return;
      }
      visit.granted.set(subscription.topic, subscription.qos);
      // A kept session's filters pass through here before CONNACK; only those sent by the client are news.
      if (visit.isAnswered) {
        journal.record({
          endpoint,
          kind: "subscribe",
          clientId: client.id,
          filter: subscription.topic,
          qos: subscription.qos,
        });
      }
      callback(null, subscription);
    },
    authorizeForward(client, packet) {
      const visit = visits.get(client);
      // Before CONNACK the broker replays what an earlier connection left unacknowledged: answers of the past.
      if (visit === undefined || !client.connected) return null;
      if (packet.qos === 0) return packet;
      visit.lastMessageId = (visit.lastMessageId % 65_535) + 1;
      const taken = typeof packet.payload === "string" ? undefined : takers.get(packet.payload);
      if (taken !== undefined) visit.untaken.set(visit.lastMessageId, taken);
      return Object.assign(packet, { messageId: visit.lastMessageId });
    },
  });

  function because(client: Client, text: string): void {
    const visit = visits.get(client);
    if (visit !== undefined) visit.because ??= text;
  }

  function recordConnect(client: Client, returnCode: number, sessionPresent: boolean): void {
    const visit = visits.get(client);
    if (visit !== undefined) visit.isAnswered = true;
    journal.record({
      endpoint,
      kind: "connect",
      clientId: visit?.packet.clientId ?? "",
      returnCode,
      ...(visit?.because === undefined ? {} : { because: visit.because }),
      username: visit?.packet.username ?? "",
      cleanSession: visit?.packet.clean ?? false,
      sessionPresent,
      keepAliveSeconds: visit?.packet.keepalive ?? 0,
    });
  }

  broker.on("connackSent", ({ returnCode = 0, sessionPresent }, client) => {
    // Refusals of the service are in the journal before the client hears of them; the broker's own are not.
    if (returnCode < 2) recordConnect(client, returnCode, sessionPresent);
  });
  broker.on("clientReady", (client) => {
    const visit = visits.get(client);
    for (const filter of visit?.granted.keys() ?? []) visit?.conversation?.subscribed?.(filter);
    visit?.ready.resolve();
  });
  broker.on("subscribe", (subscriptions, client) => {
    for (const { topic } of subscriptions) visits.get(client)?.conversation?.subscribed?.(topic);
  });
  broker.on("keepaliveTimeout", (client) => because(client, "keep-alive exceeded"));
  broker.on("clientError", (client, error) => because(client, error.message));
  broker.on("unsubscribe", (filters, client) => {
    for (const filter of filters) {
      visits.get(client)?.granted.delete(filter);
      visits.get(client)?.conversation?.unsubscribed?.(filter);
    }
  });
  broker.on("clientDisconnect", (client) => {
    const visit = visits.get(client);
    if (latest.get(client.id) === client) latest.delete(client.id);
    journal.record({
      endpoint,
      kind: "disconnect",
      clientId: client.id,
      because: visit?.because ?? "connection lost",
    });
    visit?.conversation?.closed();
  });

  return {
    accept(stream, certificates) {
      const client = broker.handle(stream);
      shown.set(client, certificates);
      watchPackets(client, (packet) => {
        if (packet.cmd === "disconnect") because(client, "client disconnected");
        if (packet.cmd === "puback") acknowledge(visits.get(client), packet.messageId ?? 0);
      });
    },
    async close() {
      const { promise, resolve } = Promise.withResolvers<void>();
      broker.close(resolve);
      await promise;
    },
  };
}

/**
 * Sees each packet before the broker does, and lowers a wish for QoS 2 to 1: the broker would grant it and has no
 * public place to change that.
 */
function watchPackets(client: Client, watch: (packet: InboundPacket) => void): void {
  const parser: unknown = Reflect.get(client, "_parser");
  if (!(parser instanceof EventEmitter)) throw new Error("this broker keeps its parser elsewhere");
  parser.prependListener("packet", (packet: InboundPacket) => {
    for (const subscription of packet.subscriptions ?? []) {
      subscription.qos = Math.min(subscription.qos, 1);
    }
    watch(packet);
  });
}

interface InboundPacket {
  readonly cmd: string;
  readonly messageId?: number;
  readonly subscriptions?: readonly { qos: number }[];
}

function acknowledge(visit: Visit | undefined, messageId: number): void {
  const taken = visit?.untaken.get(messageId);
  visit?.untaken.delete(messageId);
  taken?.();
}

async function admit(
  conversation: Conversation,
  { topic, payload }: { readonly topic: string; readonly payload: string | Buffer },
  callback: (error?: Error | null) => void,
): Promise<void> {
  const say = conversation.admit?.(topic, Buffer.byteLength(payload));
  // Without waiting where nothing is to be waited for: publishes stay in order.
  if (say !== undefined && "then" in say) await say;
  callback(say !== undefined && "because" in say ? new Error(say.because) : null);
}

function openLine(client: Client, visit: Visit): ClientLine {
  return {
    clientId: client.id,
    send(filter, topic, payload, taken) {
      const qos = visit.granted.get(filter);
      if (qos === undefined || client.closed) return false;
      // A buffer of its own: the broker copies the message but not this.
      const bytes = Buffer.from(payload);
      if (taken !== undefined && qos > 0) takers.set(bytes, taken);
      visit.lastSent = sendAfter(visit.lastSent, client, { topic, payload: bytes, qos: qos === 0 ? 0 : 1 });
      if (taken !== undefined && qos === 0) void visit.lastSent.then(taken);
      return true;
    },
    drop(text) {
      visit.because ??= text;
      client.close();
    },
  };
}

/** One after the other: the broker takes a slower QoS 1 for a duplicate when a later QoS 0 overtakes it. */
async function sendAfter(
  previous: Promise<void>,
  client: Client,
  message: { readonly topic: string; readonly payload: Buffer; readonly qos: 0 | 1 },
): Promise<void> {
  await previous;
  const { promise, resolve } = Promise.withResolvers<void>();
  client.publish({ cmd: "publish", ...message, retain: false, dup: false }, () => resolve());
  await promise;
}

function refusal({ returnCode, because }: Exclude<ConnectVerdict, { returnCode: 0 }>): Error {
  return Object.assign(new Error(because), { returnCode });
}

/** The broker's typings name an enum that cannot be had without its declaration being compiled. */
function isAuthenticateError(error: Error): error is AuthenticateError {
  return "returnCode" in error;
}
