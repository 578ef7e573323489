import type { Channel, DeviceLine } from "./hub-channel.ts";
import { parsePropertyBag } from "./property-bag.ts";

/** Device-to-cloud messages, kept with their properties for inspection. */
export function createTelemetryChannel({ hub, journal, clock, line }: DeviceLine): Channel {
  const { clientId } = line;
  const events = eventsOf(clientId);
  return {
    filters: [],
    acceptsTopic: (topic) => topic.startsWith(events),
    received({ topic, payload, retain, isWill }) {
      const body = payload.toString();
      const properties = {
        ...parsePropertyBag(topic.slice(events.length)),
        // The hub retains nothing: it says that it was asked to.
        ...(retain ? { "mqtt-retain": "true" } : {}),
        ...(isWill ? { "iothub-MessageType": "Will" } : {}),
      };
      journal.record({ endpoint: hub.name, kind: "telemetry", clientId, properties, body });
      hub.keepTelemetry(clientId, { atMs: clock.now(), properties, body });
    },
  };
}

/** What the properties in the topic add to a message's size: user names and values, and system values. */
export function telemetrySize(deviceId: string, topic: string): number {
  const properties = parsePropertyBag(topic.slice(eventsOf(deviceId).length));
  return Object.entries(properties).reduce(
    (sum, [name, value]) =>
      sum + (name.startsWith("$.") ? 0 : Buffer.byteLength(name)) + Buffer.byteLength(value),
    0,
  );
}

function eventsOf(deviceId: string): string {
  return `devices/${deviceId}/messages/events/`;
}
