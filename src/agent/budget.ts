/** One conversation with DPS that cost something. */
export interface Expense {
  /** Agent time, milliseconds. */
  readonly atMs: number;
  /** An estimate of what went over the wire. */
  readonly bytes: number;
}

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

/** What a device may cost its operator in a day while DPS does not help it: airtime is paid for by the byte. */
export const mostCallsPerDay = 60;
export const mostBytesPerDay = 300_000;

/**
 * TLS with a server chain of two certificates, CONNECT, SUBSCRIBE, register, a poll or two, with the headers of TCP and IP:
 * measured against the local cloud and rounded up for Azure's longer chain.
 */
const conversationBytes = 7_500;

/** Nothing but a handshake that came to nothing, or a look whether the service can be reached. */
export const handshakeBytes = 5_500;

/** What a failed call cost, by its code: nothing where nobody was reached. */
export function costOf(code: string): number {
  if (/\/(?:name-not-found|unreachable|connect-timeout)$/.test(code)) return 0;
  return /\/tls-/.test(code) ? handshakeBytes : conversationBytes;
}

export function costOfSuccess(): number {
  return conversationBytes;
}

export function spend(expenses: readonly Expense[], atMs: number, bytes: number): readonly Expense[] {
  const recent = expenses.filter((expense) => expense.atMs > atMs - day);
  return bytes === 0 ? recent : [...recent, { atMs, bytes }];
}

/**
 * Whether half of a day's budget is spent, and how long to leave between two calls then.
 *
 * The second half is stretched over a whole day: so no 24 hours ever see more than the budget, and yet it never comes to a dead stop.
 * @returns 0 while there is plenty.
 */
export function leastGapMs(expenses: readonly Expense[], nowMs: number): number {
  const recent = expenses.filter(({ atMs }) => atMs > nowMs - day);
  const bytes = recent.reduce((sum, expense) => sum + expense.bytes, 0);
  const calls = recent.filter((expense) => expense.bytes >= conversationBytes).length;
  const isStrained = calls >= mostCallsPerDay / 2 || bytes >= mostBytesPerDay / 2;
  if (!isStrained) return 0;
  return Math.max(day / (mostCallsPerDay / 2), day * (conversationBytes / (mostBytesPerDay / 2)));
}

/** A person who tries this and that at the device is not kept waiting. */
const freeStartsPerHour = 3;

/**
 * When a start of the agent may ask, whatever its ladder says: whoever starts it may have mended something, but a machine that
 * starts over and over must not ask each time.
 */
export function startMayAskAtMs(expenses: readonly Expense[], nowMs: number): number {
  const last = expenses.at(-1);
  if (last === undefined) return nowMs;
  const inLastHour = expenses.filter(({ atMs }) => atMs > nowMs - hour).length;
  return last.atMs + Math.max(0, inLastHour - freeStartsPerHour) * minute;
}
