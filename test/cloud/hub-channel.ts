import type { Hub } from "./hub.ts";
import type { HubLogin } from "./hub-login.ts";
import type { Journal } from "./journal.ts";
import type { ClientLine, Publication } from "./mqtt-service.ts";
import type { ServerClock } from "./server-clock.ts";

/** One connected device and the hub it talks to. */
export interface DeviceLine {
  readonly hub: Hub;
  readonly journal: Journal;
  readonly clock: ServerClock;
  readonly line: ClientLine;
  readonly login: HubLogin;
}

/** One subject of a device's conversation with its hub. */
export interface Channel {
  readonly filters: readonly string[];
  acceptsTopic(topic: string): boolean;
  /** Gets only what was published to its own topics. */
  received?(publication: Publication): void;
  subscribed?(filter: string): void;
  unsubscribed?(filter: string): void;
  closed?(): void;
}
