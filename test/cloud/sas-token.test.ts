import { describe, expect, it } from "vitest";
import { textWith } from "./matchers.ts";
import { deriveKey, isSignedWith, parseSasToken } from "./sas-token.ts";
import { sasToken } from "./test-device.ts";

const key = Buffer.alloc(32, 7).toString("base64");
const resource = "0neTEST/registrations/gateway-1";
const good = sasToken({ resource, key, keyName: "registration" });

function isAccepted(text: string): boolean {
  const token = parseSasToken(text);
  return (
    !("malformed" in token) &&
    token.keyName === "registration" &&
    token.resource === resource &&
    isSignedWith(token, key)
  );
}

describe("a shared access signature", () => {
  it.each([
    ["", "start"],
    ["sr=a&sig=YQ%3D%3D&se=1", "start"],
    ["SharedAccessSignature sr=a&se=1", "lacks"],
    ["SharedAccessSignature sr=a&sig=YQ%3D%3D", "lacks"],
    ["SharedAccessSignature sig=YQ%3D%3D&se=1", "lacks"],
    ["SharedAccessSignature sr=a&sr=a&sig=YQ%3D%3D&se=1", "twice"],
    ["SharedAccessSignature sr=a&sig=YQ%3D%3D&se=1&extra=1", "unknown field"],
    ["SharedAccessSignature sr=%zz&sig=YQ%3D%3D&se=1", "damaged sr"],
    ["SharedAccessSignature sr=a&sig=YQ&se=1", "not base64"],
    ["SharedAccessSignature sr=a&sig=YR%3D%3D&se=1", "not base64"],
    ["SharedAccessSignature sr=a&sig=YQ%3D%3D&se=soon", "no number"],
    ["SharedAccessSignature sr=a&sig=YQ%3D%3D&se=-1", "no number"],
  ])("is malformed as %j", (text, because) => {
    expect(parseSasToken(text)).toEqual({ malformed: textWith(because) });
  });

  it("is refused with any one bit flipped, unless both texts decode to the same", () => {
    expect(isAccepted(good)).toBe(true);
    const bytes = Buffer.from(good, "latin1");
    const survivors: string[] = [];
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const text = flipped.toString("latin1");
      if (isAccepted(text)) survivors.push(text);
    }
    // `%2B` and `%2b` are the same signature; the resource's escapes are signed as they stand.
    const signatures = survivors.map((text) => decodeURIComponent(text));
    expect(new Set(signatures)).toEqual(
      signatures.length === 0 ? new Set() : new Set([decodeURIComponent(good)]),
    );
    expect(survivors.filter((text) => text.split("&sig=")[0] !== good.split("&sig=")[0])).toEqual([]);
  });

  it.each([
    ["unencoded", (text: string) => text],
    ["with lower-case escapes", (text: string) => text.replaceAll("/", "%2f")],
    ["percent-encoded", encodeURIComponent],
  ])("counts with its resource %s, since the literal text is what was signed", (_name, encode) => {
    expect(isAccepted(sasToken({ resource, key, encode, keyName: "registration" }))).toBe(true);
  });

  it("may have its fields in any order", () => {
    const [sr, sig, se, skn] = good.replace("SharedAccessSignature ", "").split("&");
    expect(isAccepted(`SharedAccessSignature ${[skn, se, sig, sr].join("&")}`)).toBe(true);
  });
});

it("a group key gives the device key of Azure's documentation", () => {
  const groupKey = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
  expect(deriveKey(groupKey, "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6")).toBe(
    "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=",
  );
});
