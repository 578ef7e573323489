import { isDeepStrictEqual } from "node:util";
import { loadConfig, type ConfigSources } from "../config/load.ts";
import { formatProblem } from "../config/problem.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../platform/log.ts";
import { NetworkWatch } from "../platform/network-watch.ts";
import type { ServiceManager } from "../platform/service-manager.ts";
import type { ReloadRequests } from "./reload-requests.ts";
import { run } from "./run.ts";
import type { Parts } from "./parts.ts";

/** What the daemon needs from the process it lives in. */
export interface DaemonWorld {
  readonly sources: ConfigSources;
  readonly log: Log;
  readonly serviceManager: ServiceManager;
  /** Aborted by SIGTERM or SIGINT. */
  readonly stop: AbortSignal;
  /** What SIGHUP asks for. */
  readonly reloads: ReloadRequests;
  /** Everything that depends on the configuration. */
  readonly wire: (config: Config) => Parts;
}

/** sysexits.h: EX_SOFTWARE tells systemd to start us again, EX_CONFIG that this would be of no use. */
const exitCode = { stopped: 0, bug: 70, config: 78 } as const;

class Reload extends Error {
  readonly config: Config;

  constructor(config: Config) {
    super("the configuration changed");
    this.config = config;
  }
}

/**
 * Runs the journey until it is told to stop. SIGHUP loads the configuration anew: a good one takes the place of the old at once,
 * a bad one is told in the log and the old one stays in force.
 * @returns the exit code: 0 stopped, 70 a bug, 78 the configuration cannot be used.
 */
export async function runDaemon(world: DaemonWorld): Promise<number> {
  const { log, serviceManager, stop } = world;
  stop.addEventListener("abort", () => serviceManager.stopping(), { once: true });
  let config = await load(world);
  if (config === undefined) return exitCode.config;
  for (;;) {
    try {
      await journey(config, world);
    } catch (error) {
      if (error instanceof Reload) {
        config = error.config;
        continue;
      }
      if (stop.aborted) break;
      log.error("agent.bug", { error, stack: error instanceof Error ? error.stack : undefined });
      return exitCode.bug;
    }
  }
  log.notice("agent.stopped");
  await serviceManager.settled();
  return exitCode.stopped;
}

async function journey(config: Config, world: DaemonWorld): Promise<never> {
  const change = new AbortController();
  const over = new AbortController();
  const signal = AbortSignal.any([world.stop, change.signal]);
  const untilOver = AbortSignal.any([signal, over.signal]);
  const watching = watchReloads(config, world, change, untilOver);
  const parts = world.wire(config);
  const network = watchNetwork(parts, untilOver);
  const alsoDue = async () => {
    network.look();
    await parts.writeState();
  };
  const looking = parts.clockWatch.run(config.hub.keepAliveMs, alsoDue, untilOver);
  try {
    return await run(parts, signal);
  } finally {
    over.abort(new Error("the journey is over"));
    await watching;
    await looking;
    await network.ended;
  }
}

/** `look` compares now; the kernel is listened to besides. */
function watchNetwork(
  parts: Parts,
  signal: AbortSignal,
): { readonly look: () => void; readonly ended: Promise<void> } {
  const heeding = new Set<Promise<void>>();
  const watch = new NetworkWatch(parts.clock, (event) => {
    const heeded = parts.heedNetwork(event, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    heeding.add(heeded);
    void heeded.finally(() => heeding.delete(heeded));
  });
  const ended = async () => {
    await watch.run(signal);
    await Promise.all(heeding);
  };
  return { look: () => watch.look(), ended: ended() };
}

/** Loads the configuration at each request until a good one ends this journey. */
async function watchReloads(
  current: Config,
  { reloads, ...world }: DaemonWorld,
  change: AbortController,
  signal: AbortSignal,
): Promise<void> {
  const { log, serviceManager } = world;
  while (await reloads.next(signal)) {
    serviceManager.reloading();
    const next = await load(world);
    if (next === undefined)
      log.error("config.kept", { because: "the new configuration has problems; the old one stays in force" });
    else log.notice("config.reloaded", { changed: !isDeepStrictEqual(next, current) });
    serviceManager.ready();
    // The same configuration starts the journey anew as well: whoever sends SIGHUP has mended something.
    if (next !== undefined) change.abort(new Reload(next));
  }
}

async function load({ sources, log }: Pick<DaemonWorld, "sources" | "log">): Promise<Config | undefined> {
  const loaded = await loadConfig(sources);
  for (const warning of loaded.warnings) log.warning("config.warning", { says: formatProblem(warning) });
  if (loaded.status === "valid") return loaded.config;
  for (const problem of loaded.problems) log.error("config.invalid", { says: formatProblem(problem) });
  return undefined;
}
