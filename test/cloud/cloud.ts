import { randomBytes, randomInt } from "node:crypto";
import { serveAdminApi } from "./admin-api.ts";
import { clientCertificates } from "./client-certificates.ts";
import { CaCertificates } from "./ca-certificates.ts";
import { createAuthority, type CertificateAuthority } from "./certificates.ts";
import { CredentialPolicies } from "./credential-policies.ts";
import type { ProvisioningPace } from "./dps-operations.ts";
import { loadDescription } from "./description-load.ts";
import { defaultHubs, parseDescription, type CloudDescription } from "./description-spec.ts";
import { serveDpsOverHttps } from "./dps-over-https.ts";
import { serveDpsOverMqtt } from "./dps-over-mqtt.ts";
import { parse } from "./enrollment-spec.ts";
import { Enrollments } from "./enrollments.ts";
import { createDiversion } from "./fault-connection.ts";
import { FaultDesk } from "./fault-desk.ts";
import { withFaults } from "./fault-front.ts";
import { withHttpsFaults } from "./fault-https.ts";
import { FaultProxies } from "./fault-proxies.ts";
import { Hub } from "./hub.ts";
import { serveHubOverHttps } from "./hub-over-https.ts";
import { serveHubOverMqtt } from "./hub-over-mqtt.ts";
import { createHttpsFront, type HttpsService } from "./https-front.ts";
import { Journal, type CloudEvent } from "./journal.ts";
import { Levers, type EndpointInfo, type EndpointPlace } from "./levers.ts";
import { hubName, LinkedHubs } from "./linked-hubs.ts";
import { createMqttFront } from "./mqtt-front.ts";
import type { MqttService } from "./mqtt-service.ts";
import { Registrations } from "./registrations.ts";
import { ServerClock } from "./server-clock.ts";
import { listenTls, type TlsEndpoint } from "./tls-endpoint.ts";

export interface CloudOptions {
  /** What there shall be from the start: hubs, enrollments, faults, …; other options win over it. */
  readonly description?: CloudDescription;
  /** Made up as `0ne` and eight hex digits where left out. */
  readonly idScope?: string;
  /** Names of the hubs, `["test", "production"]` where left out; enrollments without a hub get the first. */
  readonly hubs?: readonly string[];
  /** MQTT port of DPS and hubs: 8883. */
  readonly port?: number;
  /** Port for HTTPS and MQTT over WebSocket. Left out: 443, or a free one where that is not to be had. */
  readonly httpsPort?: number;
  /** First three numbers of the loopback network to take, like `127.31.7`; chosen at random where left out. */
  readonly network?: string;
  /** Port of the admin API on 127.0.0.1; a free one where left out. */
  readonly adminPort?: number;
  /** `retry-after` of answers that are not final, in whole seconds: 3. */
  readonly pollAfterSeconds?: number;
  /** Answers that say `assigning` before the final one, counting the register call's: 1. */
  readonly assigningAnswers?: number;
  /** How long a hub connection outlives its token, in seconds: 600. */
  readonly tokenGraceSeconds?: number;
  /** Repeats the chances that faults had in another cloud; made up where left out. */
  readonly faultSeed?: string;
  readonly now?: () => number;
  /** Gets every journal event at once. */
  readonly log?: (event: CloudEvent) => void;
}

/** A running DPS with its hubs. Dispose of it to free every port, timer and connection. */
export interface Cloud extends AsyncDisposable {
  readonly idScope: string;
  /** The CA that signed every server certificate of this cloud. */
  readonly caPem: string;
  readonly network: string;
  readonly adminUrl: string;
  readonly dps: EndpointInfo;
  /** Address, name and port of one hub; the address is what devices are told. */
  hub(name: string): EndpointInfo;
  /** Everything the admin API can do, in process. */
  readonly levers: Levers;
  /** What shall go wrong, and when. */
  readonly faults: FaultDesk;
  /** HTTP CONNECT proxies on the way to the cloud. */
  readonly proxies: FaultProxies;
  readonly journal: Journal;
  /** Short for `journal.waitFor`. */
  waitFor(
    predicate: (event: CloudEvent) => boolean,
    timeoutMs?: number,
    afterSeq?: number,
  ): Promise<CloudEvent>;
}

