import { Duplex } from "node:stream";
import { answerBody, answerTopic } from "./fault-answer.ts";
import type { FaultWatch } from "./fault-desk.ts";
import * as frames from "./fault-frames.ts";
import { FaultLane } from "./fault-lane.ts";
import type { Direction, LineAct } from "./fault-spec.ts";

interface FaultLineOptions {
  /** Towards the device. */
  readonly stream: Duplex;
  readonly watch: FaultWatch;
  /** Sends a TCP RST. */
  readonly reset: () => void;
}

/** Everything that is behind this many bytes not yet taken by the device waits in the broker. */
const backlogBytes = 65_536;

/** The stream that the broker gets in place of the device's: the same bytes, except where a fault strikes. */
export function layFaultLine({ stream, watch, reset }: FaultLineOptions): Duplex {
  const ended = new AbortController();
  const split = { fromDevice: frames.createFrameSplitter(), toDevice: frames.createFrameSplitter() };
  /** QoS 1 packets that the line has made itself: the broker must not hear of their acknowledgements. */
  const ownPacketIds = new Set<number>();
  let lastOwnPacketId = 65_536;
  let isHalfOpen = false;

  const line = new Duplex({
    read: () => void stream.resume(),
    write(chunk: Buffer, _encoding, done) {
      take("toDevice", chunk);
      if (lanes.toDevice.backlog < backlogBytes) done();
      else lanes.toDevice.afterwards(done);
    },
    final(done) {
      lanes.toDevice.afterwards(() => {
        if (!isHalfOpen) stream.end();
        done();
      });
    },
    destroy(error, done) {
      // A refusal is written and the connection destroyed in one go: what is on its way must still arrive.
      lanes.toDevice.afterwards(() => {
        if (!isHalfOpen) stream.destroy();
        done(error);
      });
    },
  });
  const lanes = {
    toDevice: new FaultLane({
      write: (bytes) => !stream.writable || stream.write(bytes),
      sink: stream,
      strike: (act) => actOn(act, undefined, "toDevice"),
      watch: (length) => watch.bytes("toDevice", length),
      ended: ended.signal,
    }),
    fromDevice: new FaultLane({
      write: (bytes) => {
        if (!line.push(bytes)) stream.pause();
        return true;
      },
      strike: (act) => actOn(act, undefined, "fromDevice"),
      watch: (length) => watch.bytes("fromDevice", length),
      ended: ended.signal,
    }),
  };

  stream.on("data", (chunk: Buffer) => take("fromDevice", chunk));
  // The broker reads what came before the end, however the end came.
  stream.once("end", () => lanes.fromDevice.afterwards(() => line.push(null)));
  stream.on("error", () => {});
  stream.once("close", () => {
    ended.abort();
    lanes.fromDevice.afterwards(() => line.push(null));
  });
  return line;

  function take(direction: Direction, chunk: Buffer): void {
    for (const frame of split[direction](chunk)) {
      if (direction === "fromDevice" && frame.name === "puback") {
        if (ownPacketIds.delete(frames.packetIdOf(frame))) continue;
      }
      const act = watch.packet(frame, direction);
      if (act === undefined) lanes[direction].send(frame.bytes);
      else actOn(act, frame, direction);
    }
  }

  function actOn(act: LineAct, frame: frames.Frame | undefined, direction: Direction): void {
    const lane = lanes[direction];
    const pass = (): void => {
      if (frame !== undefined) lane.send(frame.bytes);
    };
    switch (act.act) {
      case "swallow":
        return;
      case "duplicate":
        pass();
        pass();
        return;
      case "bytes":
        lane.send(Buffer.from(act.hex, "hex"));
        return;
      case "payload":
        if (frame !== undefined) lane.send(frames.withPayload(frame, Buffer.from(act.payload)));
        return;
      case "delay":
        lane.wait(act.delayMs);
        pass();
        return;
      case "trickle":
        lane.trickle(act.bytes, act.everyMs);
        pass();
        return;
      case "silence":
        silence(act.direction);
        return;
      case "drop":
        if (act.deliver === true) pass();
        drop(act.how);
        return;
      case "connack":
        lanes.toDevice.send(frames.connack(act.returnCode));
        drop("close");
        return;
      case "suback":
        if (frame !== undefined) refuseFilters(frame, act.returnCode);
        return;
      case "answer":
        if (frame !== undefined) answer(frame, act);
    }
  }

  function silence(direction: Direction | undefined): void {
    if (direction !== "toDevice") lanes.fromDevice.mute();
    if (direction === "fromDevice") return;
    lanes.toDevice.mute();
    isHalfOpen = true;
  }

  function drop(how: "close" | "reset"): void {
    lanes.fromDevice.afterwards(() => lanes.fromDevice.mute());
    lanes.toDevice.afterwards(() => {
      lanes.toDevice.mute();
      if (how === "reset") reset();
      else stream.end(() => stream.destroy());
    });
  }

  function refuseFilters(frame: frames.Frame, returnCode: number): void {
    const codes = frames.topicsOf(frame).map(() => returnCode);
    lanes.toDevice.send(frames.suback(frames.packetIdOf(frame), codes));
  }

  /** In place of the service, which never hears of the request; with the request's QoS. */
  function answer(frame: frames.Frame, act: Extract<LineAct, { act: "answer" }>): void {
    const packetId = frames.packetIdOf(frame);
    if (packetId !== 0) lanes.toDevice.send(frames.puback(packetId));
    const topic = answerTopic(frames.topicsOf(frame)[0] ?? "", act);
    if (topic === undefined) return;
    const payload = Buffer.from(answerBody(act));
    if (packetId === 0) {
      lanes.toDevice.send(frames.publish(topic, payload));
      return;
    }
    // Counted from the far end: the broker starts anywhere and would have to send thousands to meet these.
    lastOwnPacketId -= 1;
    ownPacketIds.add(lastOwnPacketId);
    lanes.toDevice.send(frames.publish(topic, payload, lastOwnPacketId));
  }
}
