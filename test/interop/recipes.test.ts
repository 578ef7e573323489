import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { createSelfSigned } from "../cloud/test-pki.ts";
import { parseAnswer, provision, sasToken } from "../cloud/test-device.ts";

// What Azure's documentation tells people to type, with the local addresses in place of Azure's.

const run = promisify(execFile);
let cloud: Cloud;
let folder: string;
let key: string;
const deviceId = "recipe-1";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "latebind-recipes-"));
  cloud = await startCloud({ pollAfterSeconds: 0, httpsPort: 443 });
  await writeFile(join(folder, "ca.pem"), cloud.caPem);
  key = cloud.levers.enrollments.put({ registrationId: deviceId }).primaryKey;
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const caFile = (): string => join(folder, "ca.pem");
const hubHost = (): string => cloud.hub("test").host;

const tools = { publish: "mosquitto_pub", subscribe: "mosquitto_sub" };

/** The same options for both tools. */
function mosquittoOptions(password: string): readonly string[] {
  return ["-V", "mqttv311", "-p", "8883", "--cafile", caFile(), "-i", deviceId, "-P", password];
}

function hubOptions(): readonly string[] {
  const password = sasToken({ resource: `${hubHost()}/devices/${deviceId}`, key });
  const user = `${hubHost()}/${deviceId}/?api-version=2021-04-12`;
  return ["-h", hubHost(), "-u", user, ...mosquittoOptions(password)];
}

function dpsOptions(): readonly string[] {
  const resource = `${cloud.idScope}/registrations/${deviceId}`;
  const password = sasToken({ resource, key, keyName: "registration" });
  return ["-h", cloud.dps.host, "-u", `${resource}/api-version=2019-03-31`, ...mosquittoOptions(password)];
}

/** The exit code and the printed text of a program that may fail. */
async function outcomeOf(program: string, args: readonly string[]): Promise<{ code: number; text: string }> {
  const child = spawn(program, args);
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await once(child, "close");
  return { code: child.exitCode ?? -1, text };
}

/** One answer over HTTPS, as `curl -i` prints it. */
async function curl(...args: readonly string[]): Promise<{ status: number; body: string }> {
  const headers = ["-H", "Content-Type: application/json", "-H", "Content-Encoding: utf-8"];
  const { stdout } = await run("curl", ["-sS", "-L", "-i", "--cacert", caFile(), ...headers, ...args]);
  const [head = "", body = ""] = stdout.split("\r\n\r\n").slice(-2);
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), body };
}