/**
 * Starts a DPS and its IoT Hubs on loopback: real sockets, real TLS, real credentials.
 *
 * Each cloud takes a loopback network of its own, DPS at `.1` and the hubs from `.2` on, so that clients with a fixed port
 * 8883 work and many clouds run side by side.
 * @throws Error when the given network's ports are taken, or no free network was found in 20 tries; CloudError 400 with all
 *   that is wrong with the description.
 */
export async function startCloud(given: CloudOptions = {}): Promise<Cloud> {
  const description = parseDescription(given.description ?? {}, given.hubs);
  const options = { ...description, ...given };
  await using parts = new AsyncDisposableStack();
  const clock = new ServerClock(options.now ?? (() => Date.now()));
  parts.defer(() => clock.stop());
  const journal = new Journal(() => clock.now(), options.log ?? (() => {}));
  const authority = await createAuthority("latebind test cloud");
  const idScope = options.idScope ?? `0ne${randomBytes(4).toString("hex").toUpperCase()}`;
  const pace: ProvisioningPace = {
    pollAfterSeconds: options.pollAfterSeconds ?? 3,
    assigningAnswers: options.assigningAnswers ?? 1,
    waitingStatus: "assigning",
    pollsPer10Seconds: 5,
    registersPerMinute: 1000,
    operationLifetimeSeconds: 3600,
  };
  const hubs = new Map<string, Hub>();
  const described = Object.keys(description.hubs ?? {});
  const chosen = new Set([...(given.hubs ?? []), ...described]);
  const hubNames = chosen.size === 0 ? defaultHubs : [...chosen].map((name) => parse(hubName, name));
  const enrollments = new Enrollments(() => hubNames[0] ?? "");
  const linkedHubs = new LinkedHubs(hubs);
  const caCertificates = new CaCertificates();
  const credentialPolicies = new CredentialPolicies(() => clock.now());
  const registrations = new Registrations({
    enrollments,
    caCertificates,
    credentialPolicies,
    hubs: linkedHubs,
    clock,
    pace,
  });
  parts.defer(() => registrations.stop());
  const servers = parts.use(new AsyncDisposableStack());
  const { port = 8883, httpsPort } = options;
  const desk = new FaultDesk(journal, options.faultSeed);
  const ground = { authority, journal, desk, port, httpsPort, servers };
  const endpoints = new Map<string, EndpointPlace>();

  const dpsParts = { idScope, registrations, journal, clock };
  const dpsService = serveDpsOverMqtt(dpsParts);
  const dpsOverHttps = serveDpsOverHttps(dpsParts);
  const network = await openFirst(options.network, async (candidate) => {
    endpoints.set("dps", await open(ground, "dps", candidate, 1, dpsService, dpsOverHttps));
  });
  const tokenGraceMs = (options.tokenGraceSeconds ?? 600) * 1000;
  let lastPlace = 1;
  const addHub = async (name: string): Promise<void> => {
    lastPlace += 1;
    const place = lastPlace;
    const hub = new Hub({
      name,
      hostNames: [`${network}.${place}`, dnsNameOf(name)],
      clock,
      credentialPolicies,
    });
    const service = serveHubOverMqtt({ hub, journal, clock, tokenGraceMs });
    const overHttps = serveHubOverHttps({ hub, journal, clock });
    endpoints.set(name, await open(ground, name, network, place, service, overHttps));
    hubs.set(name, hub);
  };
  for (const name of hubNames) await addHub(name);

  const levers = new Levers({
    enrollments,
    caCertificates,
    credentialPolicies,
    linkedHubs,
    registrations,
    hubs,
    endpoints,
    clock,
    pace,
    addHub,
    lineMoved: (endpoint, up) => journal.record({ endpoint, kind: "line", up }),
  });
  const proxies = new FaultProxies(journal, (hostName) => {
    return levers.endpoints().find(({ dnsName }) => dnsName === hostName)?.host ?? hostName;
  });
  parts.defer(async () => proxies.closeAll());
  await loadDescription({ levers, faults: desk, proxies }, description);
  const about = { idScope, caPem: authority.caPem, network };
  const admin = await serveAdminApi({
    about,
    levers,
    faults: desk,
    proxies,
    journal,
    port: options.adminPort ?? 0,
  });
  parts.defer(async () => admin.close());

  const running = parts.move();
  return {
    ...about,
    adminUrl: admin.url,
    dps: levers.endpoint("dps"),
    hub: (name) => levers.endpoint(name),
    levers,
    faults: desk,
    proxies,
    journal,
    waitFor: async (predicate, timeoutMs, afterSeq) => journal.waitFor(predicate, timeoutMs, afterSeq),
    [Symbol.asyncDispose]: async () => running.disposeAsync(),
  };
}

