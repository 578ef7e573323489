import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { selfSigned } from "../identity/device-pki.ts";
import { LoginCounter } from "../identity/login-counter.ts";
import { SoftHsm, softHsmModule } from "../identity/soft-hsm.ts";
import { ManualClock } from "../manual-clock.ts";
import { Gateway } from "./gateway.ts";

/*
 * What a person sees while a token is away, locked or too open, and that the agent heals by itself. Waiting is simulated.
 */
const minute = 60_000;
const device = { label: "device", id: "01" };
let cloud: Cloud;
let hsm: SoftHsm;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});
beforeEach(() => {
  hsm = new SoftHsm();
});
afterEach(() => {
  hsm[Symbol.dispose]();
});

function connects(gateway: Gateway): number {
  const isOurs = (clientId: unknown) => clientId === gateway.registrationId;
  return cloud.journal
    .events()
    .filter((event) => event.kind === "connect" && event.endpoint === "test" && isOurs(event.clientId))
    .length;
}

/** A gateway with a symmetric key in the token, enrolled. */
function withSecret(clock: ManualClock, custody?: "open", module: string = softHsmModule): Gateway {
  const secret = randomBytes(32);
  hsm.addSecret(secret, device, custody);
  const gateway = new Gateway(cloud, { clock, uris: { key: hsm.uri("object=device", module) } });
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: secret.toString("base64"),
    hub: "test",
  });
  return gateway;
}

/** Ends the present wait, whatever it is for. */
async function passWait(clock: ManualClock): Promise<void> {
  await clock.someoneSleeps();
  clock.advance(clock.nextIn() ?? 0);
}

test("a pulled token costs no session: status names the token's error before the renewal, and its return heals", async () => {
  const clock = new ManualClock();
  await using gateway = withSecret(clock);
  await gateway.start();
  await gateway.connected();
  const before = connects(gateway);

  hsm.unplug();
  clock.advance(55 * minute);
  await gateway.until(() => gateway.lastHealth.includes("; warning: "), "status tells");
  expect(gateway.lastHealth).toMatch(
    /^connected to .*; warning: there is no token label "gateway".*Tokens found: none.*C_\w+: CKR_\w+ \[identity\/token-missing\]$/,
  );
  expect(connects(gateway)).toBe(before);

  hsm.plugIn();
  await passWait(clock);
  await gateway.until(() => connects(gateway) === before + 1, "it connected with a new access token");
  await gateway.until(() => !gateway.lastHealth.includes("; warning: "), "status is clean again");
});

test("with a certificate a pulled token costs no session either", async () => {
  const clock = new ManualClock();
  const id = `gw-${randomBytes(4).toString("hex")}`;
  const credential = await selfSigned(id);
  hsm.addKeyPair(credential.keyPem, device);
  const attestation = { type: "x509", primary: credential.certPem } as const;
  cloud.levers.enrollments.put({ registrationId: id, attestation, hub: "test" });
  const uris = { key: hsm.uri("object=device") };
  await using gateway = new Gateway(cloud, { clock, registrationId: id, credential, uris });
  await gateway.start();
  await gateway.connected();
  const before = connects(gateway);

  hsm.unplug();
  clock.advance(6 * 60 * minute);
  await gateway.until(() => gateway.lastHealth.includes("[identity/token-missing]"), "status tells");
  expect(gateway.lastHealth).toMatch(/^connected to /);

  hsm.plugIn();
  await passWait(clock);
  await gateway.until(() => !gateway.lastHealth.includes("; warning: "), "status is clean again");
  expect(connects(gateway)).toBe(before);
});

test("a wrong PIN costs one try in the agent's whole life; status says where the PIN is, and a better one heals", async () => {
  using counter = new LoginCounter();
  const clock = new ManualClock();
  await using gateway = withSecret(clock, undefined, counter.module);
  hsm.writePin("9999");
  await gateway.start();
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    await gateway.until(() => gateway.failures().length === attempt, "it tried");
    if (attempt < 5) await passWait(clock);
  }
  expect(new Set(gateway.failures())).toEqual(new Set(["identity/pin-rejected"]));
  expect(gateway.lastHealth).toMatch(/^not connected: the token "gateway" .* refused the PIN in \S+\/pin/);
  expect(counter.logins()).toEqual(["CKR_PIN_INCORRECT"]);

  hsm.writePin("1234");
  await passWait(clock);
  await gateway.connected();
  expect(counter.logins()).toEqual(["CKR_PIN_INCORRECT", "CKR_OK"]);
  expect(JSON.stringify(gateway.lines)).not.toContain("9999");
});

test("a key that could be copied out of its token is a warning in the status", async () => {
  await using gateway = withSecret(new ManualClock(), "open");
  await gateway.start();
  await gateway.connected();
  expect(gateway.lastHealth).toMatch(/; warning: the key "device" in the token "gateway" .*CKA_EXTRACTABLE/);
});
