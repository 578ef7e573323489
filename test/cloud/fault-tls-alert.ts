import { createCipheriv, createHmac } from "node:crypto";
import type { Socket } from "node:net";
import { duplexPair } from "node:stream";
import { createServer } from "node:tls";
import type { ServerCredentials } from "./certificates.ts";

interface AlertOptions {
  /** The alert's number; its level is fatal. */
  readonly alert: number;
  /** Which flight of the client it answers. */
  readonly after: "hello" | "certificate";
  readonly credentials: ServerCredentials;
}

const recordType = { alert: 21, handshake: 22, applicationData: 23 };
const clientHello = 1;

/**
 * Ends a handshake by any alert, with TLS 1.2 and 1.3. Node's server cannot be told to: it lets every certificate through the
 * handshake and closes the connection afterwards.
 */
export function endByAlert(socket: Socket, { alert, after, credentials }: AlertOptions): void {
  socket.on("error", () => {});
  if (after === "hello") {
    socket.once("data", () => socket.end(plainAlert(alert)));
    return;
  }
  const [outside, inside] = duplexPair();
  let trafficSecret: Buffer | undefined;
  const server = createServer({
    cert: credentials.certPem,
    key: credentials.keyPem,
    minVersion: "TLSv1.2",
    requestCert: true,
    // Suites with the hash and the cipher that `sealedAlert` knows.
    ciphers: "TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
  });
  server.on("keylog", (line: Buffer) => {
    const [label, , secret = ""] = line.toString().trim().split(" ");
    if (label === "SERVER_TRAFFIC_SECRET_0") trafficSecret = Buffer.from(secret, "hex");
  });
  server.on("tlsClientError", () => {});
  outside.on("data", (chunk: Buffer) => socket.write(chunk));
  socket.once("close", () => outside.destroy());
  let rest: Buffer = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    rest = Buffer.concat([rest, chunk]);
    for (let record = firstRecord(rest); record !== undefined; record = firstRecord(rest)) {
      rest = rest.subarray(record.length);
      if (!isSecondFlight(record)) {
        outside.write(record);
        continue;
      }
      socket.off("data", onData).resume();
      socket.end(trafficSecret === undefined ? plainAlert(alert) : sealedAlert(alert, trafficSecret));
      return;
    }
  };
  socket.on("data", onData);
  server.emit("connection", inside);
}

function firstRecord(bytes: Buffer): Buffer | undefined {
  const length = bytes.length < 5 ? Number.POSITIVE_INFINITY : 5 + bytes.readUInt16BE(3);
  return bytes.length < length ? undefined : bytes.subarray(0, length);
}

/** Whatever is encrypted already (TLS 1.3), and what follows the hello in the clear (TLS 1.2). */
function isSecondFlight(record: Buffer): boolean {
  const type = record.readUInt8(0);
  return (
    type === recordType.applicationData ||
    (type === recordType.handshake && record.readUInt8(5) !== clientHello)
  );
}

function plainAlert(alert: number): Buffer {
  return Buffer.from([recordType.alert, 3, 3, 0, 2, 2, alert]);
}

/** The server's first record under its application keys: sequence number 0 (RFC 8446 5.2 and 7.3). */
function sealedAlert(alert: number, trafficSecret: Buffer): Buffer {
  const plain = Buffer.from([2, alert, recordType.alert]);
  const tagLength = 16;
  const header = Buffer.from([recordType.applicationData, 3, 3, 0, plain.length + tagLength]);
  const iv = expandLabel(trafficSecret, "iv", 12);
  const cipher = createCipheriv("aes-128-gcm", expandLabel(trafficSecret, "key", 16), iv);
  cipher.setAAD(header);
  return Buffer.concat([header, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** HKDF-Expand-Label of RFC 8446 7.1 without context, for lengths within one hash. */
function expandLabel(secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])]);
  return createHmac("sha256", secret).update(info).digest().subarray(0, length);
}
