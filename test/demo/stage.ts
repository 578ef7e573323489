import { isDeepStrictEqual } from "node:util";
import type { Cloud } from "../cloud/cloud.ts";
import type { CloudEvent } from "../cloud/journal.ts";
import { DemoFailure, Interrupted } from "./failure.ts";
import { property, type Gateway } from "./gateway.ts";
import type { Narrator } from "./narrator.ts";
import type { Operator } from "./operator.ts";

/** Everybody who takes part. */
export interface Stage {
  readonly cloud: Cloud;
  readonly gateway: Gateway;
  readonly operator: Operator;
  readonly narrator: Narrator;
  /** Aborted by Ctrl-C. */
  readonly interrupted: AbortSignal;
}

/** Which event of the cloud's journal proves something. */
export interface Proof {
  /** For people: what should have happened. */
  readonly expected: string;
  readonly by: (event: CloudEvent) => boolean;
  /** Only what the journal has after this number. */
  readonly after: number;
  readonly withinMs?: number;
}

/**
 * Waits until the cloud saw it: the agent's own words count for nothing.
 * @throws DemoFailure when the time is over, or the agent has ended.
 */
export async function seen(
  { cloud, gateway, interrupted }: Stage,
  { expected, by, after, withinMs = 20_000 }: Proof,
): Promise<CloudEvent> {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(new Interrupted());
  interrupted.addEventListener("abort", stop);
  try {
    interrupted.throwIfAborted();
    return await Promise.race([
      cloud.waitFor(by, withinMs, after).catch((cause: unknown) => {
        throw new DemoFailure(expected, String(cause).split("\n"), { cause });
      }),
      gateway.agent.endsUnasked(),
      stopped,
    ]);
  } finally {
    interrupted.removeEventListener("abort", stop);
  }
}

/** Waits until DPS has sent the device to this hub. */
export async function assigned(stage: Stage, hub: string, after: number): Promise<CloudEvent> {
  const { cloud, gateway } = stage;
  const expected = `DPS sends the agent to hub ${hub}`;
  const event = await seen(stage, {
    expected,
    after,
    by: (event) => event.kind === "poll" && event.registrationStatus === "assigned",
  });
  const registration = cloud.levers
    .registrations()
    .find(({ registrationId }) => registrationId === gateway.registrationId);
  if (registration?.hub === hub) return event;
  throw new DemoFailure(expected, [`it went to ${registration?.hub ?? "no hub"}`]);
}

/** Waits until this hub has let the agent in. */
export async function letIn(stage: Stage, hub: string, after: number): Promise<CloudEvent> {
  return seen(stage, {
    expected: `the agent connects to hub ${hub} and is accepted`,
    after,
    by: (event) => event.endpoint === hub && event.kind === "connect" && event.returnCode === 0,
  });
}

/**
 * Waits until the twin in this hub says that the newest desired version of the property is in force.
 * @returns the acknowledgement's event.
 */
export async function acknowledged(
  stage: Stage,
  hub: string,
  wanted: object,
  after: number,
): Promise<CloudEvent> {
  const { cloud, gateway } = stage;
  const { desired } = cloud.levers.twin(hub, gateway.registrationId);
  const event = await seen(stage, {
    expected: `the agent acknowledges version ${desired.version} of "${property}" in hub ${hub}`,
    after,
    by: (event) =>
      event.endpoint === hub &&
      event.kind === "twin-patch" &&
      event.status === 204 &&
      acknowledgedVersion(event.body) === desired.version,
  });
  const { reported } = cloud.levers.twin(hub, gateway.registrationId);
  const found = reported.properties[property];
  const ack = { value: wanted, ac: 200, av: desired.version };
  if (!isDeepStrictEqual({ ...Object(found), ad: undefined }, { ...ack, ad: undefined })) {
    throw new DemoFailure(`the twin's reported properties have ${JSON.stringify(ack)}`, [
      JSON.stringify(found),
    ]);
  }
  return event;
}

function acknowledgedVersion(patch: string): unknown {
  const body: unknown = JSON.parse(patch);
  const ack: unknown = isRecord(body) ? body[property] : undefined;
  return isRecord(ack) ? ack["av"] : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
