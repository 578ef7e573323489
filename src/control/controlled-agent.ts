import type { Desk } from "../agent/desk.ts";
import type { InputEvent } from "../agent/inputs.ts";
import type { Json } from "../platform/json.ts";
import type { Log } from "../platform/log.ts";

/** The running agent as methods and the control socket have it before them. */
export interface ControlledAgent {
  readonly version: string;
  readonly desk: Desk;
  readonly log: Log;
  /** Tells the journey what is wished. */
  readonly tell: (event: InputEvent) => void;
  /** Ends the process in order, so that its supervisor starts it anew. */
  readonly restart: (because: string) => void;
  /** The last entries of the agent's journal, the newest last. */
  readonly explain: (last: number) => Promise<readonly Json[]>;
}
