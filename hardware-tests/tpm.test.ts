import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTpmTlsKey } from "../src/identity/tpm-key/open-tpm-tls-key.ts";
import { describeTpm, type TpmDescription } from "../src/identity/tpm/describe-tpm.ts";
import { TpmDevice } from "../src/identity/tpm/tpm-device.ts";
import { Gateway } from "../test/agent/gateway.ts";
import { startCloud } from "../test/cloud/cloud.ts";
import { describeHmacKeyContract, describeTlsKeyContract } from "../test/contract/key.ts";
import { tpmHmacSpecimen } from "../test/identity/tpm-hmac-specimen.ts";
import { makeKeyFiles, selfSignedBy, type TpmKeyKind } from "../test/identity/tpm-tls-keys.ts";
import { NamedTpm } from "./named-tpm.ts";

/*
 * The promises of keys and the way of a device, held against a TPM of your own.
 *
 *   LATEBIND_TPM   a device (/dev/tpmrm0), tabrmd:, or swtpm:path=/PATH
 *
 * Endorsement key and storage root key are put at 0x81010001 and 0x81000001 where nothing lies there, as the agent does it. Nothing
 * else is left in the TPM, and nothing in it is changed.
 */
const { LATEBIND_TPM: name } = process.env;

describe.skipIf(name === undefined)("the TPM of LATEBIND_TPM", () => {
  const never = new AbortController().signal;
  let tpm: NamedTpm;
  let described: TpmDescription;
  let before: readonly string[];

  beforeAll(async () => {
    tpm = new NamedTpm(name ?? "");
    described = await describeTpm(tpm.open(), never);
    const { place, manufacturer, firmware, endorsementCertificate } = described;
    console.log(
      `${place}: ${manufacturer}, firmware ${firmware}, EK certificate: ${endorsementCertificate?.issuer ?? "none"}`,
    );
    before = await tpm.handles("persistent");
  });
  afterAll(() => {
    tpm[Symbol.dispose]();
  });

  test("says who it is, and the same once its keys lie at their handles", async () => {
    const { credential, registrationId } = await new TpmDevice(tpm.open()).open(never);
    expect(described).toMatchObject({
      registrationId,
      endorsementKey: credential.endorsementKey,
      storageRootKey: credential.storageRootKey,
    });
    expect(await describeTpm(tpm.open(), never)).toEqual(described);
  });

  describe("with a symmetric key that a service gave it", () => {
    describeHmacKeyContract(async () => tpmHmacSpecimen(new TpmDevice(tpm.open())));
  });

  describe.each<TpmKeyKind>(["P-256", "RSA-2048", "RSA-2048 for signatures alone"])(
    "with a %s key in files",
    (kind) => {
      describeTlsKeyContract(async () => {
        const at = await makeKeyFiles(tpm, kind);
        const open = async () => openTpmTlsKey(tpm.open(), at);
        using key = await open();
        return { open, certPem: await selfSignedBy(key, "gw-7"), [Symbol.dispose]: () => undefined };
      });
    },
  );

  test("takes a device to its hub, over a restart, and to another hub", async () => {
    await using cloud = await startCloud({ pollAfterSeconds: 1 });
    const { registrationId, endorsementKey } = described;
    cloud.levers.enrollments.put({
      registrationId,
      attestation: { type: "tpm", endorsementKey },
      hub: "test",
      initialTwin: { desired: { site: { name: "Hall 7" } } },
    });
    await using gateway = new Gateway(cloud, { tpm });
    const isAt = (hub: string) => () =>
      gateway.health.at(-1)?.at === "connected" && gateway.lastHealth.includes(cloud.hub(hub).host);
    await gateway.start();
    await gateway.until(isAt("test"), "it connected", 60_000);
    expect(gateway.site()).toEqual({ name: "Hall 7" });
    console.log(gateway.lastHealth);

    await gateway.stop();
    gateway.health.length = 0;
    await gateway.start();
    await gateway.until(isAt("test"), "it connected after a restart", 60_000);
    expect(gateway.events("provisioning.assigned")).toHaveLength(1);

    cloud.levers.moveEnrollment(registrationId, "production");
    cloud.levers.deleteDevice("test", registrationId);
    await gateway.until(isAt("production"), "it moved", 120_000);
    expect(gateway.events("provisioning.assigned")).toHaveLength(2);
  }, 300_000);

  test("keeps nothing of all this but the two keys that the agent needs", async () => {
    const keys = ["0x81000001", "0x81010001"];
    expect(new Set(await tpm.handles("persistent"))).toEqual(new Set([...before, ...keys]));
    for (const kind of ["transient", "loaded-session"]) expect(await tpm.handles(kind)).toEqual([]);
  });
});
