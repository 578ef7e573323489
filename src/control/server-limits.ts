/** What one program may take of the agent. Whoever may connect is trusted with the device, but not to be free of faults. */
export const serverLimits = {
  /** Further ones are closed at once. */
  connections: 64,
  /** From the first byte of a request to its last, and how long a connection may be idle. */
  requestMs: 10_000,
  headerBytes: 8 * 1024,
  bodyBytes: 64 * 1024,
  /** Of one connection: so many at once, and so many a second from then on. */
  burst: 50,
  perSecond: 20,
  /** A connection that goes on after so many refusals is closed. */
  refusals: 100,
  streams: 8,
  /** What a reader of a stream may leave unread before it is closed. */
  streamBytes: 256 * 1024,
} as const;
