import { X509Certificate } from "node:crypto";
import type { Pkcs11Location } from "../../config/config.ts";
import { AgentError } from "../../platform/failure.ts";
import type { CertificateSource } from "../certificate-file.ts";
import { describeToken } from "./find-token.ts";
import { attributeOf, describeObjects, findObjects, namesTemplate, wantedWords } from "./token-objects.ts";
import type { Pkcs11Tokens, TokenSession } from "./tokens.ts";

/** No sensible chain is longer; certificates that certify each other in a circle end here. */
const longestChain = 8;

/**
 * Reads the certificate with this label and ID out of a token, and the intermediates that lie there too.
 * @returns PEM, the leaf first and without the root.
 * @throws AgentError as `Pkcs11Tokens.use`; `identity/token-certificate-missing` (operator).
 */
export async function readTokenCertificate(
  tokens: Pkcs11Tokens,
  at: Pkcs11Location,
): Promise<CertificateSource> {
  return tokens.use(at, (session) => {
    const { pk } = session.cryptoki;
    const isCertificate = { type: pk.CKA_CLASS, value: pk.CKO_CERTIFICATE };
    const [leaf] = certificates(
      session,
      findObjects(session, [isCertificate, ...namesTemplate(session, at.object)]),
    );
    if (leaf === undefined) throw missing(session, at);
    const chain = [leaf, ...issuersOf(leaf, certificates(session, findObjects(session, [isCertificate])))];
    return { content: Buffer.from(chain.join("")), where: `the token ${describeToken(session.token)}` };
  });
}

function missing(session: TokenSession, { object }: Pkcs11Location): AgentError {
  const { cryptoki, token } = session;
  const tool = `pkcs11-tool --module ${cryptoki.path} --token-label ${JSON.stringify(token.label)} --login`;
  return new AgentError(
    "identity/token-certificate-missing",
    "operator",
    `the token ${describeToken(token)} has no certificate ${wantedWords(object)}. Objects found: ${describeObjects(session)}. ` +
      `Correct \`certificate\`, or write it there: ${tool} --write-object device.der --type cert --id ${object.id ?? "01"}`,
  );
}

function certificates(session: TokenSession, handles: readonly Buffer[]): readonly X509Certificate[] {
  return handles.flatMap((handle) => {
    const der = attributeOf(session, handle, session.cryptoki.pk.CKA_VALUE);
    return der === undefined || der.length === 0 ? [] : parse(der);
  });
}

/** A certificate that cannot be read is of no use for the chain; another one may be. */
function parse(der: Buffer): readonly X509Certificate[] {
  try {
    return [new X509Certificate(der)];
  } catch {
    return [];
  }
}

function issuersOf(leaf: X509Certificate, all: readonly X509Certificate[]): readonly X509Certificate[] {
  const issuers: X509Certificate[] = [];
  let last = leaf;
  while (issuers.length < longestChain) {
    const current = last;
    const issuer = all.find(
      (other) => !isSelfSigned(other) && current.checkIssued(other) && current.verify(other.publicKey),
    );
    if (issuer === undefined) break;
    issuers.push(issuer);
    last = issuer;
  }
  return issuers;
}

function isSelfSigned(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate);
}
