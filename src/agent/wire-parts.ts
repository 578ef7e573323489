import { createAgentSettings } from "../appliers/agent-settings.ts";
import type { Appliers } from "../appliers/applier.ts";
import { createRuleAppliers } from "../appliers/create-applier.ts";
import { handlerFolders } from "../appliers/handler.ts";
import type { Config } from "../config/config.ts";
import type { TpmSurroundings } from "../identity/tpm/tpm.ts";
import { LazyTpm } from "../identity/lazy-tpm.ts";
import type { Pkcs11Tokens } from "../identity/pkcs11/tokens.ts";
import type { AnswerMethod } from "../hub/methods.ts";
import { Line } from "../mqtt/line.ts";
import { parseLineMemory } from "../mqtt/line-memory.ts";
import type { OpenLink } from "../mqtt/link.ts";
import type { Random } from "../platform/backoff.ts";
import { isClockSynchronised } from "../platform/clock-sync.ts";
import { ClockWatch } from "../platform/clock-watch.ts";
import { knownTime } from "../platform/known-time.ts";
import type { AgentError } from "../platform/failure.ts";
import type { Json } from "../platform/json.ts";
import { Names, parseKnownAddresses } from "../platform/names.ts";
import { describeNetwork } from "../platform/network.ts";
import { PatientStore } from "../platform/patient-store.ts";
import type { Log } from "../platform/log.ts";
import { readProxy } from "../platform/proxy.ts";
import type { ServiceManager } from "../platform/service-manager.ts";
import { SigningTime } from "../platform/signing-time.ts";
import { openStore } from "../platform/store.ts";
import type { Clock } from "../platform/time.ts";
import { readTrustedRoots } from "../platform/trusted-roots.ts";
import type { Watchdog } from "../platform/watchdog.ts";
import type { StoredAssignments } from "../provisioning/assignment.ts";
import { parseAssignments } from "../provisioning/stored-assignments.ts";
import type { Desk } from "./desk.ts";
import { parseDeviceState } from "./device.ts";
import { health, type HealthFacts } from "./health.ts";
import { heedNetwork } from "./heed-network.ts";
import type { Inputs } from "./inputs.ts";
import { lengthWords } from "./length-words.ts";
import { createMessageHandler } from "./message-handler.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { KeepAliveWish } from "./keep-alive-wish.ts";
import { openJournal } from "./journal.ts";
import { openIdentity } from "./open-identity.ts";
import { suspectInterception } from "./suspect-interception.ts";
import type { Parts } from "./parts.ts";
import { parseHistory } from "./stored-history.ts";

/** What does not depend on the configuration. */
export interface Surroundings {
  readonly version: string;
  readonly stateDirectory: string;
  /** Where the tools for a TPM work, `memoryDirectory` of the platform, and where they are. */
  readonly tpm: TpmSurroundings;
  readonly hostName: string;
  /** How long this machine has been running. */
  readonly uptimeMs: () => number;
  readonly openLink: OpenLink;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly inputs: Inputs;
  readonly desk: Desk;
  /** Does what a direct method asks for. */
  readonly answerMethod: AnswerMethod;
  readonly serviceManager: ServiceManager;
  readonly watchdog: Watchdog;
  /** Logged in once in a process, whatever the configuration becomes. */
  readonly tokens: Pkcs11Tokens;
}

/** While the start takes longer than one wait, the service manager is asked for this much more than the wait. */
const startGraceMs = 60_000;

