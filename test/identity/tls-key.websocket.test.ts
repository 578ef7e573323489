import { createPublicKey } from "node:crypto";
import { writeFileSync } from "node:fs";
import { TLSSocket } from "node:tls";
import { inspect } from "node:util";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { KeyLocation } from "../../src/config/config.ts";
import { openTlsKey } from "../../src/identity/open.ts";
import { findKey } from "../../src/identity/pkcs11/token-objects.ts";
import { tokenSign } from "../../src/identity/pkcs11/token-sign.ts";
import { Pkcs11Tokens } from "../../src/identity/pkcs11/tokens.ts";
import { registerTlsKey, type TlsKey } from "../../src/identity/tls-signer/tls-signer.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { textMatching } from "../cloud/matchers.ts";
import { connectToDps, dpsTopics, type TestDevice } from "../cloud/test-device.ts";
import { selfSigned, type Credential } from "./device-pki.ts";
import { noTpm } from "./no-tpm.ts";
import { SoftHsm } from "./soft-hsm.ts";
import { tokenLocation } from "./token-location.ts";

/*
 * MQTT over WebSocket as mqtt.js makes it, which hands `wsOptions` to `ws` and that to `node:tls`: the key is named there
 * as it would be for MQTT over TLS.
 */

type Version = "TLSv1.2" | "TLSv1.3";

const versions: readonly Version[] = ["TLSv1.2", "TLSv1.3"];
const id = "gw-7";
const device = { label: "device", id: "0a" };
let cloud: Cloud;
let credential: Credential;
let other: Credential;
let hsm: SoftHsm;
let tokens: Pkcs11Tokens;

beforeAll(async () => {
  credential = await selfSigned(id);
  other = await selfSigned(id);
});
beforeEach(async () => {
  cloud = await startCloud({ assigningAnswers: 0 });
  hsm = new SoftHsm();
  tokens = new Pkcs11Tokens();
  const attestation = { type: "x509", primary: credential.certPem } as const;
  cloud.levers.enrollments.put({ registrationId: id, hub: "test", attestation });
});
afterEach(async () => {
  tokens[Symbol.dispose]();
  hsm[Symbol.dispose]();
  await cloud[Symbol.asyncDispose]();
});

function publicKeyOf({ key }: Credential): Buffer {
  return createPublicKey(key).export({ type: "spki", format: "der" });
}

function inToken({ keyPem }: Credential): KeyLocation {
  hsm.addKeyPair(keyPem, device);
  return tokenLocation(hsm.uri("id=%0a;type=private"));
}

function inFile({ keyPem }: Credential): KeyLocation {
  const path = `${hsm.folder}/device.key`;
  writeFileSync(path, keyPem, { mode: 0o600 });
  return { scheme: "file", locations: [{ path, isCredential: false }] };
}

/** Shows the enrolled certificate; `spoke` gets the version of TLS once the WebSocket is open. */
async function connect(
  key: string,
  version: Version,
  spoke: (protocol: string | null) => void = () => {},
): Promise<TestDevice> {
  return connectToDps(cloud, id, "", {
    password: "",
    protocol: "wss",
    port: cloud.dps.httpsPort,
    path: "/$iothub/websocket",
    wsOptions: {
      ca: cloud.caPem,
      cert: credential.certPem,
      key,
      minVersion: version,
      maxVersion: version,
      finishRequest(request, webSocket) {
        webSocket.once("upgrade", ({ socket }) => {
          if (socket instanceof TLSSocket) spoke(socket.getProtocol());
        });
        request.end();
      },
    },
  });
}

/** Passes the key in the token off as the one in the certificate: OpenSSL would not even try a key that says it is another. */
async function passOff(location: KeyLocation): Promise<TlsKey> {
  if (location.scheme !== "pkcs11") throw new Error("not in a token");
  return tokens.use(location, (session) => {
    const key = findKey(session, location);
    const shape = { kind: "ec", bits: 256 } as const;
    return registerTlsKey(publicKeyOf(credential), (request) => tokenSign(session, key, shape, request));
  });
}

describe.each(versions)("over a WebSocket with %s", (version) => {
  test("the cloud refuses the certificate with a signature of another key of its type in a token", async () => {
    using key = await passOff(inToken(other));
    await expect(connect(key.tlsOptions.key, version)).rejects.toBeInstanceOf(Error);
    const failed = await cloud.waitFor(({ kind }) => kind === "tls-failure", 5000);
    expect(failed).toMatchObject({ endpoint: "dps", because: textMatching(/ECDSA digest_verify_final/) });
    // The token did sign.
    expect(key.failure).toBeUndefined();
    expect(cloud.journal.events()).toEqual([failed]);
  });

  test.each([
    ["token", inToken],
    ["file", inFile],
  ])("another key of the certificate's type in a %s gets no connection", async (_, place) => {
    using key = await openTlsKey(place(other), publicKeyOf(credential), { tokens, tpm: noTpm });
    const result: unknown = await connect(key.tlsKey.reveal(), version).catch((error: unknown) => error);
    // OpenSSL has this in its message for a key of its own, and beneath the message for one of a provider.
    expect(inspect(result)).toContain("key values mismatch");
    expect(cloud.journal.events()).toEqual([]);
  });

  test.each([
    ["token that does not let it out", inToken],
    ["file", inFile],
  ])("a device whose key is in a %s is assigned", async (_, place) => {
    const location = place(credential);
    using key = await openTlsKey(location, publicKeyOf(credential), { tokens, tpm: noTpm });
    expect(key.warnings).toEqual([]);
    expect(key.tlsKey.reveal().includes("PRIVATE KEY")).toBe(location.scheme === "file");
    const spoken: (string | null)[] = [];
    await using connection = await connect(key.tlsKey.reveal(), version, (protocol) => spoken.push(protocol));
    expect(spoken).toEqual([version]);
    await connection.client.subscribeAsync(dpsTopics.answers, { qos: 1 });
    await connection.ask(dpsTopics.register, JSON.stringify({ registrationId: id }));
    const registered = cloud.journal.events().filter(({ kind }) => kind === "register");
    expect(registered).toMatchObject([{ clientId: id, status: 200, registrationStatus: "assigned" }]);
    expect(key.failure).toBeUndefined();
  });
});