describe("mosquitto", () => {
  beforeAll(async () => {
    await provision(cloud, deviceId, key);
  });

  test("is refused with code 5 when its password is not the hub's", async () => {
    const args = [
      ...hubOptions(),
      "-P",
      "SharedAccessSignature sr=x",
      "-t",
      `devices/${deviceId}/messages/events/`,
      "-m",
      "x",
    ];
    const { code, text } = await outcomeOf(tools.publish, args);
    expect(code).toBe(5);
    expect(text).toContain("not authorised");
  });

  test("publishes telemetry", async () => {
    const topic = `devices/${deviceId}/messages/events/source=mosquitto&%24.ct=application%2Fjson`;
    const { code } = await outcomeOf(tools.publish, [
      ...hubOptions(),
      "-q",
      "1",
      "-t",
      topic,
      "-m",
      '{"a":1}',
    ]);
    expect(code).toBe(0);
    expect(cloud.levers.telemetry("test", deviceId).at(-1)).toMatchObject({
      body: '{"a":1}',
      properties: { source: "mosquitto", "$.ct": "application/json" },
    });
  });

  test("subscribes to messages from the cloud", async () => {
    const { messages } = cloud.levers.hub("test");
    messages.send(deviceId, { body: "from the cloud", properties: { colour: "red" } });
    const topic = `devices/${deviceId}/messages/devicebound/#`;
    // Without -c the session is clean, and a clean session drops what waits in the queue.
    const { stdout } = await run(tools.subscribe, [
      ...hubOptions(),
      "-c",
      "-q",
      "1",
      "-v",
      "-C",
      "1",
      "-t",
      topic,
    ]);
    expect(stdout).toContain("colour=red from the cloud");
    await cloud.waitFor((event) => event.kind === "message-settled" && event.clientId === deviceId);
    expect(messages.waiting(deviceId)).toEqual([]);
  });

  test("reports, and sees a desired change", async () => {
    const topic = "$iothub/twin/PATCH/properties/reported/?$rid=1";
    expect(
      (await outcomeOf(tools.publish, [...hubOptions(), "-q", "1", "-t", topic, "-m", '{"fan":"on"}'])).code,
    ).toBe(0);
    expect(cloud.levers.twin("test", deviceId).reported.properties).toEqual({ fan: "on" });

    const filter = "$iothub/twin/PATCH/properties/desired/#";
    const { lastSeq } = cloud.journal;
    const watching = run(tools.subscribe, [...hubOptions(), "-C", "1", "-v", "-t", filter]);
    await cloud.waitFor((event) => event.kind === "subscribe" && event.filter === filter, 5000, lastSeq);
    cloud.levers.patchTwin("test", deviceId, { desired: { fan: "off" } });
    expect((await watching).stdout).toMatch(
      /^\$iothub\/twin\/PATCH\/properties\/desired\/\?\$version=\d+ \{"fan":"off"/,
    );
  });

  test("is cut off by DPS for any filter but the one there is", async () => {
    const filter = "$dps/registrations/res/200/#";
    const { lastSeq } = cloud.journal;
    await outcomeOf(tools.subscribe, [...dpsOptions(), "-W", "1", "-t", filter]);
    expect(cloud.journal.events(lastSeq)).toContainEqual(
      expect.objectContaining({ kind: "disconnect", because: `subscribed to the unknown filter ${filter}` }),
    );
  });

  test("subscribes to the answers of DPS", async () => {
    const filter = "$dps/registrations/res/#";
    const { lastSeq } = cloud.journal;
    const watching = spawn(tools.subscribe, [...dpsOptions(), "-t", filter]);
    await cloud.waitFor((event) => event.kind === "subscribe" && event.filter === filter, 5000, lastSeq);
    watching.kill();
    await once(watching, "close");
    await cloud.waitFor(({ kind }) => kind === "disconnect", 5000, lastSeq);
    expect(cloud.journal.events(lastSeq).at(-1)).toMatchObject({ because: "client disconnected" });
  });
});

describe("curl", () => {
  const version = "api-version=2019-03-31";

  test("is told 401 by DPS without any credential", async () => {
    const url = `https://${cloud.dps.host}/${cloud.idScope}/registrations/${deviceId}`;
    const { status, body } = await curl("-X", "PUT", "-d", "{}", `${url}/register?${version}`);
    expect(status).toBe(401);
    expect(parseAnswer(body)).toMatchObject({ errorCode: 401002 });
  });

  test("provisions with a symmetric key and sends telemetry", async () => {
    const resource = `${cloud.idScope}/registrations/${deviceId}`;
    const dpsToken = ["-H", `Authorization: ${sasToken({ resource, key, keyName: "registration" })}`];
    const url = `https://${cloud.dps.host}/${resource}`;
    const registration = ["-X", "PUT", "-d", `{"registrationId":"${deviceId}"}`];
    const { status, body } = await curl(...dpsToken, ...registration, `${url}/register?${version}`);
    expect(status).toBe(202);
    const { operationId = "" } = parseAnswer(body);
    const polled = await curl(...dpsToken, `${url}/operations/${operationId}?${version}`);
    expect(parseAnswer(polled.body)).toMatchObject({
      status: "assigned",
      registrationState: { assignedHub: hubHost() },
    });

    const hubToken = [
      "-H",
      `Authorization: ${sasToken({ resource: `${hubHost()}/devices/${deviceId}`, key })}`,
    ];
    const events = `https://${hubHost()}/devices/${deviceId}/messages/events/?api-version=2020-03-13`;
    expect(await curl(...hubToken, "-X", "POST", "-d", '{"temperature":30}', events)).toMatchObject({
      status: 204,
    });
    expect(cloud.levers.telemetry("test", deviceId).at(-1)).toMatchObject({ body: '{"temperature":30}' });
  });

  test("provisions with a certificate and sends telemetry", async () => {
    const registrationId = "recipe-x509";
    const { certPem, keyPem } = await createSelfSigned(registrationId);
    await writeFile(join(folder, "cert.pem"), certPem);
    await writeFile(join(folder, "key.pem"), keyPem);
    cloud.levers.enrollments.put({ registrationId, attestation: { type: "x509", primary: certPem } });
    const certificate = ["--cert", join(folder, "cert.pem"), "--key", join(folder, "key.pem")];
    const url = `https://${cloud.dps.host}/${cloud.idScope}/registrations/${registrationId}`;
    const registration = ["-X", "PUT", "-d", `{"registrationId":"${registrationId}"}`];
    const { body } = await curl(...certificate, ...registration, `${url}/register?${version}`);
    const polled = await curl(
      ...certificate,
      `${url}/operations/${parseAnswer(body).operationId}?${version}`,
    );
    expect(parseAnswer(polled.body)).toMatchObject({ status: "assigned" });
    const events = `https://${hubHost()}/devices/${registrationId}/messages/events/?api-version=2020-03-13`;
    expect(await curl(...certificate, "-X", "POST", "-d", "{}", events)).toMatchObject({ status: 204 });
  });
});
