import type { Hub } from "./hub.ts";
import { converseWithDevice, type DeviceConversation } from "./hub-conversation.ts";
import { judgeHubLogin } from "./hub-login.ts";
import type { Journal } from "./journal.ts";
import type { ClientLine, ConnectVerdict, Conversation, MqttService } from "./mqtt-service.ts";
import type { ServerClock } from "./server-clock.ts";

interface HubOverMqttOptions {
  readonly hub: Hub;
  readonly journal: Journal;
  readonly clock: ServerClock;
  /** How long a connection outlives its token. */
  readonly tokenGraceMs: number;
}

interface Connection {
  readonly line: ClientLine;
  readonly conversation: DeviceConversation;
}

/** The hub's device side over MQTT: who may connect, and whom to tell what happens in the hub. */
export function serveHubOverMqtt({ hub, journal, clock, tokenGraceMs }: HubOverMqttOptions): MqttService {
  const connections = new Map<string, Connection>();
  const endpoint = hub.name;
  hub.listen({
    revoked: (deviceId, because) => connections.get(deviceId)?.line.drop(because),
    desiredChanged: (deviceId, patch, version) =>
      connections.get(deviceId)?.conversation.pushDesired(patch, version),
  });
  hub.messages.watch({
    queued(clientId, { messageId }) {
      journal.record({ endpoint, kind: "message-queued", clientId, messageId });
      connections.get(clientId)?.conversation.deliverMessages();
    },
    settled: (clientId, { messageId }, outcome) =>
      journal.record({ endpoint, kind: "message-settled", clientId, messageId, outcome }),
  });
  hub.issuance.watch((deviceId) => connections.get(deviceId)?.conversation.deliverCertificates());

  return {
    sessions: "kept",
    decide(request): ConnectVerdict {
      // The one refusal that asks the device to come back later.
      if (!hub.throttle.takesConnect()) return { returnCode: 3, because: "too many connects per second" };
      const login = judgeHubLogin(hub, request, clock.now());
      // The service answers 5 whatever is wrong; the reason goes to the journal only.
      if (login.status === "refused") return { returnCode: 5, because: login.because };
      const { deviceId, tokenExpiresAtMs } = login;
      const open = (line: ClientLine): Conversation => {
        // A clean session has no past.
        if (request.cleanSession) hub.messages.purge(deviceId);
        const conversation = converseWithDevice({ hub, journal, clock, line, login });
        const connection = { line, conversation };
        connections.set(deviceId, connection);
        const expire = (): void => line.drop("token expired");
        const cancel =
          tokenExpiresAtMs === undefined ? undefined : clock.at(tokenExpiresAtMs + tokenGraceMs, expire);
        return {
          ...conversation,
          closed() {
            cancel?.();
            conversation.closed();
            // The successor with the same ID opens before its predecessor is closed.
            if (connections.get(deviceId) === connection) connections.delete(deviceId);
          },
        };
      };
      return { returnCode: 0, open };
    },
  };
}
