import { format, inspect } from "node:util";
import { expect, test } from "vitest";
import { Secret } from "../../src/platform/secret.ts";

const secret = new Secret("hunter2");

test.each([
  ["as a string", () => String(secret)],
  ["in a template", () => `the secret is ${secret.toString()}`],
  ["joined", () => [secret].join(",")],
  ["as JSON", () => JSON.stringify({ deep: [{ secret }] })],
  ["inspected", () => inspect({ secret }, { depth: 9, showHidden: true })],
  ["formatted", () => format("%s %o %O %j", secret, secret, secret, secret)],
  ["by its entries", () => JSON.stringify(Object.entries(secret))],
  ["cloned", () => inspect(structuredClone(Object.assign({}, secret)))],
  ["in the message of an error", () => new Error(`no ${secret.toString()}`).message],
])("%s a secret does not show itself", (_, print) => {
  expect(print()).not.toContain("hunter2");
});

test("who asks for it gets it", () => {
  expect(secret.reveal()).toBe("hunter2");
});
