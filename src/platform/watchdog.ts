import type { Log } from "./log.ts";
import type { ServiceManager } from "./service-manager.ts";
import type { Clock } from "./time.ts";

export interface Watchdog extends Disposable {
  /** The next sign of life comes within this time. Until then the service manager is kept content. */
  expect(withinMs: number): void;
}

/**
 * Feeds the service manager's watchdog at half its interval, but only while the journey keeps its own promises: an agent
 * that is stuck in one step is restarted although its event loop still turns.
 */
export function startWatchdog(serviceManager: ServiceManager, clock: Clock, log: Log): Watchdog {
  const { watchdogMs } = serviceManager;
  let dueAt = Number.POSITIVE_INFINITY;
  let isStuck = false;
  const feed = () => {
    if (clock.monotonic() <= dueAt) serviceManager.watchdog();
    else if (!isStuck) {
      isStuck = true;
      log.error("agent.stuck", { overdueMs: Math.round(clock.monotonic() - dueAt) });
    }
  };
  const timer = watchdogMs === undefined ? undefined : setInterval(feed, watchdogMs / 2);
  return {
    expect(withinMs) {
      dueAt = clock.monotonic() + withinMs;
      isStuck = false;
    },
    [Symbol.dispose]() {
      clearInterval(timer);
    },
  };
}
