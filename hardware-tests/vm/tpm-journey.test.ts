import { afterAll, beforeAll, expect, test } from "vitest";
import type { CloudEvent } from "../../test/cloud/journal.ts";
import { TpmGateway } from "./tpm-gateway.ts";

/*
 * The Debian packages on a machine with systemd and a TPM behind its kernel: the way of a device, with reboots and power cuts.
 */
/** Twenty tests with hundreds of signatures, each of two programs that are started in an emulated machine. */
const contractMs = 25 * 60_000;

let gateway: TpmGateway;
let registrationId: string;

beforeAll(async () => {
  gateway = await TpmGateway.install();
});
afterAll(async () => gateway[Symbol.asyncDispose]());

test("who may not use the TPM is told what is missing, and a member of tss needs no root", async () => {
  const { machine } = gateway;
  const stranger = await machine.attempt("runuser -u nobody -- latebind identity 2>&1");
  expect(stranger.exitCode).toBe(1);
  expect(stranger.output).toMatch(
    /belongs to the group tss.*run this with sudo.*\[identity\/tpm-no-permission\]/,
  );
  await machine.sh("useradd -G tss fitter");
  const member = await machine.sh("runuser -u fitter -- latebind identity");
  expect(member).toBe(await machine.sh("latebind identity"));
  expect(await machine.sh("tpm2_getcap handles-persistent")).toBe("");
});

test("from nothing but the scope and key = tpm2: the packages bring the device to its hub", async () => {
  registrationId = await gateway.enroll();
  await gateway.configure();
  await gateway.arrivesAt("test");
  expect(await gateway.machine.sh("cat /srv/site/site.json")).toMatch(/"Hall 7"/);
  expect(gateway.registrations()).toBe(1);
  expect(await gateway.machine.sh("ps -o user= -C node,latebind,MainThread | sort -u")).toContain("latebind");
});

test("after a reboot it is the same device, and asks no DPS", async () => {
  const { lastSeq } = gateway.cloud.journal;
  await gateway.machine.reboot();
  await gateway.arrivesAt("test", lastSeq);
  expect(gateway.registrations()).toBe(1);
  expect(await gateway.identity()).toMatchObject({ registrationId });
});

const isRegister = (event: CloudEvent) => event.kind === "register";
const moments: readonly (readonly [string, (event: CloudEvent) => boolean])[] = [
  ["when DPS has sent its challenge", (event) => isRegister(event) && event.status === 401],
  ["when DPS has taken the answer", (event) => isRegister(event) && event.status !== 401],
  ["when the new hub has taken the device", (event) => event.kind === "connect" && event.returnCode === 0],
];

test.each(moments)("a power cut %s leaves a device that gets to its hub", async (_, isMoment) => {
  const [from, to] =
    gateway.site("test") === 200 ? (["test", "production"] as const) : (["production", "test"] as const);
  const { lastSeq } = gateway.cloud.journal;
  gateway.move(from, to);
  await gateway.cloud.waitFor((event) => event.endpoint !== from && isMoment(event), 240_000, lastSeq);
  await gateway.machine.crash();
  await gateway.machine.start();
  await gateway.arrivesAt(to, lastSeq);
  expect(await gateway.identity()).toMatchObject({ registrationId });
});

test("the TPM keeps its two keys and nothing else of all that", async () => {
  await gateway.machine.sh("systemctl stop latebind");
  expect(await gateway.machine.sh("tpm2_getcap handles-persistent")).toBe("- 0x81000001\n- 0x81010001");
  for (const kind of ["transient", "loaded-session", "saved-session"])
    expect(await gateway.machine.sh(`tpm2_getcap handles-${kind}`)).toBe("");
});

test(
  "the contracts of keys and the journey hold on this TPM",
  async () => {
    const { machine } = gateway;
    // The sources came on a disk that is never written to, and their tests keep caches.
    const layers = "lowerdir=/payload/sources,upperdir=/run/over/upper,workdir=/run/over/work";
    await machine.sh(
      `mkdir -p /run/over/upper /run/over/work /mnt && mount -t overlay overlay -o ${layers} /mnt`,
    );
    const vitest =
      "node_modules/node/bin/node node_modules/vitest/vitest.mjs run --config hardware-tests/vitest.config.ts";
    const environment = "CI=1 NO_COLOR=1 LATEBIND_TPM=/dev/tpmrm0";
    const { exitCode, output } = await machine.attempt(
      `cd /mnt && ${environment} ${vitest} --testTimeout=600000 hardware-tests/tpm.test.ts 2>&1`,
      contractMs,
    );
    console.log(output.split("\n").slice(-60).join("\n"));
    expect(exitCode).toBe(0);
    expect(output).toMatch(/Tests +20 passed \(20\)/);
  },
  contractMs + 60_000,
);
