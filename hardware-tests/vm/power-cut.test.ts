import { afterAll, beforeAll, expect, test } from "vitest";
import { machineImage } from "./machine-image.ts";
import { Machine } from "./machine.ts";
import { packPayload, type Payload } from "./payload.ts";

/*
 * The machine itself: what the other tests take for granted.
 */
let payload: Payload;
let machine: Machine;

beforeAll(async () => {
  const image = await machineImage(console.log);
  payload = await packPayload({ files: { greeting: "hello\n" } });
  machine = await Machine.create(image, payload.path);
  await machine.start();
});
afterAll(async () => {
  await machine[Symbol.asyncDispose]();
  await payload[Symbol.asyncDispose]();
});

test("the machine has a TPM that its kernel shares out, and what was brought along", async () => {
  expect(await machine.sh("stat -c '%A %U %G' /dev/tpmrm0")).toBe("crw-rw---- tss tss");
  expect(await machine.sh("cat /payload/greeting")).toBe("hello");
});

test("a power cut takes what was not on the disk, and nothing else", async () => {
  await machine.sh("echo kept > /root/kept; sync; echo lost > /root/lost");
  await machine.crash();
  await machine.start();
  expect(await machine.sh("cat /root/kept")).toBe("kept");
  expect((await machine.attempt("cat /root/lost")).exitCode).toBe(1);
});

test("a snapshot goes on where it was taken, with its TPM", async () => {
  const persist = "tpm2_createprimary -Q -C o -c /tmp/primary && tpm2_evictcontrol -Q -C o -c /tmp/primary";
  await machine.sh(`${persist} 0x81000001`);
  await machine.save("one-key");
  await machine.sh(`${persist} 0x81000002`);
  expect(await machine.sh("tpm2_getcap handles-persistent")).toContain("0x81000002");
  await machine.crash();
  await machine.start("one-key");
  expect(await machine.sh("tpm2_getcap handles-persistent")).toBe("- 0x81000001");
});
