import type { AgentError } from "../platform/failure.ts";

/** What happened so far, as far as it decides what comes next. Plain data. */
export interface History {
  /** Failed identity steps in a row. */
  readonly identityFailures: number;
  /** DPS conversations since a hub last accepted us, good and bad: it is the hub's word that counts. */
  readonly dpsAttempts: number;
  /** Failed connections to the hub in a row, of any kind. */
  readonly hubFailures: number;
  /** Refusals by the present hub in a row: the second one leads to DPS. */
  readonly hubRefusals: number;
  readonly lastError?: { readonly code: string; readonly message: string };
}

export const blankHistory: History = { identityFailures: 0, dpsAttempts: 0, hubFailures: 0, hubRefusals: 0 };

/** A session must hold this long before the hub's back-off starts anew: a flapping line must not reset it. */
const provenAfterMs = 60_000;

export function afterIdentified(history: History): History {
  return { ...history, identityFailures: 0 };
}

/** DPS named a hub. A fresh assignment earns two chances of its own. */
export function afterAssigned(history: History): History {
  return { ...history, dpsAttempts: history.dpsAttempts + 1, hubRefusals: 0 };
}

/** The hub answered CONNECT with 0. */
export function afterAccepted(history: History): History {
  return { ...history, hubRefusals: 0, dpsAttempts: 0 };
}

/** A session ended, whatever the reason. */
export function afterSession(history: History, heldForMs: number): History {
  return heldForMs >= provenAfterMs ? { ...history, hubFailures: 0 } : history;
}

export function afterFailure(
  history: History,
  at: "identifying" | "provisioning" | "online",
  error: AgentError,
): History {
  const lastError = { code: error.code, message: error.message };
  switch (at) {
    case "identifying":
      return { ...history, lastError, identityFailures: history.identityFailures + 1 };
    case "provisioning":
      return { ...history, lastError, dpsAttempts: history.dpsAttempts + 1 };
    case "online":
      return {
        ...history,
        lastError,
        hubFailures: history.hubFailures + 1,
        hubRefusals: history.hubRefusals + (error.remedy === "reprovision" ? 1 : 0),
      };
  }
}
