import { createCertificateChannel } from "./hub-certificate-channel.ts";
import type { DeviceLine } from "./hub-channel.ts";
import { createMessageChannel } from "./hub-message-channel.ts";
import { createMethodChannel } from "./hub-method-channel.ts";
import { createTelemetryChannel, telemetrySize } from "./hub-telemetry-channel.ts";
import { createTwinChannel } from "./hub-twin-channel.ts";
import type { JsonObject } from "./json.ts";
import type { Conversation } from "./mqtt-service.ts";

const largestMessageBytes = 256 * 1024;

/** What a device says to its hub and hears from it, and what the hub may want to say of its own accord. */
export interface DeviceConversation extends Conversation {
  pushDesired(patch: JsonObject, version: number): void;
  /** New ones, where the device listens; else they wait until it does. */
  deliverMessages(): void;
  deliverCertificates(): void;
}

/** Puts the channels together. Each topic and filter belongs to one of them; what belongs to none closes the connection. */
export function converseWithDevice(device: DeviceLine): DeviceConversation {
  const twin = createTwinChannel(device);
  const messages = createMessageChannel(device);
  const certificates = createCertificateChannel(device);
  const telemetry = createTelemetryChannel(device);
  const channels = [twin, createMethodChannel(device), messages, certificates, telemetry];
  const { hub, line } = device;
  return {
    filters: channels.flatMap(({ filters }) => filters),
    acceptsTopic: (topic) => channels.some((channel) => channel.acceptsTopic(topic)),
    admit(topic, payloadBytes) {
      const isTelemetry = telemetry.acceptsTopic(topic);
      const size = payloadBytes + (isTelemetry ? telemetrySize(line.clientId, topic) : 0);
      if (size > largestMessageBytes) return { because: "published more than 256 KB" };
      return isTelemetry ? hub.throttle.publish() : undefined;
    },
    received(publication) {
      // Deleted between the packet's arrival and its turn: the connection is being dropped.
      if (!hub.has(line.clientId)) return;
      channels.find((channel) => channel.acceptsTopic(publication.topic))?.received?.(publication);
    },
    subscribed(filter) {
      for (const channel of channels) channel.subscribed?.(filter);
    },
    unsubscribed(filter) {
      for (const channel of channels) channel.unsubscribed?.(filter);
    },
    closed() {
      for (const channel of channels) channel.closed?.();
    },
    pushDesired: (patch, version) => twin.push(patch, version),
    deliverMessages: () => messages.deliver(),
    deliverCertificates: () => certificates.deliver(),
  };
}