interface Ground {
  readonly authority: CertificateAuthority;
  readonly journal: Journal;
  readonly desk: FaultDesk;
  readonly port: number;
  readonly httpsPort: number | undefined;
  readonly servers: AsyncDisposableStack;
}

async function open(
  { authority, journal, desk, port, httpsPort, servers }: Ground,
  name: string,
  network: string,
  place: number,
  service: MqttService,
  overHttps: HttpsService,
): Promise<EndpointPlace> {
  const host = `${network}.${place}`;
  const dnsName = dnsNameOf(name);
  const front = withFaults(await createMqttFront({ endpoint: name, journal, service }), desk, name);
  servers.defer(async () => front.close());
  const httpsFront = createHttpsFront({
    mqtt: front,
    service: withHttpsFaults(overHttps, desk, name),
    onFailure: (because) => journal.record({ endpoint: name, kind: "https-failure", because }),
  });
  servers.defer(() => httpsFront.close());
  const listening = {
    host,
    divert: createDiversion({ desk, endpoint: name, host, dnsName, authority }),
    credentials: await authority.issueServer(host, [dnsName]),
    onTlsFailure: (because: string) => journal.record({ endpoint: name, kind: "tls-failure", because }),
  };
  const tls = await listenTls({
    ...listening,
    port,
    onConnection: (socket) => front.accept(socket, clientCertificates(socket)),
  });
  servers.defer(async () => tls.close());
  const https = await listenWhereAllowed(httpsPort, async (port) =>
    listenTls({ ...listening, port, onConnection: (socket) => httpsFront.accept(socket) }),
  );
  servers.defer(async () => https.close());
  return { host, dnsName, tls, https };
}

/** On the given port; else on 443, which may be taken or be root's, else on a free one. */
async function listenWhereAllowed(
  port: number | undefined,
  listen: (port: number) => Promise<TlsEndpoint>,
): Promise<TlsEndpoint> {
  if (port !== undefined) return listen(port);
  try {
    return await listen(443);
  } catch (error) {
    if (!hasCode(error, "EACCES") && !hasCode(error, "EADDRINUSE")) throw error;
    return listen(0);
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function dnsNameOf(name: string): string {
  return name === "dps" ? "dps.latebind.test" : `${name}.hubs.latebind.test`;
}

/** Tries the given network, or up to 20 random ones until one's first address is free. */
async function openFirst(
  network: string | undefined,
  attempt: (network: string) => Promise<void>,
): Promise<string> {
  for (let tries = 1; ; tries += 1) {
    // 127.0.0.x belongs to the machine's own services.
    const candidate = network ?? `127.${randomInt(1, 255)}.${randomInt(0, 256)}`;
    try {
      await attempt(candidate);
      return candidate;
    } catch (error) {
      if (!hasCode(error, "EADDRINUSE") || network !== undefined || tries === 20) throw error;
    }
  }
}
