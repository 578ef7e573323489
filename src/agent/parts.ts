import type { Appliers } from "../appliers/applier.ts";
import type { Config } from "../config/config.ts";
import type { CloudMessage } from "../hub/callers.ts";
import type { AnswerMethod } from "../hub/methods.ts";
import type { OpenIdentity } from "../identity/identity.ts";
import type { OpenLink } from "../mqtt/link.ts";
import type { Random } from "../platform/backoff.ts";
import type { ClockWatch } from "../platform/clock-watch.ts";
import type { KnownTime } from "../platform/known-time.ts";
import type { Log } from "../platform/log.ts";
import type { NetworkEvent } from "../platform/network-watch.ts";
import type { Store } from "../platform/store.ts";
import type { SigningTime } from "../platform/signing-time.ts";
import type { Clock } from "../platform/time.ts";
import type { WayOut } from "../platform/way-out.ts";
import type { StoredAssignments } from "../provisioning/assignment.ts";
import type { Desk } from "./desk.ts";
import type { DeviceState } from "./device.ts";
import type { HealthFacts } from "./health.ts";
import type { Inputs } from "./inputs.ts";
import type { Journal } from "./journal.ts";
import type { StoredHistory } from "./stored-history.ts";

/** What the journey needs from the world; `main.ts` wires the real things. */
export interface Parts {
  readonly config: Config;
  /** Of the agent: `1.2.3`. */
  readonly version: string;
  /** Opens the key anew: each step has its own. */
  readonly openIdentity: (signal: AbortSignal) => Promise<OpenIdentity>;
  readonly openLink: OpenLink;
  /** Draws the consequences of another network. */
  readonly heedNetwork: (event: NetworkEvent, signal: AbortSignal) => Promise<void>;
  /** PEM; read anew for each connection, so that a mended bundle heals the agent. */
  readonly trustedRoots: () => Promise<string>;
  /** Spread into every address that is connected to. The proxy's credentials are read anew. */
  readonly through: () => Promise<WayOut>;
  readonly assignments: Store<StoredAssignments>;
  readonly device: Store<DeviceState>;
  /** Writes what the disk refused so far. */
  readonly writeState: () => Promise<void>;
  /** Ladders, strikes and what DPS was asked today: see `History`. */
  readonly history: Store<StoredHistory>;
  readonly journal: Journal;
  readonly appliers: Appliers;
  /** Longest silence on the line of a session that begins now. */
  readonly keepAliveMs: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What is known beyond this journey. */
  readonly desk: Desk;
  /** Answers the cloud's direct methods. */
  readonly answerMethod: AnswerMethod;
  /** Takes the cloud's messages. */
  readonly onMessage: (message: CloudMessage) => void;
  /** What the rest of the house tells the journey while it waits. */
  readonly inputs: Inputs;
  /** Whether the kernel says that the wall clock is synchronised; undefined where nobody can tell. */
  readonly isClockSynchronised: (signal: AbortSignal) => Promise<boolean | undefined>;
  /** Moments that have certainly passed, for a clock in doubt. */
  readonly knownTime: () => KnownTime;
  /** The time for tokens and certificates: the wall clock, or better where it proved wrong. */
  readonly signingTime: SigningTime;
  readonly clockWatch: ClockWatch;
  /** Whether DPS can be reached over TLS, which proves the network. */
  readonly canReachDps: (signal: AbortSignal) => Promise<boolean>;
  /** How long this machine has been running. */
  readonly uptimeMs: () => number;
  /** Called whenever the state of health changes. */
  readonly onHealth: (facts: HealthFacts) => void;
  /** Called when config and identity are good and the last known desired state is in force. */
  readonly onReady: () => void;
  /** What went wrong last, for the report. */
  readonly lastError: () => { readonly lastError?: string };
  /** Says that the next sign of life comes within this time; the watchdog bites when it does not. */
  readonly expectProgress: (withinMs: number) => void;
}
