import { randomUUID } from "node:crypto";
import type { FaultAct, Operation } from "./fault-spec.ts";

type Answer = Extract<FaultAct, { act: "answer" }>;

/** How the topics of requests begin, and those of their answers; without the latter nothing is ever answered. */
const operations: readonly {
  readonly operation: Operation;
  readonly request: RegExp;
  readonly answer?: string;
}[] = [
  { operation: "register", request: /^\$dps\/registrations\/PUT\//, answer: "$dps/registrations/res" },
  { operation: "poll", request: /^\$dps\/registrations\/GET\//, answer: "$dps/registrations/res" },
  { operation: "twin-get", request: /^\$iothub\/twin\/GET\//, answer: "$iothub/twin/res" },
  { operation: "twin-patch", request: /^\$iothub\/twin\/PATCH\//, answer: "$iothub/twin/res" },
  { operation: "telemetry", request: /^devices\/[^/]+\/messages\/events\// },
  { operation: "method-answer", request: /^\$iothub\/methods\/res\// },
  {
    operation: "issue-certificate",
    request: /^\$iothub\/credentials\/POST\//,
    answer: "$iothub/credentials/res",
  },
];

/** What a device asks for by publishing to this topic. */
export function operationOf(topic: string): Operation | undefined {
  return operations.find(({ request }) => request.test(topic))?.operation;
}

/** Where the answer to a request on this topic goes: `$rid` as it came, and DPS's wish for patience. */
export function answerTopic(requestTopic: string, { status, retryAfterSeconds }: Answer): string | undefined {
  const prefix = operations.find(({ request }) => request.test(requestTopic))?.answer;
  const rid = /\$rid=([^&]+)/.exec(requestTopic)?.[1];
  if (prefix === undefined || rid === undefined) return undefined;
  const retryAfter = retryAfterSeconds === undefined ? "" : `&retry-after=${retryAfterSeconds}`;
  return `${prefix}/${status}/?$rid=${rid}${retryAfter}`;
}

/** The given body, or an error as both services document it. */
export function answerBody({ status, errorCode, body }: Answer): string {
  if (body !== undefined) return body;
  return JSON.stringify({
    errorCode: errorCode ?? status * 1000,
    trackingId: randomUUID(),
    message: "as the fault script wants it",
    timestampUtc: new Date().toISOString(),
    info: null,
  });
}
