import type { Socket } from "node:net";
import type { TLSSocket, TlsOptions } from "node:tls";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "./certificates.ts";
import type { FaultDesk } from "./fault-desk.ts";
import { alertNumbers, type ConnectionAct } from "./fault-spec.ts";
import { endByAlert } from "./fault-tls-alert.ts";

interface DiversionOptions {
  readonly desk: FaultDesk;
  readonly endpoint: string;
  readonly host: string;
  readonly dnsName: string;
  readonly authority: CertificateAuthority;
}

/** Takes a raw connection before TLS, or leaves it alone and returns false. */
export type Divert = (socket: Socket, serve: ServeTls) => boolean;

/** Speaks TLS on a raw connection with other settings than usual; without `onConnection` the service takes it from there. */
type ServeTls = (socket: Socket, settings: TlsOptions, onConnection?: (socket: TLSSocket) => void) => void;

const dayMs = 24 * 60 * 60 * 1000;
/** Where a hotel's network sends its guests. */
const redirect =
  "HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/** What happens to an endpoint's connections before MQTT or HTTP begins, when the fault desk wants it. */
export function createDiversion({ desk, endpoint, ...place }: DiversionOptions): Divert {
  const issued = new Map<string, Promise<ServerCredentials>>();
  const credentialsFor = async (kind: CredentialKind): Promise<ServerCredentials> => {
    const made = issued.get(kind) ?? issue(place, kind);
    issued.set(kind, made);
    return made;
  };
  return (socket, serve) => {
    const act = desk.connection(endpoint, socket.localPort ?? 0);
    if (act === undefined) return false;
    socket.on("error", () => {});
    void divert(act, socket, serve, credentialsFor);
    return true;
  };
}

type CredentialKind = "good" | "expired" | "not-yet-valid" | "wrong-name" | "unknown-ca";

async function divert(
  act: ConnectionAct,
  socket: Socket,
  serve: ServeTls,
  credentialsFor: (kind: CredentialKind) => Promise<ServerCredentials>,
): Promise<void> {
  switch (act.act) {
    case "silence":
      socket.resume();
      return;
    case "drop":
      if (act.how === "reset") socket.resetAndDestroy();
      else socket.resume().end();
      return;
    case "alert": {
      const { alert, after } = act;
      endByAlert(socket, { alert: alertNumbers[alert], after, credentials: await credentialsFor("good") });
      return;
    }
    case "portal":
      if (act.portal === "http") socket.once("data", () => socket.end(redirect));
      else serve(socket, settings(await credentialsFor("unknown-ca")), (inner) => inner.end(redirect));
      return;
    case "tls":
      if (act.fault !== "old-protocol") serve(socket, settings(await credentialsFor(act.fault)));
      else serve(socket, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" });
  }
}

function settings({ certPem, keyPem }: ServerCredentials): TlsOptions {
  return { cert: certPem, key: keyPem };
}

async function issue(
  { host, dnsName, authority }: Pick<DiversionOptions, "host" | "dnsName" | "authority">,
  kind: CredentialKind,
): Promise<ServerCredentials> {
  const now = Date.now();
  switch (kind) {
    case "good":
      return authority.issueServer(host, [dnsName]);
    case "expired":
      return authority.issueServer(host, [dnsName], new Date(now - 2 * dayMs), new Date(now - dayMs));
    case "not-yet-valid":
      return authority.issueServer(host, [dnsName], new Date(now + dayMs), new Date(now + 2 * dayMs));
    case "wrong-name":
      // An address of the documentation's own network (RFC 5737).
      return authority.issueServer("203.0.113.1", ["elsewhere.example"]);
    case "unknown-ca":
      return (await createAuthority("nobody knows this CA")).issueServer(host, [dnsName]);
  }
}
