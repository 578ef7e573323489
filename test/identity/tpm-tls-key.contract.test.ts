import { afterAll, beforeAll, describe } from "vitest";
import type { TlsIdentityKey } from "../../src/identity/identity.ts";
import { openTpmTlsKey } from "../../src/identity/tpm-key/open-tpm-tls-key.ts";
import { describeTlsKeyContract } from "../contract/key.ts";
import { SoftTpm } from "./soft-tpm.ts";
import { makeKeyAtHandle, makeKeyFiles, selfSignedBy, type TpmKeyKind } from "./tpm-tls-keys.ts";

const rows: readonly (readonly [TpmKeyKind, string, typeof makeKeyFiles | typeof makeKeyAtHandle])[] = [
  ["P-256", "at a handle", makeKeyAtHandle],
  ["P-256", "in files", makeKeyFiles],
  ["P-384", "at a handle", makeKeyAtHandle],
  ["RSA-2048", "at a handle", makeKeyAtHandle],
  ["RSA-2048", "in files", makeKeyFiles],
  ["RSA-2048 for signatures alone", "at a handle", makeKeyAtHandle],
];

describe.each(rows)("a %s key of a TPM, %s", (kind, _, make) => {
  let soft: SoftTpm;
  let open: () => Promise<TlsIdentityKey>;
  let certPem: string;

  beforeAll(async () => {
    soft = await SoftTpm.start();
    const at = await make(soft, kind);
    open = async () => openTpmTlsKey(soft.open(), at);
    using key = await open();
    certPem = await selfSignedBy(key, "gw-7");
  });
  afterAll(async () => soft[Symbol.asyncDispose]());

  describeTlsKeyContract(async () => ({ open, certPem, [Symbol.dispose]: () => undefined }));
});
