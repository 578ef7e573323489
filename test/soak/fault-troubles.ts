import { alertNames, type FaultAct, type FaultMoment } from "../cloud/fault-spec.ts";
import type { Layer, Scene, Trouble } from "./trouble.ts";

/* Everything that the cloud's faults can do, at any endpoint. */

const endpoints = ["dps", "test", "production"] as const;

/** A rule that strikes up to three times and is gone when it is mended. */
function fault(
  layer: Layer,
  name: string,
  moment: (scene: Scene) => FaultMoment,
  act: (scene: Scene) => FaultAct,
): Trouble {
  return {
    name,
    layer,
    strike: (scene) => {
      const { faults } = scene.cloud;
      const rule = faults.add({
        endpoint: scene.pick(endpoints),
        when: moment(scene),
        do: act(scene),
        times: scene.pick([1, 2, 3]),
      });
      // Who is content does not connect, and meets no fault of connecting.
      if (scene.random() < 0.5) scene.gateway.inputs.tell({ kind: "network-changed", because: "the soak" });
      return () => {
        if (faults.list().some(({ id }) => id === rule.id)) faults.remove(rule.id);
      };
    },
  };
}

const slow = (trouble: Trouble): Trouble => ({ ...trouble, isSlow: true });
const connection = () => ({ at: "connection" }) as const;
const packet =
  (name: "connect" | "subscribe" | "publish" | "puback" | "pingresp") =>
  ({ pick }: Scene) =>
    ({ at: "packet", packet: name, direction: pick(["fromDevice", "toDevice"]) }) as const;
const connect = () => ({ at: "packet", packet: "connect" }) as const;
const subscribe = () => ({ at: "packet", packet: "subscribe" }) as const;
const toDevice = () => ({ at: "packet", packet: "publish", direction: "toDevice" }) as const;
const anyPacket = ({ pick }: Scene) => ({ at: "chance", probability: pick([0.05, 0.2]) }) as const;
const someByte = ({ pick, random }: Scene) =>
  ({
    at: "byte",
    byte: 1 + Math.floor(random() * 400),
    direction: pick(["fromDevice", "toDevice"]),
  }) as const;
const request = ({ pick }: Scene) =>
  ({ at: "request", operation: pick(["register", "poll", "twin-get", "twin-patch"]) }) as const;

const certificateFaults = ["expired", "not-yet-valid", "wrong-name", "unknown-ca", "old-protocol"] as const;
const statuses = [400, 401, 403, 404, 412, 429, 500, 503, 504] as const;
const garbage = ["", "{", "[]", "null", '{"status":"assigned"}', '{"desired":7}'] as const;

export const faultTroubles: readonly Trouble[] = [
  fault("tcp", "reset before TLS", connection, () => ({ act: "drop", how: "reset" })),
  fault("tcp", "closed before TLS", connection, () => ({ act: "drop", how: "close" })),
  slow(fault("tcp", "silent before TLS", connection, () => ({ act: "silence" }))),
  fault("tcp", "reset at a byte", someByte, () => ({ act: "drop", how: "reset" })),
  fault("tcp", "closed after a packet", anyPacket, () => ({ act: "drop", how: "close", deliver: true })),
  fault("tcp", "slow", anyPacket, () => ({ act: "trickle", bytes: 7, everyMs: 1 })),
  fault("tcp", "delayed", anyPacket, () => ({ act: "delay", delayMs: 50 })),
  slow(fault("tcp", "half-open", anyPacket, () => ({ act: "silence" }))),
  fault("tls", "a bad certificate", connection, ({ pick }) => ({
    act: "tls",
    fault: pick(certificateFaults),
  })),
  fault("tls", "an alert", connection, ({ pick }) => ({
    act: "alert",
    alert: pick(alertNames),
    after: pick(["hello", "certificate"]),
  })),
  fault("tls", "a captive portal", connection, ({ pick }) => ({
    act: "portal",
    portal: pick(["http", "tls"]),
  })),
  fault("mqtt", "CONNECT refused", connect, ({ pick }) => ({
    act: "connack",
    returnCode: pick([1, 2, 3, 4, 5, 128, 255]),
  })),
  fault("mqtt", "SUBSCRIBE refused", subscribe, () => ({ act: "suback", returnCode: 128 })),
  slow(fault("mqtt", "no PUBACK", packet("puback"), () => ({ act: "swallow" }))),
  fault("mqtt", "a packet twice", anyPacket, () => ({ act: "duplicate" })),
  fault("mqtt", "no MQTT at all", toDevice, () => ({ act: "bytes", hex: "f000ffff" })),
  fault("mqtt", "reset at a publish", packet("publish"), () => ({ act: "drop", how: "reset" })),
  fault("service", "an error status", request, ({ pick }) => ({ act: "answer", status: pick(statuses) })),
  fault("service", "asked for patience", request, () => ({
    act: "answer",
    status: 429,
    retryAfterSeconds: 20,
  })),
  fault("service", "an answer that says nothing", request, ({ pick }) => ({
    act: "answer",
    status: 200,
    body: pick(garbage),
  })),
  fault("service", "a garbled answer", toDevice, ({ pick }) => ({ act: "payload", payload: pick(garbage) })),
  fault("service", "reset at a request", request, () => ({ act: "drop", how: "reset" })),
  slow(fault("service", "no answer", request, () => ({ act: "silence" }))),
];
