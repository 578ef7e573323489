import type { Cloud } from "./cloud.ts";
import { connectToDps, dpsTopics, parseAnswer, type FinalAnswer } from "./test-device.ts";
import { httpsDevice } from "./test-dps-https.ts";

/** An answer of DPS as any transport tells it. */
export interface Told {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: FinalAnswer;
}

/** What a device can ask DPS over MQTT and HTTPS alike. */
export interface DpsClient extends AsyncDisposable {
  register(body?: object): Promise<Told>;
  poll(operationId: string): Promise<Told>;
  /** Registers and polls until the answer is final. */
  provision(body?: object): Promise<Told>;
}

export type Transport = "MQTT" | "HTTPS";

interface Credential {
  readonly key?: string;
  readonly cert?: string;
  readonly certKey?: string;
}

/** Connects with a key or a certificate. */
export async function connectClient(
  cloud: Cloud,
  transport: Transport,
  registrationId: string,
  credential: Credential,
): Promise<DpsClient> {
  return transport === "MQTT"
    ? overMqtt(cloud, registrationId, credential)
    : overHttps(cloud, registrationId, credential);
}

async function overMqtt(cloud: Cloud, id: string, { key, cert, certKey }: Credential): Promise<DpsClient> {
  const shown = cert === undefined || certKey === undefined ? {} : { cert, key: certKey, password: "" };
  const device = await connectToDps(cloud, id, key ?? "", shown);
  await device.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
  const ask = async (topic: string, body: string): Promise<Told> => {
    const answer = await device.ask(topic, body);
    const retryAfter = /&retry-after=(.+)$/.exec(answer.topic)?.[1];
    return { status: answer.status, retryAfter, body: parseAnswer(answer.body) };
  };
  return withProvision({
    register: async (body = {}) => ask(dpsTopics.register, JSON.stringify(body)),
    poll: async (operationId) => ask(dpsTopics.poll(operationId), " "),
    [Symbol.asyncDispose]: async () => device[Symbol.asyncDispose](),
  });
}

async function overHttps(cloud: Cloud, id: string, { key, cert, certKey }: Credential): Promise<DpsClient> {
  const shown = cert === undefined || certKey === undefined ? {} : { cert, key: certKey };
  const device = httpsDevice(cloud, id, cert === undefined ? key : undefined, shown);
  const told = async (asked: ReturnType<typeof device.register>): Promise<Told> => {
    const { status, headers, body } = await asked;
    return { status, retryAfter: headers["retry-after"], body: parseAnswer(body) };
  };
  return withProvision({
    register: async (body = {}) => told(device.register(body)),
    poll: async (operationId) => told(device.poll(operationId)),
    async [Symbol.asyncDispose]() {
      // Every request had a connection of its own.
    },
  });
}

function withProvision(client: Omit<DpsClient, "provision">): DpsClient {
  return {
    ...client,
    async provision(body) {
      let told = await client.register(body);
      while (told.status === 202) told = await client.poll(told.body.operationId ?? "");
      return told;
    },
  };
}
