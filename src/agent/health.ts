/** What is known about the agent's state, as plain data; times are wall clock, milliseconds since 1970. */
export type HealthFacts =
  | { readonly at: "starting" }
  | { readonly at: "identifying" }
  | { readonly at: "registering"; readonly endpoint: string; readonly because: string }
  | { readonly at: "connecting"; readonly hub: string }
  /** A wait that was decided before the process started goes on. */
  | { readonly at: "holding"; readonly untilMs: number; readonly lastCode?: string }
  | {
      readonly at: "connected";
      readonly hub: string;
      readonly deviceId: string;
      readonly desiredVersion: number;
      readonly failed: readonly string[];
      /** Set when this hub only serves until DPS answers. */
      readonly isFallback: boolean;
      readonly certificateExpiresAtMs?: number;
      /** With a TPM: what its latest signature took. */
      readonly tpmSignsInMs?: number;
      /** What a person should mend though the device is connected, as sentences. */
      readonly warnings?: readonly string[];
    }
  | {
      readonly at: "waiting";
      readonly forMs: number;
      readonly untilMs: number;
      readonly next: string;
      readonly error: { readonly code: string; readonly message: string };
      readonly warnings?: readonly string[];
    };

/** One sentence that says whether the device is connected and, where it is not, why and what comes next. Pure. */
export function health(facts: HealthFacts): string {
  switch (facts.at) {
    case "starting":
      return "starting: not connected yet";
    case "identifying":
      return "not connected: opening the device's identity";
    case "registering":
      return `not connected: asking DPS at ${facts.endpoint} for a hub (${facts.because})`;
    case "connecting":
      return `not connected: connecting to ${facts.hub}`;
    case "holding":
      return (
        `not connected: DPS was asked often of late${facts.lastCode === undefined ? "" : ` and last said ${facts.lastCode}`}; ` +
        `next: ask DPS at ${clockTime(facts.untilMs)}, or at once: latebind reprovision`
      );
    case "connected":
      return connected(facts);
    case "waiting":
      return `not connected: ${facts.error.message} [${facts.error.code}]; next: ${facts.next} at ${clockTime(facts.untilMs)}${warningWords(facts)}`;
  }
}

function connected(facts: Extract<HealthFacts, { at: "connected" }>): string {
  const twin =
    facts.failed.length === 0
      ? `desired version ${facts.desiredVersion} applied`
      : `desired version ${facts.desiredVersion}, not applied: ${facts.failed.join(", ")}`;
  const fallback = facts.isFallback ? " (the previous hub, until DPS answers)" : "";
  const expiry =
    facts.certificateExpiresAtMs === undefined
      ? ""
      : `; certificate holds until ${new Date(facts.certificateExpiresAtMs).toISOString().slice(0, 10)}`;
  const tpm = facts.tpmSignsInMs === undefined ? "" : `; the TPM signs in ${facts.tpmSignsInMs} ms`;
  return `connected to ${facts.hub} as ${facts.deviceId}${fallback}; ${twin}${expiry}${tpm}${warningWords(facts)}`;
}

function warningWords({ warnings = [] }: { readonly warnings?: readonly string[] }): string {
  return warnings.map((warning) => `; warning: ${warning}`).join("");
}

/** 14:09:31Z: a log line beside it says the day. */
function clockTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(11, 19)}Z`;
}
