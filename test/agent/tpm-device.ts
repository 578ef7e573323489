import { readEndorsementKey } from "../../src/identity/tpm/primary-keys.ts";
import { tpmRegistrationId } from "../../src/identity/tpm/registration-id.ts";
import { systemClock, type Clock } from "../../src/platform/time.ts";
import type { Cloud } from "../cloud/cloud.ts";
import type { SoftTpm } from "../identity/soft-tpm.ts";
import type { Gateway } from "./gateway.ts";

const never = new AbortController().signal;

/** What an operator enrolls: the endorsement key that the TPM has, and the registration ID that follows from it. */
export async function enrollTpm(cloud: Cloud, soft: SoftTpm): Promise<string> {
  const tpm = soft.open();
  const { bytes } = await tpm.use(async (commands) => readEndorsementKey(commands, tpm.settings), never);
  const registrationId = tpmRegistrationId(bytes);
  cloud.levers.enrollments.put({
    registrationId,
    attestation: { type: "tpm", endorsementKey: bytes.toString("base64") },
    hub: "test",
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
  return registrationId;
}

/** The waits between attempts pass 50 times as fast; what is set for longer, as the renewal of tokens, does not. */
export class HurriedClock implements Clock {
  #aheadMs = 0;

  now(): number {
    return systemClock.now() + this.#aheadMs;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#aheadMs;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    await systemClock.sleep(ms < 5 * 60_000 ? ms / 50 : ms, signal);
  }

  /** So that the next token is another one than the last. */
  aSecondPasses(): void {
    this.#aheadMs += 1000;
  }
}

export const hurried: Clock = new HurriedClock();

/** How often DPS gave this device a hub. */
export function registrations(gateway: Gateway): number {
  return gateway.events("provisioning.assigned").length;
}
