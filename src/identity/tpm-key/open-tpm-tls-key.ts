import { createHash, randomBytes, verify } from "node:crypto";
import type { TpmKeyPlace } from "../../config/config.ts";
import { AgentError } from "../../platform/failure.ts";
import { Secret } from "../../platform/secret.ts";
import type { TlsIdentityKey } from "../identity.ts";
import { ecdsaDer } from "../tls-signer/ecdsa-der.ts";
import { keyShape, type KeyShape, type SignDigest } from "../tls-signer/sign-request.ts";
import { registerTlsKey } from "../tls-signer/tls-signer.ts";
import type { TpmPublic } from "../tpm/public-area.ts";
import type { Tpm } from "../tpm/tpm.ts";
import { loadKey, readKey } from "./load-key.ts";
import { parseSigningKey, type SigningKey } from "./signing-key.ts";
import { tpmSign, type TpmSigner } from "./tpm-sign.ts";

const never = new AbortController().signal;

/**
 * Opens a private key for TLS that stays in the TPM, and lets it sign once to see that it does. Each signature holds the whole
 * process up: some 20 ms with a fast TPM, half a second with a slow one.
 * @throws AgentError as `Tpm.use`, `readKey`, `tpmSign` and `registerTlsKey`; `identity/tpm-key-unfit` (operator).
 */
export async function openTpmTlsKey(tpm: Tpm, at: TpmKeyPlace): Promise<TlsIdentityKey> {
  using stack = new DisposableStack();
  const blocking = stack.use(await tpm.blocking());
  const name = nameOf(at);
  const parent = tpm.settings.srkHandle;
  const area = await tpm.use(async (commands) => readKey(commands, blocking, at, parent), never);
  const { key, shape } = usable(area, name);
  const { publicKey, canDecrypt } = key;
  const load = () => loadKey(blocking, at, parent);
  const signer: TpmSigner = { tpm: blocking, name, shape, publicKey, canDecrypt, load };
  const signDigest: SignDigest = (request) => tpmSign(signer, request);
  const sign = (data: Uint8Array) => signSha256(data, shape, signDigest);
  const probe = randomBytes(32);
  if (!verify("sha256", probe, publicKey, sign(probe)))
    throw unfit(name, "its signatures do not hold under its own public key");
  const spki = publicKey.export({ type: "spki", format: "der" });
  const registered = stack.use(registerTlsKey(spki, signDigest));
  const open = stack.move();
  return {
    publicKey: spki,
    tlsKey: new Secret(registered.tlsOptions.key),
    sign,
    get failure() {
      return registered.failure;
    },
    custody: name,
    warnings: warningsOf(name, key),
    [Symbol.dispose]: () => {
      open[Symbol.dispose]();
    },
  };
}

function usable(
  area: TpmPublic | undefined,
  name: string,
): { readonly key: SigningKey; readonly shape: KeyShape } {
  const key = area === undefined ? undefined : parseSigningKey(area.bytes);
  const shape = key === undefined ? undefined : keyShape(key.publicKey);
  if (key === undefined || shape === undefined)
    throw unfit(name, "it is neither RSA of 2048 to 4096 bits nor on P-256, P-384 or P-521");
  if (!key.canSign || key.isRestricted)
    throw unfit(
      name,
      "it may not sign what comes from outside: it needs the attribute sign, without restricted",
    );
  if (shape.kind === "rsa" && key.onlyScheme !== undefined)
    throw unfit(name, "it is bound to one kind of RSA signature, and TLS and certificates need two");
  return { key, shape };
}

function signSha256(data: Uint8Array, shape: KeyShape, sign: SignDigest): Uint8Array {
  const digest = createHash("sha256").update(data).digest();
  switch (shape.kind) {
    case "ec":
      return ecdsaDer(sign({ scheme: "ecdsa", hash: "sha256", digest }));
    case "rsa":
      return sign({ scheme: "rsa-pkcs1", hash: "sha256", digest });
  }
}

function warningsOf(name: string, { isLockoutProtected, isBornHere }: SigningKey): readonly string[] {
  return [
    ...(isLockoutProtected
      ? [`the ${name} was made without noda: power cuts while it signs add up to a lockout of the TPM`]
      : []),
    ...(isBornHere
      ? []
      : [
          `the ${name} was not made in this TPM or may leave it, so that copies of it may exist: make a new one there`,
        ]),
  ];
}

function nameOf(at: TpmKeyPlace): string {
  return at.kind === "handle"
    ? `TPM key ${at.handle}`
    : `TPM key of ${at.private.map(({ path }) => path).join(" or ")}`;
}

function unfit(name: string, because: string): AgentError {
  return new AgentError(
    "identity/tpm-key-unfit",
    "operator",
    `the ${name} cannot be used: ${because}. Make another one as the README says and name it in \`key\``,
  );
}
