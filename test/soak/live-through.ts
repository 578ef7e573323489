import { setTimeout as realTime } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Gateway } from "../agent/gateway.ts";
import type { Cloud } from "../cloud/cloud.ts";
import { createRandom } from "../cloud/fault-random.ts";
import type { ManualClock } from "../manual-clock.ts";
import type { Layer, Scene, Trouble } from "./trouble.ts";
import { homeOf } from "./world-troubles.ts";

interface Life {
  readonly seed: string;
  readonly cloud: Cloud;
  readonly gateway: Gateway;
  readonly troubles: readonly Trouble[];
  /** Absent where the gateway lives in real time. */
  readonly clock?: ManualClock;
  readonly durationMs: number;
  /** Whether the agent says so itself; asked of the gateway where absent. */
  readonly isConnected?: () => boolean;
  /** Whoever mended something may tell the agent. */
  readonly onMended?: (isLast: boolean) => void;
  /** How many times faster than real the agent's time passes; 1 without a clock. */
  readonly speed: number;
}

export interface Lived {
  /** How often each layer struck. */
  readonly strikes: Readonly<Record<Layer, number>>;
  readonly names: ReadonlySet<string>;
  /** From the last mending to a device that is connected and as it should be, in the agent's time. */
  readonly recoveredInMs: number;
}

/** How often the simulated clock is moved on, real time. */
const tickMs = 10;

/** The slowest probe is every six hours; the device must be back after one of them. */
const longestRecoveryMs = 13 * 60 * 60_000;

/** Lives through trouble for a time, has everything mended, and waits until the device is connected and converged. */
export async function liveThrough(life: Life): Promise<Lived> {
  const random = createRandom(life.seed);
  const scene: Scene = {
    ...life,
    random,
    pick: (list) => list[Math.floor(random() * list.length)] ?? list[0],
  };
  const time = new SoakTime(life);
  const strikes = { tcp: 0, tls: 0, mqtt: 0, service: 0, cloud: 0, machine: 0, operator: 0 };
  const names = new Set<string>();
  let due: { readonly atMs: number; readonly mend: () => void | Promise<void> }[] = [];
  let nextAtMs = 0;
  for (let count = 1; time.now() < life.durationMs;) {
    await time.tick();
    const ripe = due.filter(({ atMs }) => atMs <= time.now());
    due = due.filter((one) => !ripe.includes(one));
    for (const { mend } of ripe) {
      await mend();
      life.onMended?.(false);
    }
    if (time.now() < nextAtMs) continue;
    nextAtMs = time.now() + (2 + 10 * random()) * 1000;
    want(scene, count);
    count += 1;
    const trouble = life.troubles[Math.floor(random() * life.troubles.length)];
    if (trouble === undefined) throw new Error("there is no trouble");
    strikes[trouble.layer] += 1;
    names.add(trouble.name);
    const mend = await trouble.strike(scene);
    if (mend !== undefined) due.push({ atMs: time.now() + (3 + 30 * random()) * 1000, mend });
  }
  for (const { mend } of due) await mend();
  life.cloud.faults.clear();
  life.onMended?.(true);
  return { strikes, names, recoveredInMs: await recover(life, scene, time) };
}

/** Another desired document, where the device has a home. */
function want(scene: Scene, count: number): void {
  const home = homeOf(scene);
  const desired = { site: { count } };
  if (home !== undefined) scene.cloud.levers.patchTwin(home, scene.gateway.registrationId, { desired });
}

async function recover(life: Life, scene: Scene, time: SoakTime): Promise<number> {
  const { gateway, cloud } = scene;
  const { registrationId } = gateway;
  const startedAt = time.now();
  const last = { site: { count: "last" } };
  cloud.levers.enrollments.change(registrationId, { initialTwin: { desired: last } });
  let toldHome: string | undefined;
  const isConnected = life.isConnected ?? (() => gateway.health.at(-1)?.at === "connected");
  while (!isConnected() || !isConverged(scene)) {
    await time.tick();
    if (time.now() - startedAt > longestRecoveryMs)
      throw new Error(`not back after ${longestRecoveryMs} ms: ${gateway.status}\n${tail(gateway)}`);
    const home = homeOf(scene);
    if (home !== undefined && home !== toldHome)
      cloud.levers.patchTwin(home, registrationId, { desired: last });
    toldHome = home;
    time.hasten(startedAt);
  }
  return time.now() - startedAt;
}

function isConverged(scene: Scene): boolean {
  const { cloud, gateway } = scene;
  const home = homeOf(scene);
  if (home === undefined) return false;
  const { desired, reported } = cloud.levers.twin(home, gateway.registrationId);
  const acknowledged = { ac: 200, av: desired.version };
  const site: unknown = reported.properties["site"];
  return (
    JSON.stringify(gateway.site()) === JSON.stringify({ count: "last" }) &&
    isDeepStrictEqual(site, { ...toObject(site), ...acknowledged })
  );
}

function toObject(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}

function tail(gateway: Gateway): string {
  return gateway.lines
    .slice(-10)
    .map((line) => JSON.stringify(line))
    .join("\n");
}

/** The agent's time: a simulated clock that is moved on while real sockets do their work, or real time. */
class SoakTime {
  readonly #clock: ManualClock | undefined;
  #speed: number;
  readonly #startedAt = performance.now();

  constructor({ clock, speed }: Life) {
    this.#clock = clock;
    this.#speed = speed;
  }

  now(): number {
    return this.#clock?.monotonic() ?? performance.now() - this.#startedAt;
  }

  async tick(): Promise<void> {
    await realTime(tickMs);
    this.#clock?.advance(tickMs * this.#speed);
  }

  /** Hours of slow probing pass ever faster. */
  hasten(since: number): void {
    if (this.#clock !== undefined && this.now() - since > 10 * 60_000) this.#speed = 2_000;
  }
}
