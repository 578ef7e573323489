import { health } from "../agent/health.ts";
import type { Json, JsonObject } from "../platform/json.ts";
import type { ControlledAgent } from "./controlled-agent.ts";

/** What `latebind status`, the method `status` and `GET /v1/status` tell: one sentence, and its facts. Times are RFC 3339. */
export function statusOf({ version, desk }: ControlledAgent): JsonObject {
  const facts = desk.health;
  const told: Record<string, Json | undefined> = {
    says: health(facts),
    isConnected: facts.at === "connected",
    at: facts.at,
    version,
    startedAt: moment(desk.startedAtMs),
    connectedSince: moment(desk.connectedSinceMs),
    hub: "hub" in facts ? facts.hub : undefined,
    deviceId: "deviceId" in facts ? facts.deviceId : undefined,
    desiredVersion: desk.twin?.desired.version,
    failed: facts.at === "connected" ? facts.failed : undefined,
    certificateExpires: moment("certificateExpiresAtMs" in facts ? facts.certificateExpiresAtMs : undefined),
    tpmSignsInMs: facts.at === "connected" ? facts.tpmSignsInMs : undefined,
    error: facts.at === "waiting" ? { code: facts.error.code, message: facts.error.message } : undefined,
    nextAt: moment(facts.at === "waiting" ? facts.untilMs : undefined),
    warnings: facts.at === "connected" ? (facts.warnings ?? []) : undefined,
    limits: desk.limits,
    notReported: desk.reporter.quarantined,
    telemetry: { waiting: desk.outbox.waiting, sent: desk.outbox.sent, dropped: desk.outbox.dropped },
    programReportsWaiting: desk.programs.waiting,
  };
  return Object.fromEntries(
    Object.entries(told).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
  );
}

function moment(ms: number | undefined): string | undefined {
  return ms === undefined || !Number.isFinite(ms) ? undefined : new Date(ms).toISOString();
}
