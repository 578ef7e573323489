import type { Channel, DeviceLine } from "./hub-channel.ts";
import type { CloudMessage } from "./hub-messages.ts";
import { renderPropertyBag } from "./property-bag.ts";

interface MessageChannel extends Channel {
  deliver(): void;
}

/**
 * Cloud-to-device messages: each is sent once over one connection, and again over the next until it was acknowledged. The
 * PUBACK completes it; where the device subscribed with QoS 0, sending does.
 */
export function createMessageChannel({ hub, journal, line }: DeviceLine): MessageChannel {
  const { clientId } = line;
  const filter = `devices/${clientId}/messages/devicebound/#`;
  const sent = new Set<string>();
  let isListening = false;

  function deliver(): void {
    if (!isListening) return;
    for (const message of hub.messages.waiting(clientId)) {
      const { lockToken, messageId, deliveryCount } = message;
      if (sent.has(lockToken) || !hub.messages.beginDelivery(clientId, lockToken)) continue;
      sent.add(lockToken);
      journal.record({
        endpoint: hub.name,
        kind: "message-sent",
        clientId,
        messageId,
        deliveryCount: deliveryCount + 1,
      });
      const topic = `devices/${clientId}/messages/devicebound/${renderBag(clientId, message)}`;
      line.send(filter, topic, message.body, () => hub.messages.complete(clientId, lockToken));
    }
  }

  return {
    filters: [filter],
    acceptsTopic: () => false,
    subscribed(granted) {
      if (granted !== filter) return;
      isListening = true;
      deliver();
    },
    unsubscribed(given) {
      if (given === filter) isListening = false;
    },
    deliver,
  };
}

/** System properties first, under the short names of the wire. */
function renderBag(deviceId: string, message: CloudMessage): string {
  const { messageId, correlationId, userId, contentType, contentEncoding, ack } = message;
  const expiry =
    message.timeToLiveSeconds === undefined ? undefined : new Date(message.expiresAtMs).toISOString();
  const system = {
    "$.mid": messageId,
    "$.to": `/devices/${deviceId}/messages/deviceBound`,
    "$.cid": correlationId,
    "$.uid": userId,
    "$.ct": contentType,
    "$.ce": contentEncoding,
    "$.exp": expiry,
    "iothub-ack": ack,
  };
  const given = Object.entries(system).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value]],
  );
  return renderPropertyBag({ ...Object.fromEntries(given), ...message.properties });
}
