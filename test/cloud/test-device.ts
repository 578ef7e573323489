import { createHmac, randomUUID } from "node:crypto";
import { Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { connect as openClient, type IClientOptions, type IPublishPacket, type MqttClient } from "mqtt";
import type { Cloud } from "./cloud.ts";

/** One message as the device got it. */
interface Received {
  readonly topic: string;
  readonly status: number;
  readonly body: string;
  readonly qos: number;
}

/** A device made of mqtt.js and nothing else, for testing what the cloud puts on the wire. */
export interface TestDevice extends AsyncDisposable {
  readonly client: MqttClient;
  /** Everything received so far, PUBACKs among it, as `puback` or a topic. */
  readonly order: readonly string[];
  /** Publishes with a fresh `$rid` in place of `{rid}` and waits for the answer that carries it. */
  ask(topic: string, body?: string, qos?: 0 | 1): Promise<Received>;
  /** The next message on a topic that starts so, also when it is there already; each is handed out once. */
  next(topicPrefix: string): Promise<Received>;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
}

/** What a device must know of a cloud, wherever that runs. */
export type CloudAddress = Pick<Cloud, "idScope" | "caPem" | "dps" | "hub">;

interface Address {
  readonly host: string;
  readonly port: number;
}

async function connect(
  cloud: CloudAddress,
  { host, port }: Address,
  options: IClientOptions,
): Promise<TestDevice> {
  const settings = {
    protocol: "mqtts",
    host,
    port,
    ca: cloud.caPem,
    reconnectPeriod: 0,
    ...options,
  } as const;
  const client = openClient(`${settings.protocol}://${host}:${settings.port}`, settings);
  const order: string[] = [];
  const inbox: Received[] = [];
  const waiting = new Set<() => void>();
  client.on("packetreceive", ({ cmd }) => {
    if (cmd === "puback") order.push(cmd);
  });
  client.on("message", (topic: string, payload: Buffer, { qos }: IPublishPacket) => {
    order.push(topic);
    const status = Number(/\/res\/(\d+)\//.exec(topic)?.[1]);
    inbox.push({ topic, status, body: payload.toString(), qos });
    for (const wake of waiting) wake();
  });
  const closed = Promise.withResolvers<void>();
  client.once("close", () => closed.resolve());
  // Listening before: a message that waited may come right behind the CONNACK.
  await established(client);
  // An ECONNRESET from the cloud's hard close is what the tests are about, not an accident.
  client.on("error", () => {});
  // A PUBACK on the way would otherwise hold back the next request for the 40 ms of a delayed acknowledgement.
  if (client.stream instanceof Socket) client.stream.setNoDelay(true);

  async function take(wanted: (message: Received) => boolean): Promise<Received> {
    for (;;) {
      const at = inbox.findIndex((message) => wanted(message));
      const [message] = at < 0 ? [] : inbox.splice(at, 1);
      if (message !== undefined) return message;
      const arrival = Promise.withResolvers<void>();
      waiting.add(arrival.resolve);
      await arrival.promise;
      waiting.delete(arrival.resolve);
    }
  }

  return {
    client,
    order,
    closed: closed.promise,
    async ask(topic, body = "", qos = 1) {
      const rid = randomUUID();
      client.publish(topic.replace("{rid}", rid), body, { qos }, () => {});
      return take((message) => message.topic.includes(`$rid=${rid}`));
    },
    next: async (topicPrefix) => take(({ topic }) => topic.startsWith(topicPrefix)),
    [Symbol.asyncDispose]: async () => client.endAsync(true),
  };
}

/** @throws Error with the CONNACK's `code`, or of the socket, or when the connection is closed without a word. */
async function established(client: MqttClient): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const closedSilently = (): void => reject(new Error("closed without a word"));
  client.once("connect", () => resolve());
  client.on("error", reject);
  client.on("close", closedSilently);
  try {
    await promise;
  } catch (error) {
    client.end(true);
    throw error;
  } finally {
    client.off("error", reject);
    client.off("close", closedSilently);
  }
}

/** The CONNACK code of a refused attempt; 0 when it was accepted after all. */
export async function refusalOf(attempt: Promise<TestDevice>): Promise<number> {
  try {
    const device = await attempt;
    await device[Symbol.asyncDispose]();
    return 0;
  } catch (error) {
    if (error instanceof Error && "code" in error && typeof error.code === "number") return error.code;
    throw error;
  }
}

interface TokenOptions {
  readonly resource: string;
  readonly key: string;
  /** Lifetime in seconds from the real now; an hour where left out. */
  readonly lifetimeSeconds?: number;
  /** How the resource is written; percent-encoded where left out. */
  readonly encode?: (resource: string) => string;
  readonly keyName?: string;
}

export function sasToken({
  resource,
  key,
  lifetimeSeconds = 3600,
  encode = encodeURIComponent,
  keyName,
}: TokenOptions): string {
  const sr = encode(resource);
  const se = Math.floor(Date.now() / 1000) + lifetimeSeconds;
  const hmac = createHmac("sha256", Buffer.from(key, "base64")).update(`${sr}\n${se}`).digest("base64");
  const skn = keyName === undefined ? "" : `&skn=${keyName}`;
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(hmac)}&se=${se}${skn}`;
}

type Overrides = IClientOptions &
  Pick<ConnectionOptions, "maxVersion"> & { readonly token?: Partial<TokenOptions> };

/** Connects to DPS; what is not overridden is right. */
export async function connectToDps(
  cloud: CloudAddress,
  registrationId: string,
  key: string,
  { token, ...overrides }: Overrides = {},
): Promise<TestDevice> {
  const resource = `${cloud.idScope}/registrations/${registrationId}`;
  return connect(cloud, cloud.dps, {
    clientId: registrationId,
    username: `${resource}/api-version=2019-03-31&ClientVersion=test%2F1`,
    password: sasToken({ resource, key, keyName: "registration", ...token }),
    clean: true,
    ...overrides,
  });
}

/** Connects to a hub by its name in the cloud; what is not overridden is right. */
export async function connectToHub(
  cloud: CloudAddress,
  hub: string,
  deviceId: string,
  key: string,
  { token, ...overrides }: Overrides = {},
): Promise<TestDevice> {
  const place = cloud.hub(hub);
  return connect(cloud, place, {
    clientId: deviceId,
    username: `${place.host}/${deviceId}/?api-version=2021-04-12&DeviceClientType=test%2F1`,
    password: sasToken({ resource: `${place.host}/devices/${deviceId}`, key, ...token }),
    clean: false,
    ...overrides,
  });
}

export const dpsTopics = {
  answers: "$dps/registrations/res/#",
  register: "$dps/registrations/PUT/iotdps-register/?$rid={rid}",
  poll: (operationId: string): string =>
    `$dps/registrations/GET/iotdps-get-operationstatus/?$rid={rid}&operationId=${operationId}`,
};

export const twinTopics = {
  answers: "$iothub/twin/res/#",
  desired: "$iothub/twin/PATCH/properties/desired/#",
  get: "$iothub/twin/GET/?$rid={rid}",
  patch: "$iothub/twin/PATCH/properties/reported/?$rid={rid}",
};

/** The whole way: register, poll until the answer is final. @returns the final answer's status and parsed body. */
export async function provision(
  cloud: CloudAddress,
  registrationId: string,
  key: string,
): Promise<{ readonly status: number; readonly body: FinalAnswer }> {
  await using device = await connectToDps(cloud, registrationId, key);
  await device.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
  let answer = await device.ask(dpsTopics.register, JSON.stringify({ registrationId }));
  while (answer.status === 202) {
    answer = await device.ask(dpsTopics.poll(parseAnswer(answer.body).operationId ?? ""));
  }
  return { status: answer.status, body: parseAnswer(answer.body) };
}

export interface FinalAnswer {
  readonly operationId?: string;
  readonly status?: string;
  readonly errorCode?: number;
  readonly registrationState?: Readonly<Record<string, unknown>>;
}

export function parseAnswer(body: string): FinalAnswer {
  const answer: unknown = JSON.parse(body);
  if (typeof answer !== "object" || answer === null) throw new Error(`not an object: ${body}`);
  return answer;
}
