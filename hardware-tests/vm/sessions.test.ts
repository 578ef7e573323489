import { afterAll, beforeAll, expect, test } from "vitest";
import { machineImage } from "./machine-image.ts";
import { Machine } from "./machine.ts";
import { packPayload, type Payload } from "./payload.ts";

let payload: Payload;
let machine: Machine;

beforeAll(async () => {
  const image = await machineImage(console.log);
  payload = await packPayload({});
  machine = await Machine.create(image, payload.path);
  await machine.start();
});
afterAll(async () => {
  await machine[Symbol.asyncDispose]();
  await payload[Symbol.asyncDispose]();
});

/** Begins sessions whose files are lost, as many as there is room for. */
const takeAll = `
taken=0
while [ $taken -lt 100 ] && tpm2_startauthsession --policy-session -S /tmp/lost.ctx 2> /tmp/refusal; do
  taken=$((taken + 1))
done
echo $taken; cat /tmp/refusal`;

test("abandoned sessions fill the TPM behind a kernel too, and are flushed as the agent does it", async () => {
  expect(await machine.sh(takeAll)).toMatch(/^64\n[^]*0x905/);
  for (const kind of ["--saved-session", "--loaded-session", "--transient-object"])
    await machine.sh(`tpm2_flushcontext ${kind}`);
  expect(await machine.sh("tpm2_getcap handles-saved-session")).toBe("");
  await machine.sh(
    "tpm2_startauthsession --policy-session -S /tmp/new.ctx && tpm2_flushcontext /tmp/new.ctx",
  );
});
