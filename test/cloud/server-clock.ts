/** Longer timers overflow and fire at once; this one is set again until its moment has come. */
const longestTimerMs = 2 ** 31 - 1;

/** The time the cloud believes in, and alarms that follow when that time is moved. */
export class ServerClock {
  readonly #base: () => number;
  readonly #alarms = new Set<Alarm>();
  #offsetMs = 0;

  constructor(base: () => number) {
    this.#base = base;
  }

  now(): number {
    return this.#base() + this.#offsetMs;
  }

  get offsetMs(): number {
    return this.#offsetMs;
  }

  setOffset(offsetMs: number): void {
    this.#offsetMs = offsetMs;
    for (const alarm of this.#alarms) this.#arm(alarm);
  }

  /** Calls `ring` once when the cloud's time reaches `atMs`. @returns how to call it off. */
  at(atMs: number, ring: () => void): () => void {
    const alarm: Alarm = { atMs, ring, timer: undefined };
    this.#alarms.add(alarm);
    this.#arm(alarm);
    return () => this.#disarm(alarm);
  }

  stop(): void {
    for (const alarm of this.#alarms) this.#disarm(alarm);
  }

  #arm(alarm: Alarm): void {
    clearTimeout(alarm.timer);
    const waitMs = Math.min(Math.max(alarm.atMs - this.now(), 0), longestTimerMs);
    alarm.timer = setTimeout(() => {
      if (this.now() < alarm.atMs) {
        this.#arm(alarm);
        return;
      }
      this.#disarm(alarm);
      alarm.ring();
    }, waitMs);
  }

  #disarm(alarm: Alarm): void {
    clearTimeout(alarm.timer);
    this.#alarms.delete(alarm);
  }
}

interface Alarm {
  readonly atMs: number;
  readonly ring: () => void;
  timer: NodeJS.Timeout | undefined;
}
