import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseDuration } from "../../src/platform/duration.ts";
import { nearestName } from "../../src/config/nearest-name.ts";
import { configTemplate } from "../../src/config/template.ts";
import { problemsOf } from "./config-folder.ts";

const settings = configTemplate().replaceAll(/^#(?=[a-z[])/gm, "");
const names = ["id_scope", "registration_id", "key", "provisioning", "hub", "tls", "log", "apply"];

describe("whatever an operator types", () => {
  it("is answered with lines that name the file and the fix, never with an exception", async () => {
    const edit = fc.record({
      at: fc.nat({ max: settings.length }),
      remove: fc.nat({ max: 40 }),
      insert: fc.oneof(
        fc.string(),
        fc.constantFrom("[", "]", '"', "=", "\n", "[hub]\n", "[[apply]]\n", "{a=1}"),
      ),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { maxLength: 3 }), async (edits) => {
        let text = settings;
        for (const { at, remove, insert } of edits) {
          text = text.slice(0, at) + insert + text.slice(at + remove);
        }
        for (const line of await problemsOf(text)) {
          expect(line).toMatch(/^config\.toml(:\d+)?(:\d+)?: \P{Cc}+\. Fix: \P{Cc}+[.?]$/u);
        }
      }),
      { numRuns: 150 },
    );
  });

  it("does not print a key, whichever setting it was pasted into", async () => {
    const anywhere = fc.constantFrom(
      (text: string) => `id_scope = "${text}"`,
      (text: string) => `key = "${text}"`,
      (text: string) => `key = "file:../${text}"`,
      (text: string) => `registration_id = "${text} "`,
      (text: string) => `"${text}" = 1`,
      (text: string) => `[hub]\nkeep_alive = "${text}"`,
      (text: string) => `[provisioning]\nendpoint = "${text}"`,
      (text: string) => `[[apply]]\nproperty = "$${text}"\nfile = "${text}"\ncommand = ["${text}"]`,
      (text: string) => `key = ${text}`,
      (text: string) => text,
    );
    const key = fc
      .uint8Array({ minLength: 16, maxLength: 64 })
      // Random bytes: base64 of all zeros is no key.
      .filter((bytes) => new Set(bytes).size > 12)
      .map((bytes) => Buffer.from(bytes).toString("base64"));
    await fc.assert(
      fc.asyncProperty(anywhere, key, async (paste, text) => {
        const lines = await problemsOf(paste(text));
        expect(lines.length).toBeGreaterThan(0);
        expect(lines.join("\n")).not.toContain(text.slice(0, 12));
      }),
      { numRuns: 150 },
    );
  });
});

describe("durations", () => {
  it.each(["", "3", "m", "1m1h", "1h1h", "-1s", "1.5h", " 1s", "1s ", "1S", "90 s", "99999999999999999999d"])(
    "%j is none",
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );

  it("are the sum of their parts", () => {
    const part = fc.option(fc.nat({ max: 1000 }));
    fc.assert(
      fc.property(part, part, part, part, (d, h, m, s) => {
        fc.pre([d, h, m, s].some((count) => count !== null));
        const parts = [[d, "d"] as const, [h, "h"] as const, [m, "m"] as const, [s, "s"] as const];
        const text = parts.map(([count, unit]) => (count === null ? "" : `${count}${unit}`)).join("");
        const seconds = (d ?? 0) * 86_400 + (h ?? 0) * 3600 + (m ?? 0) * 60 + (s ?? 0);
        expect(parseDuration(text)).toBe(seconds * 1000);
      }),
    );
  });
});

describe("the nearest name", () => {
  it.each([
    ["ID-SCOPE", "id_scope"],
    ["idScope", "id_scope"],
    ["scope_id", "id_scope"],
    ["registrationid", "registration_id"],
    ["regitsration_id", "registration_id"],
    ["provision", "provisioning"],
    ["kye", undefined],
    ["device_id", undefined],
    ["x", undefined],
  ])("for %s is %s", (found, known) => {
    expect(nearestName(found, names)).toBe(known);
  });

  it("is found after any one slip in a long name", () => {
    const long = names.filter((name) => name.length >= 6);
    fc.assert(
      fc.property(
        fc.constantFrom(...long),
        fc.nat({ max: 20 }),
        fc.constantFrom("", "q"),
        (name, at, typed) => {
          const index = at % name.length;
          fc.pre(name[index] !== "_");
          expect(nearestName(name.slice(0, index) + typed + name.slice(index + 1), names)).toBe(name);
        },
      ),
    );
  });
});
