import { AgentError } from "../platform/failure.ts";
import type { Clock } from "../platform/time.ts";
import { readReply, type Assigned, type Reply } from "./wire.ts";

/** One conversation with DPS, over whatever transport. Each call is one request with its answer. */
export interface RegistrationTransport {
  register(signal: AbortSignal): Promise<Reply>;
  poll(operationId: string, signal: AbortSignal): Promise<Reply>;
}

/** Polls come no faster than this, whatever the service says: 5 per 10 s and device is its limit. */
const leastPollMs = 2_000;

/** How long DPS may be "assigning" before we start over. */
const longestAssigningMs = 15 * 60_000;

/**
 * Asks DPS where this device lives and waits for the answer.
 *
 * Polls no faster than the server's `retry-after` (3 s when absent, never under 2 s) until the state is final.
 * @throws AgentError
 *   retry: `provisioning/throttled` and `provisioning/unavailable` (`retryAfterMs` where the service named one),
 *   `provisioning/failed`, `provisioning/malformed-answer`, `provisioning/still-assigning`;
 *   operator: `provisioning/unauthorized`, `provisioning/enrollment-not-found`, `provisioning/disabled`,
 *   `provisioning/bad-request`; whatever the transport throws.
 * @see https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-dps
 */
export async function register(
  transport: RegistrationTransport,
  clock: Clock,
  signal: AbortSignal,
): Promise<Assigned> {
  const startedAt = clock.monotonic();
  let reply = await transport.register(signal);
  let restarts = 0;
  for (;;) {
    const answer = readReply(reply);
    if (answer.status === "assigned") return answer;
    if (answer.status === "operation-unknown") {
      // The service forgot the operation between two polls: ask once more from the start, then let the back-off rule.
      restarts += 1;
      if (restarts > 1) throw stillAssigning("the operation was lost twice");
      reply = await transport.register(signal);
      continue;
    }
    const waitMs = Math.max(leastPollMs, answer.pollAfterMs);
    // The line is not held open for longer than that; what the service wants is waited for without it.
    if (clock.monotonic() - startedAt + waitMs > longestAssigningMs)
      throw stillAssigning("no final answer within 15 minutes", waitMs);
    await clock.sleep(waitMs, signal);
    reply = await transport.poll(answer.operationId, signal);
  }
}

function stillAssigning(why: string, retryAfterMs?: number): AgentError {
  const message = `DPS did not finish the assignment: ${why}`;
  return new AgentError(
    "provisioning/still-assigning",
    "retry",
    message,
    retryAfterMs === undefined ? {} : { retryAfterMs },
  );
}
