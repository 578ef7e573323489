import type { Channel, DeviceLine } from "./hub-channel.ts";
import type { MethodListener } from "./hub-methods.ts";

const calls = "$iothub/methods/POST/#";
const answerTopic = /^\$iothub\/methods\/res\/(\d+)\/\?\$rid=([^&]+)$/;

/** Direct methods: the device can be called while it subscribes. */
export function createMethodChannel({ hub, journal, line }: DeviceLine): Channel {
  const { clientId } = line;
  const seen = { endpoint: hub.name, clientId };
  const listener: MethodListener = {
    invoke(rid, name, payload) {
      journal.record({ ...seen, kind: "method-call", rid, name });
      line.send(calls, `$iothub/methods/POST/${encodeURIComponent(name)}/?$rid=${rid}`, payload);
    },
  };
  let detach: (() => void) | undefined;
  const stop = (): void => {
    detach?.();
    detach = undefined;
  };
  return {
    filters: [calls],
    acceptsTopic: (topic) => answerTopic.test(topic),
    received({ topic, payload }) {
      const [, status = "", rid = ""] = answerTopic.exec(topic) ?? [];
      const isAwaited = hub.methods.answer(listener, rid, Number(status), payload.toString());
      journal.record({ ...seen, kind: "method-answer", rid, status: Number(status), isAwaited });
    },
    subscribed(filter) {
      if (filter === calls) detach ??= hub.methods.attach(clientId, listener);
    },
    unsubscribed(filter) {
      if (filter === calls) stop();
    },
    closed: stop,
  };
}
