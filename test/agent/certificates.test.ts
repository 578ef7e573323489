import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { selfSigned, type Credential } from "../identity/device-pki.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

/* Certificates that fail, end or are exchanged. Waiting is simulated, the conversation is real. */

const hour = 60 * 60_000;
let cloud: Cloud;
let line: Credential;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0 });
  const factory = await (await selfSigned("Root")).issue("Factory", { isAuthority: true });
  line = await factory.issue("Line", { isAuthority: true });
  cloud.levers.enrollments.putGroup({
    groupId: "factory",
    attestation: { type: "x509", signingCertificates: [factory.certPem] },
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

function newId(): string {
  return `gw-${randomBytes(4).toString("hex")}`;
}

async function start(clock: ManualClock, credential: Credential, registrationId: string): Promise<Gateway> {
  const gateway = new Gateway(cloud, { registrationId, credential, clock });
  await gateway.start();
  return gateway;
}

function events(kind: "connect" | "register", registrationId: string): number {
  return cloud.journal.events().filter((event) => event.kind === kind && event.clientId === registrationId)
    .length;
}

async function goOn(gateway: Gateway, clock: ManualClock): Promise<void> {
  await clock.someoneSleeps();
  clock.advance(clock.nextIn() ?? 0);
  await gateway.connected();
}

test.each<[string, string, (id: string) => Promise<Pick<Credential, "chainPem" | "keyPem">>]>([
  ["another key", "identity/certificate-key-mismatch", async (id) => mixed(await line.issue(id), id)],
  ["an end in the past", "identity/certificate-expired", async (id) => line.issue(id, { toDays: -1 })],
  [
    "a beginning in the future",
    "identity/certificate-not-yet-valid",
    async (id) => line.issue(id, { fromDays: 1 }),
  ],
  ["no name", "identity/certificate-name", async () => line.issue("", { subject: "O=Plant" })],
  ["a name that DPS does not take", "identity/no-registration-id", async () => line.issue("gerät 7")],
])(
  "a certificate with %s is found before anything is sent, and mended without a restart",
  async (_, code, make) => {
    const [clock, id] = [new ManualClock(), newId()];
    const before = cloud.journal.lastSeq;
    const credential = await make(id);
    await using gateway = new Gateway(cloud, { registrationId: id, credential, clock });
    await gateway.start();
    await gateway.until(() => gateway.failures().length === 1, "the identity was refused");
    expect(gateway.failures()).toEqual([code]);
    expect(gateway.lastHealth).toContain(`[${code}]; next: open the identity at`);
    expect(cloud.journal.lastSeq).toBe(before);

    gateway.writeCredential(await line.issue(id));
    await goOn(gateway, clock);
    expect(gateway.site()).toEqual({ name: "Hall 7" });
  },
);

async function mixed({ chainPem }: Credential, id: string): Promise<Pick<Credential, "chainPem" | "keyPem">> {
  const { keyPem } = await selfSigned(id);
  return { chainPem, keyPem };
}

test("a leaf without the intermediates that its group needs is refused by DPS, and the message says what to add", async () => {
  const [clock, id] = [new ManualClock(), newId()];
  const { certPem, chainPem, keyPem } = await line.issue(id);
  const credential = { chainPem: certPem, keyPem };
  await using gateway = new Gateway(cloud, { registrationId: id, credential, clock });
  await gateway.start();
  await gateway.until(() => gateway.failures().length === 1, "DPS refused");
  expect(gateway.failures()).toEqual(["provisioning/unauthorized"]);
  expect(gateway.lastHealth).toMatch(
    /CA certificate not found.*hold the intermediates below the enrolled authority/,
  );

  gateway.writeCredential({ chainPem, keyPem });
  await goOn(gateway, clock);
});

test("a certificate that was exchanged is taken up in a running session, with DPS asked again", async () => {
  const [clock, id] = [new ManualClock(), newId()];
  await using gateway = await start(clock, await line.issue(id), id);
  await gateway.connected();
  gateway.writeCredential(await line.issue(id, { toDays: 20 }));
  clock.advance(6 * hour);
  await gateway.until(() => gateway.failures().length === 1, "it noticed");
  await clock.someoneSleeps();
  clock.advance(1);
  await gateway.until(() => gateway.lastHealth.includes("; warning: "), "it connected with the new one");
  expect(gateway.failures()).toEqual(["identity/changed"]);
  expect(events("register", id)).toBe(2);
  expect(gateway.lastHealth).toMatch(/; warning: the certificate in \S+ expires on \S+: renew it$/);
});

test("a session needs no renewal: it stays the same for a day, and looks at its certificate meanwhile", async () => {
  const [clock, id] = [new ManualClock(), newId()];
  await using gateway = await start(clock, await line.issue(id), id);
  await gateway.connected();
  const before = events("connect", id);
  for (let look = 1; look <= 4; look += 1) {
    clock.advance(6 * hour);
    await gateway.until(() => gateway.events("twin.fetched").length === look + 1, "it went on");
    await gateway.connected();
  }
  expect(events("connect", id)).toBe(before);
  expect(gateway.failures()).toEqual([]);
});

test("a key that went missing costs no session: status tells, and the file's return heals", async () => {
  const [clock, id] = [new ManualClock(), newId()];
  const credential = await line.issue(id);
  await using gateway = await start(clock, credential, id);
  await gateway.connected();
  const before = events("connect", id);
  gateway.writeKey("");
  clock.advance(6 * hour);
  await gateway.until(() => gateway.lastHealth.includes("; warning: "), "status tells");
  expect(gateway.lastHealth).toMatch(/^connected to .*; warning: .*\[identity\/key-malformed\]$/);

  gateway.writeCredential(credential);
  await clock.someoneSleeps();
  clock.advance(5 * 60_000);
  await gateway.until(() => !gateway.lastHealth.includes("; warning: "), "status is clean again");
  expect(events("connect", id)).toBe(before);
  expect(gateway.lastHealth).toMatch(/^connected to /);
});

test("a symmetric key that went missing before its token ends costs no session either", async () => {
  const clock = new ManualClock();
  await using gateway = new Gateway(cloud, { clock });
  const { registrationId, key: primaryKey } = gateway;
  cloud.levers.enrollments.put({ registrationId, primaryKey });
  await gateway.start();
  await gateway.connected();
  gateway.writeKey("");
  clock.advance(55 * 60_000);
  await gateway.until(() => gateway.lastHealth.includes("; warning: "), "status tells");
  const before = events("connect", registrationId);

  gateway.writeKey(gateway.key);
  await clock.someoneSleeps();
  clock.advance(5 * 60_000);
  await gateway.until(
    () => events("connect", registrationId) === before + 1,
    "it connected with a new token",
  );
  await gateway.connected();
  expect(gateway.failures()).toEqual(["identity/key-malformed"]);
});

test("no private key is ever logged, not even at debug level", async () => {
  const [clock, id] = [new ManualClock(), newId()];
  const credential = await line.issue(id);
  await using gateway = await start(clock, credential, id);
  await gateway.connected();
  const output = JSON.stringify(gateway.lines);
  const body = credential.keyPem.split("\n")[1] ?? "";
  expect(body).toHaveLength(64);
  expect(output).toContain(id);
  expect(output).not.toContain(body);
  expect(output).not.toContain("PRIVATE KEY");
});
