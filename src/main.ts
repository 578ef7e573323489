#!/usr/bin/env node
import "./platform/no-buffer-pool.ts";
import { hostname, uptime } from "node:os";
import manifest from "../package.json" with { type: "json" };
import { handlerFolders } from "./appliers/handler.ts";
import { runDaemon } from "./agent/daemon.ts";
import { Desk } from "./agent/desk.ts";
import { Inputs } from "./agent/inputs.ts";
import { ReloadRequests } from "./agent/reload-requests.ts";
import { wire } from "./agent/wire-parts.ts";
import { controlPath } from "./control/control-path.ts";
import type { ControlledAgent } from "./control/controlled-agent.ts";
import { DeferredControl } from "./control/deferred-control.ts";
import { serviceConfigFile } from "./cli/service-command.ts";
import type { ConfigSources } from "./config/load.ts";
import { configSources } from "./config/sources.ts";
import { Pkcs11Tokens } from "./identity/pkcs11/tokens.ts";
import { openMqttLink } from "./mqtt/mqtt-js-link.ts";
import { favourMemory } from "./platform/favour-memory.ts";
import { lineOutput } from "./platform/line-output.ts";
import { EventFeed } from "./platform/event-feed.ts";
import { createLog } from "./platform/log.ts";
import { createServiceManager } from "./platform/service-manager.ts";
import { systemClock } from "./platform/time.ts";
import { memoryDirectory } from "./platform/work-folder.ts";
import { startWatchdog } from "./platform/watchdog.ts";

const { version } = manifest;

/** systemd waits longer, but nobody should have to: what has not ended by then is cut. */
const drainMs = 4_500;

/** By then a start is over, and memory counts more than speed. */
const startMs = 5_000;

/** EX_TEMPFAIL of sysexits.h: ended in order, because somebody asked for a restart. */
const restartExitCode = 75;

/** A start takes a tenth of a second; staying costs memory. */
const helperIdleMs = 30_000;

async function runAgent(sources: ConfigSources): Promise<number> {
  const stop = new AbortController();
  let stoppedExitCode = 0;
  const reloads = new ReloadRequests();
  process.on("SIGHUP", () => reloads.request());
  const feed = new EventFeed();
  const log = createLog(feed.tap(lineOutput(1)), "notice");
  const drain = (because: string) => {
    stop.abort(new Error(because));
    setTimeout(() => {
      log.warning("agent.drain-cut", { afterMs: drainMs });
      process.exit(stoppedExitCode);
    }, drainMs).unref();
  };
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => drain(name));
  setTimeout(() => void favourMemory(), startMs).unref();
  const serviceManager = createServiceManager(process.env, log);
  using watchdog = startWatchdog(serviceManager, systemClock, log);
  using tokens = new Pkcs11Tokens();
  const inputs = new Inputs(systemClock);
  const desk = new Desk(version, systemClock, Math.random, log);
  const agent: ControlledAgent = {
    version,
    desk,
    log,
    explain: async (last) => {
      const { readJournal } = await import("./agent/journal.ts");
      return readJournal(sources.stateDirectory).slice(-last);
    },
    tell: (event) => inputs.tell(event),
    restart: (because) => {
      log.notice("agent.restarting", { because });
      stoppedExitCode = restartExitCode;
      drain(because);
    },
  };
  const control = deferControl(agent, feed);
  log.notice("agent.started", { version, node: process.versions.node, config: sources.file });
  const code = await runDaemon({
    sources,
    log,
    serviceManager,
    stop: stop.signal,
    reloads,
    wire: (config) =>
      wire(config, {
        version,
        stateDirectory: sources.stateDirectory,
        hostName: hostname(),
        uptimeMs: () => uptime() * 1000,
        openLink: openMqttLink,
        clock: systemClock,
        random: Math.random,
        log,
        inputs,
        desk,
        answerMethod: async ({ name, payload }) => {
          // Not needed before somebody calls.
          const { giveOrder } = await import("./control/orders.ts");
          return giveOrder(name, payload, "a direct method", agent);
        },
        serviceManager,
        watchdog,
        tokens,
        tpm: { workDirectory: memoryDirectory(process.env) },
      }),
  });
  await control?.[Symbol.asyncDispose]();
  desk.heartbeat[Symbol.dispose]();
  return code === 0 ? stoppedExitCode : code;
}

/** The socket for local programs. Without a runtime directory there is none. */
function deferControl(agent: ControlledAgent, feed: EventFeed): DeferredControl | undefined {
  const path = controlPath(process.env);
  if (path === undefined) return undefined;
  return new DeferredControl(agent, async () => {
    const { openControl } = await import("./control/open-control.ts");
    return openControl({ path, agent, feed, clock: systemClock });
  });
}

/** `latebind apply-helper`, as latebind-apply.socket starts it. */
async function runHelper(sources: ConfigSources): Promise<number> {
  const log = createLog(lineOutput(1), "notice");
  const { LISTEN_FDS, LISTEN_PID } = process.env;
  if (process.getuid?.() !== 0 || LISTEN_FDS !== "1" || LISTEN_PID !== String(process.pid)) {
    log.error("helper.not-started", { because: "it is for root, and for latebind-apply.socket to start" });
    return 1;
  }
  // Otherwise its memory would lie in the agent's own folder, where the agent may write.
  if ((process.env["STATE_DIRECTORY"] ?? "") === "") {
    log.error("helper.not-started", {
      because: "STATE_DIRECTORY is not set; the unit needs StateDirectory=",
    });
    return 1;
  }
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => stop.abort(new Error(name)));
  const { runApplyHelper } = await import("./agent/apply-helper.ts");
  // sd_listen_fds(3): what the service manager passes on begins at 3.
  const socket = { fd: 3 };
  await runApplyHelper({ sources, handlerFolders, log, socket, idleMs: helperIdleMs, stop: stop.signal });
  return 0;
}

async function main(): Promise<void> {
  process.exitCode = await runCommandLine(process.argv.slice(2));
}

async function runCommandLine(args: readonly string[]): Promise<number> {
  const file = serviceConfigFile(args);
  if (file !== undefined) return runAgent(configSources(file, process.env));
  const { runProgram } = await import("./cli/program.ts");
  using tokens = new Pkcs11Tokens();
  return await runProgram(args, {
    io: {
      stdout: (line) => {
        process.stdout.write(line);
      },
      stderr: (line) => {
        process.stderr.write(line);
      },
      readStdin: async () => (await import("node:stream/consumers")).text(process.stdin),
      isStdinTerminal: process.stdin.isTTY,
      env: process.env,
    },
    version,
    run: runAgent,
    applyHelper: runHelper,
    device: {
      hostName: hostname(),
      clock: systemClock,
      tokens,
      memoryDirectory: memoryDirectory(process.env),
    },
  });
}

// Not awaited at the top level: the bundle is CommonJS, which starts sooner and has no such await.
void main();
