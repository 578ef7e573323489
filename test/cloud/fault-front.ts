import type { FaultDesk } from "./fault-desk.ts";
import { layFaultLine } from "./fault-line.ts";
import type { MqttFront } from "./mqtt-front.ts";
import { resetBeneath } from "./tls-endpoint.ts";

/** The same front with a fault line laid to each of its connections. */
export function withFaults(front: MqttFront, desk: FaultDesk, endpoint: string): MqttFront {
  return {
    ...front,
    accept(stream, certificates) {
      const watch = desk.watch(endpoint);
      front.accept(layFaultLine({ stream, watch, reset: () => resetBeneath(stream) }), certificates);
    },
  };
}