/** Puts the parts of one journey together, for one configuration. */
export function wire(config: Config, around: Surroundings): Parts {
  const { log, serviceManager, stateDirectory } = around;
  let facts: HealthFacts = { at: "starting" };
  const stateTrouble = new Map<string, AgentError>();
  const tellHealth = () => {
    // The gravest first: without its assignment a restart costs a call to DPS.
    const trouble = stateTrouble.get("assignment") ?? [...stateTrouble.values()][0];
    const remarked = withRemark(facts, line.remark);
    const told = trouble === undefined ? remarked : withWarning(remarked, trouble);
    around.desk.noteHealth(told);
    serviceManager.status(health(told));
  };
  const store = <T>(name: string, parse: (value: Json) => T | undefined) =>
    new PatientStore(openStore(stateDirectory, name, parse, log), (trouble) => {
      if (trouble === undefined) {
        stateTrouble.delete(name);
        log.notice("agent.state-written", { name });
      } else {
        stateTrouble.set(name, trouble);
        log.error("agent.state-not-written", { error: trouble });
      }
      tellHealth();
    });
  const assignments = store("assignment", parseAssignments);
  const device = store("device", parseDeviceState);
  const memory = store("line", parseLineMemory);
  const knownAddresses = store("names", parseKnownAddresses);
  const keepAlive = new KeepAliveWish(config.hub);
  const line = new Line({
    openLink: around.openLink,
    memory,
    clock: around.clock,
    log,
    network: describeNetwork,
    keepAlive,
  });
  const history = store("history", parseHistory);
  const writeState = async () => {
    await memory.retry();
    await knownAddresses.retry();
    await assignments.retry();
    await device.retry();
    await history.retry();
  };
  const trustedRoots = async () => readTrustedRoots(config.tls.trustBundle);
  const names = new Names(around.clock, knownAddresses);
  const through = async () => ({
    names,
    ...(config.proxy !== undefined && { proxy: await readProxy(config.proxy) }),
  });
  const signingTime = new SigningTime(around.clock);
  let isReady = false;
  let lastError: string | undefined;
  const { workDirectory, toolDirectory } = around.tpm;
  const tpm = new LazyTpm(config.tpm, {
    workDirectory,
    stateDirectory,
    ...(toolDirectory !== undefined && { toolDirectory }),
  });
  log.setLevel(config.log.level);
  around.tokens.forgetRefusedPins();
  around.desk.heartbeat.configure(config.telemetry.heartbeatMs);
  return {
    config,
    version: around.version,
    openIdentity: async (signal) => {
      const { hostName, tokens } = around;
      return openIdentity(config, { hostName, nowMs: signingTime.now(), tokens, tpm }, signal);
    },
    openLink: suspectInterception(line.open, {
      clock: around.clock,
      random: around.random,
      otherThan: (host) => otherServer(host, config, assignments.read()),
    }),
    trustedRoots,
    heedNetwork: async (event, signal) => heedNetwork(event, line, around, signal),
    assignments,
    device,
    history,
    journal: openJournal(stateDirectory, around.clock, log),
    writeState,
    through,
    appliers: createAppliers(config, log, around.desk.heartbeat, keepAlive),
    keepAliveMs: () => keepAlive.mostMs,
    clock: around.clock,
    random: around.random,
    log,
    inputs: around.inputs,
    desk: around.desk,
    answerMethod: around.answerMethod,
    onMessage: createMessageHandler(config.messages, around.desk.counters, log),
    isClockSynchronised,
    knownTime: () => knownTime(stateDirectory),
    signingTime,
    clockWatch: new ClockWatch(around.clock, (byMs) => {
      log.notice("clock.jumped", { byMs: Math.round(byMs) });
      signingTime.forget();
      around.inputs.tell({
        kind: "clock-changed",
        because: `the clock went ${byMs > 0 ? "forward" : "back"} by ${lengthWords(byMs)}`,
      });
    }),
    canReachDps: async (signal) => {
      // Not needed while all is well.
      const { canReachDps } = await import("./reach-dps.ts");
      return canReachDps(config, { trustedRoots: await trustedRoots(), ...(await through()) }, signal);
    },
    uptimeMs: around.uptimeMs,
    onHealth: (news) => {
      facts = news;
      if (facts.at === "waiting") lastError = `${facts.error.code}: ${facts.error.message}`;
      tellHealth();
      // News comes when something happened: an occasion to try the disk again.
      if (stateTrouble.size > 0) void writeState();
      if (!isReady) serviceManager.extendStart(startTime(facts));
    },
    onReady: () => {
      isReady = true;
      serviceManager.ready();
    },
    lastError: () => (lastError === undefined ? {} : { lastError }),
    expectProgress: (withinMs) => {
      around.watchdog.expect(withinMs);
    },
  };
}

/** To compare with: DPS for a hub, the last good hub for DPS. */
function otherServer(
  host: string,
  { provisioning, hub }: Config,
  assigned: StoredAssignments | undefined,
): { readonly host: string; readonly port: number } | undefined {
  const portOf = (at: typeof hub | typeof provisioning) =>
    at.transport === "websocket" ? at.webSocketPort : at.port;
  if (host !== provisioning.endpoint) return { host: provisioning.endpoint, port: portOf(provisioning) };
  return assigned?.current === undefined ? undefined : { host: assigned.current.hub, port: portOf(hub) };
}

/** What could not be written is no reason to stop, and no secret either. */
function withWarning(facts: HealthFacts, { message, code }: AgentError): HealthFacts {
  if (facts.at !== "connected" && facts.at !== "waiting") return facts;
  const says = `${message}; until then a restart forgets what changed [${code}]`;
  return { ...facts, warnings: [...(facts.warnings ?? []), says] };
}

function withRemark(facts: HealthFacts, remark: string | undefined): HealthFacts {
  if (facts.at !== "connected" || remark === undefined) return facts;
  return { ...facts, warnings: [...(facts.warnings ?? []), remark] };
}

function startTime(facts: HealthFacts): number {
  return startGraceMs + (facts.at === "waiting" ? facts.forMs : 0);
}

/** As latebind-apply.socket says. */
const helperSocket = "/run/latebind-apply.sock";

async function askHelper(question: string, timeoutMs: number, signal: AbortSignal): Promise<string> {
  // Only a rule with privileges needs it.
  const { ask } = await import("../platform/request-socket.ts");
  return ask(helperSocket, question, timeoutMs, signal);
}

function createAppliers(config: Config, log: Log, heartbeat: Heartbeat, keepAlive: KeepAliveWish): Appliers {
  return {
    properties: createRuleAppliers(config.apply, { handlerFolders, askHelper }),
    components: new Map([
      [
        "latebind",
        createAgentSettings({
          setLogLevel: (level) => {
            log.setLevel(level ?? config.log.level);
          },
          setHeartbeat: (everyMs) => {
            heartbeat.wish(everyMs);
          },
          setKeepAlive: (mostMs) => {
            keepAlive.wish(mostMs);
          },
        }),
      ],
    ]),
  };
}
