import { expect, test } from "vitest";
import { garbledWords } from "../../src/provisioning/garbled.ts";
import { startCloud } from "../cloud/cloud.ts";
import { Gateway } from "../agent/gateway.ts";

const key = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";

test.each([
  ["", "It was empty"],
  [" ", 'It began with " "'],
  [
    "<html><title>Log in</title>\u001b[2J\n",
    String.raw`It began with "<html><title>Log in</title>\u001b[2J\n"`,
  ],
  [`key=${key} rest`, 'It began with "key=(88 characters) rest"'],
  [`00112233445566778899aabbccddeeff`, 'It began with "(32 characters)"'],
  [
    JSON.stringify({ status: "assigned", payload: { wifi: "hunter2", pin: 4711 }, list: ["a"] }),
    String.raw`It began with "{\"status\":\"…\",\"payload\":{\"wifi\":\"…\",\"pin\":\"…\"},\"list\":[\"…\"]}"`,
  ],
])("row 32: of %j the beginning is told, and no secret", (body, says) => {
  expect(garbledWords(Buffer.from(body))).toBe(says);
});

test("row 32: a long answer is cut, and a key that reaches beyond the cut is hidden", () => {
  const words = garbledWords(Buffer.from(`${"a b ".repeat(48)}${key}${"x y ".repeat(1000)}`));
  expect(words).toMatch(/ and was 4280 bytes long$/);
  expect(words).not.toContain(key.slice(0, 5));
  expect(words.length).toBeLessThan(260);
});

test("row 32, case 10: an agent whose DPS answers with garbage says what it got, and tries again", async () => {
  await using cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
  cloud.faults.add({
    endpoint: "dps",
    when: { at: "packet", packet: "publish", direction: "toDevice" },
    do: { act: "payload", payload: `<html>Welcome, ${key}</html>` },
  });
  await using gateway = new Gateway(cloud);
  const { registrationId, key: primaryKey } = gateway;
  cloud.levers.enrollments.put({ registrationId, hub: "test", primaryKey });
  await gateway.start();
  await gateway.until(() => gateway.failures().length > 0, "it failed");
  expect(gateway.failures()).toEqual(["provisioning/malformed-answer"]);
  expect(gateway.events("provisioning.failed")[0]?.error?.message).toBe(
    'DPS sent a body that is no JSON, which the protocol does not allow. It began with "<html>Welcome, (88 characters)</html>"',
  );
  await gateway.until(() => gateway.health.at(-1)?.at === "connected", "it tried again", 20_000);
});
