import { randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseBase64Key } from "../../src/identity/base64-key.ts";

const good = Buffer.from("0123456789abcdef0123456789abcdef");
const text = good.toString("base64");

describe("a text that is no key is refused", () => {
  test.each([
    ["nothing", "", /empty/],
    ["blanks", " \n\t", /empty/],
    ["padding left out", text.replace(/=+$/, ""), /not one line of standard base64/],
    ["the alphabet for URLs", "-_".repeat(16), /not one line of standard base64/],
    ["two lines", `${text}\n${text}`, /not one line/],
    ["a blank inside", `${text.slice(0, 4)} ${text.slice(4)}`, /not one line/],
    ["hex in quotes", `"${text}"`, /not one line/],
    ["a whole connection string", `HostName=h;DeviceId=d;SharedAccessKey=${text}`, /not one line/],
    ["bits after the last byte", "AAAAAAAAAAAAAAAAAAAAAB==", /not one line/],
    ["15 bytes", randomBytes(15).toString("base64"), /holds 15 bytes where 16 to 64 are expected/],
    ["65 bytes", randomBytes(65).toString("base64"), /holds 65 bytes/],
  ])("%s", (_, content, says) => {
    expect(parseBase64Key(content)).toHaveProperty("problem");
    expect(JSON.stringify(parseBase64Key(content))).toMatch(says);
  });

  test("without quoting any of it", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 6, maxLength: 80 }), (content) => {
        fc.pre(content.trim().length >= 6);
        expect(JSON.stringify(parseBase64Key(content))).not.toContain(content.trim());
      }),
    );
  });
});

test("16 to 64 bytes come back byte for byte, with or without the newline of an editor", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 16, maxLength: 64 }),
      fc.constantFrom("", "\n", "\r\n", " "),
      (bytes, ending) => {
        const parsed = parseBase64Key(Buffer.from(bytes).toString("base64") + ending);
        expect("key" in parsed && Buffer.compare(parsed.key.reveal(), bytes)).toBe(0);
      },
    ),
  );
});

test("a parsed key does not show itself", () => {
  const parsed = parseBase64Key(text);
  expect(JSON.stringify(parsed)).toBe('{"key":"[redacted]"}');
});
