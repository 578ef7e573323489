import * as v from "valibot";
import type { AllocationFailure } from "./allocate.ts";
import type { JsonObject, JsonValue } from "./json.ts";
import { parseJson } from "./json.ts";
import type { InitialTwin } from "./twin.ts";

/** What a custom allocation function is sent. */
export interface AllocationRequest {
  readonly individualEnrollment?: object;
  readonly enrollmentGroup?: object;
  readonly deviceRuntimeContext: {
    readonly registrationId: string;
    readonly currentIotHubHostName?: string;
    readonly currentDeviceId?: string;
    readonly payload?: JsonValue;
    readonly x509?: JsonObject;
    readonly tpm?: JsonObject;
    readonly symmetricKey?: JsonObject;
  };
  readonly linkedHubs: readonly string[];
}

interface AllocationResponse {
  readonly iotHubHostName: string;
  readonly initialTwin?: InitialTwin;
  readonly payload?: JsonValue;
}

const answerWithinMs = 5000;
const jsonObject = v.record(
  v.string(),
  v.custom<JsonValue>((value) => value !== undefined),
);
const response = v.object({
  iotHubHostName: v.string(),
  initialTwin: v.nullish(
    v.object({
      tags: v.nullish(jsonObject),
      properties: v.nullish(v.object({ desired: v.nullish(jsonObject) })),
    }),
  ),
  payload: v.optional(v.custom<JsonValue>((value) => value !== undefined)),
});

/**
 * Asks a custom allocation function where a device shall go, with five seconds to answer. Whatever goes wrong is the
 * device's failure 400207.
 * @see https://learn.microsoft.com/azure/iot-dps/concepts-custom-allocation
 */
export async function askWebhook(
  url: string,
  request: AllocationRequest,
  signal: AbortSignal,
): Promise<AllocationResponse | AllocationFailure> {
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json; charset=utf-8" },
      body: JSON.stringify(request),
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerWithinMs)]),
    });
    const text = await answer.text();
    if (answer.status !== 200) return failed(`failed with status code: ${answer.status}`);
    return read(text);
  } catch {
    return failed("could not be reached or did not answer in time");
  }
}

function read(text: string): AllocationResponse | AllocationFailure {
  const result = v.safeParse(response, parseJson(text));
  if (!result.success) return failed("answered with something else than an allocation");
  const { iotHubHostName, initialTwin, payload } = result.output;
  const tags = initialTwin?.tags ?? undefined;
  const desired = initialTwin?.properties?.desired ?? undefined;
  return {
    iotHubHostName,
    ...(initialTwin === undefined || initialTwin === null ? {} : { initialTwin: { tags, desired } }),
    ...(payload === undefined ? {} : { payload }),
  };
}

function failed(because: string): AllocationFailure {
  return { errorCode: 400207, errorMessage: `Custom allocation ${because}` };
}
