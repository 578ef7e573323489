import { describe, expect, test } from "vitest";
import { parsePkcs11Uri } from "../../src/config/pkcs11-uri.ts";

const module = "module-path=/usr/lib/softhsm/libsofthsm2.so";

describe("a URI that does not say exactly which key is meant is refused, and the PIN is never repeated", () => {
  test.each([
    ["pkcs11:", /does not name the token/],
    [`pkcs11:object=device?${module}`, /does not name the token/],
    [`pkcs11:token=;object=device?${module}`, /does not name the token/],
    [`pkcs11:model=HSM;object=device?${module}`, /does not name the token/],
    [`pkcs11:token=gateway?${module}`, /does not name the key/],
    [`pkcs11:token=gateway;id=?${module}`, /does not name the key/],
    ["pkcs11:token=gateway;object=device", /does not name the module/],
    ["pkcs11:token=gateway;object=device?module-path=libsofthsm2.so", /does not name the module/],
    ["pkcs11:token=gateway;object=device?module-name=softhsm2", /with module-name/],
    [`pkcs11:token=gateway;slot-id=0;object=device?${module}`, /names a slot/],
    [`pkcs11:token=gateway;object=device;type=public?${module}`, /unknown type/],
    [`pkcs11:token=gateway;object=device;${module}`, /has "module-path" before the "\?"/],
    [`pkcs11:token=gateway?object=device&${module}`, /has "object" after the "\?"/],
    [`pkcs11:token=gateway;token=other;object=device?${module}`, /says token twice/],
    [`pkcs11:token=gateway;object=device?${module}?pin-source=pin`, /more than one/],
    [`pkcs11:token=gateway;object=device?${module}&pin-value=4711`, /the PIN in it/],
    [`pkcs11:token=gateway;pin-value=4711;object=device?${module}`, /the PIN in it/],
    [`pkcs11:token=gateway;object=device?${module}&PIN-VALUE=4711`, /the PIN in it/],
    [`pkcs11:token=gateway;object=device?${module}&4711`, /has something after the "\?"/],
    [`pkcs11:token=gateway;object=device?${module}&pin-source=|cat%204711`, /pin-source that is neither/],
    [`pkcs11:token=gateway;object=device?${module}&pin-source=../4711`, /pin-source that is neither/],
    [`pkcs11:token=gateway;object=device?${module}&pin-source=`, /pin-source that is neither/],
  ])("%s", (uri, found) => {
    const fault = parsePkcs11Uri(uri);
    if (!("found" in fault)) throw new Error("it was taken");
    expect(fault.found).toMatch(found);
    expect(fault.fix).not.toBe("");
    expect(JSON.stringify(fault)).not.toContain("4711");
  });
});

test("every part of a full URI is read, percent signs undone, the ID as bytes", () => {
  const path =
    "pkcs11:token=gate%20way%3b1;serial=0a;manufacturer=SoftHSM%20project;model=v2;object=d%C3%A4vice;id=%00%ffA;type=private";
  expect(parsePkcs11Uri(`${path}?${module}&pin-source=file:/run/secrets/pin`)).toEqual({
    scheme: "pkcs11",
    modulePath: "/usr/lib/softhsm/libsofthsm2.so",
    token: { label: "gate way;1", serial: "0a", manufacturer: "SoftHSM project", model: "v2" },
    object: { label: "dävice", id: "00ff41" },
    type: "private",
    pinSource: "/run/secrets/pin",
  });
});

test.each([
  ["file:pin", "pin"],
  ["pin", "pin"],
  ["/run/pin", "/run/pin"],
  ["file:///run/pin", "/run/pin"],
])("pin-source=%s points to %s", (written, pinSource) => {
  const uri = parsePkcs11Uri(`pkcs11:serial=1;id=%01?pin-source=${written}&${module}`);
  expect(uri).toMatchObject({ token: { serial: "1" }, object: { id: "01" }, pinSource });
});
