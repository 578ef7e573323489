/** The packets of MQTT 3.1.1 in the order of their type numbers (section 2.2.1); `reserved` is 0 and 15. */
export const packetNames = [
  "reserved",
  "connect",
  "connack",
  "publish",
  "puback",
  "pubrec",
  "pubrel",
  "pubcomp",
  "subscribe",
  "suback",
  "unsubscribe",
  "unsuback",
  "pingreq",
  "pingresp",
  "disconnect",
] as const;
type PacketName = (typeof packetNames)[number];

/** One MQTT packet as it is on the wire. */
export interface Frame {
  readonly name: PacketName;
  readonly bytes: Buffer;
}

/**
 * Cuts a stream of bytes into whole packets; a packet that is not complete stays inside until its rest comes.
 * What cannot be MQTT comes out as one `reserved` frame, and so does all that follows: judging it is the broker's task.
 */
export function createFrameSplitter(): (chunk: Buffer) => readonly Frame[] {
  let rest: Buffer = Buffer.alloc(0);
  let isLost = false;
  return (chunk) => {
    const frames: Frame[] = [];
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length > 0) {
      const length = isLost ? "no MQTT" : frameLength(rest);
      if (length === "incomplete") break;
      if (length === "no MQTT") isLost = true;
      const end = length === "no MQTT" ? rest.length : length;
      frames.push({ name: isLost ? "reserved" : nameOf(rest), bytes: rest.subarray(0, end) });
      rest = rest.subarray(end);
    }
    return frames;
  };
}

/** The client ID of a CONNECT (section 3.1). */
export function clientIdOf({ bytes }: Frame): string {
  const afterProtocolName = bodyStart(bytes) + 2 + readLength(bytes, bodyStart(bytes));
  return readText(bytes, afterProtocolName + 4);
}

/** The topic of a PUBLISH, the filters of a SUBSCRIBE; nothing for other packets. */
export function topicsOf({ name, bytes }: Frame): readonly string[] {
  if (name === "publish") return [readText(bytes, bodyStart(bytes))];
  if (name !== "subscribe") return [];
  const filters: string[] = [];
  for (let at = bodyStart(bytes) + 2; at < bytes.length; at += 3 + readLength(bytes, at)) {
    filters.push(readText(bytes, at));
  }
  return filters;
}

/** 0 for a PUBLISH of QoS 0, and for packets that carry none. */
export function packetIdOf({ name, bytes }: Frame): number {
  const at = bodyStart(bytes);
  if (name === "publish") return qosOf(bytes) === 0 ? 0 : readLength(bytes, at + 2 + readLength(bytes, at));
  return bytes.length >= at + 2 && name !== "connect" && name !== "connack" ? readLength(bytes, at) : 0;
}

/** The same PUBLISH with another payload. */
export function withPayload({ bytes }: Frame, payload: Buffer): Buffer {
  const at = bodyStart(bytes);
  const payloadStart = at + 2 + readLength(bytes, at) + (qosOf(bytes) === 0 ? 0 : 2);
  return assemble(bytes.readUInt8(0), bytes.subarray(at, payloadStart), payload);
}

export function connack(returnCode: number): Buffer {
  return assemble(0x20, Buffer.from([0, returnCode]));
}

/** One return code for each filter; 0x80 is a refusal. */
export function suback(packetId: number, returnCodes: readonly number[]): Buffer {
  return assemble(0x90, twoBytes(packetId), Buffer.from(returnCodes));
}

export function puback(packetId: number): Buffer {
  return assemble(0x40, twoBytes(packetId));
}

/** A packet ID makes it QoS 1. */
export function publish(topic: string, payload: Buffer, packetId?: number): Buffer {
  const head = [twoBytes(Buffer.byteLength(topic)), Buffer.from(topic)];
  return packetId === undefined
    ? assemble(0x30, ...head, payload)
    : assemble(0x32, ...head, twoBytes(packetId), payload);
}

function nameOf(bytes: Buffer): PacketName {
  return packetNames[bytes.readUInt8(0) >> 4] ?? "reserved";
}

function qosOf(bytes: Buffer): number {
  return (bytes.readUInt8(0) >> 1) & 3;
}

function frameLength(bytes: Buffer): number | "incomplete" | "no MQTT" {
  let remaining = 0;
  for (let at = 1; at <= 4; at += 1) {
    if (at >= bytes.length) return "incomplete";
    const digit = bytes.readUInt8(at);
    remaining += (digit & 0x7f) * 128 ** (at - 1);
    if (digit < 0x80) return at + 1 + remaining <= bytes.length ? at + 1 + remaining : "incomplete";
  }
  return "no MQTT";
}

/** Behind the fixed header: the first byte and the remaining length of one to four bytes. */
function bodyStart(bytes: Buffer): number {
  let at = 1;
  while (at < 4 && bytes.readUInt8(at) >= 0x80) at += 1;
  return at + 1;
}

/** 0 where a damaged packet ends too early. */
function readLength(bytes: Buffer, at: number): number {
  return at + 2 <= bytes.length ? bytes.readUInt16BE(at) : 0;
}

function readText(bytes: Buffer, at: number): string {
  return bytes.toString("utf8", at + 2, at + 2 + readLength(bytes, at));
}

function twoBytes(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function assemble(firstByte: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const header = [firstByte];
  let remaining = body.length;
  do {
    header.push((remaining % 128) + (remaining >= 128 ? 0x80 : 0));
    remaining = Math.floor(remaining / 128);
  } while (remaining > 0);
  return Buffer.concat([Buffer.from(header), body]);
}
