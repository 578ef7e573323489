import type { AgentError } from "../platform/failure.ts";

/** What happened so far, as far as it decides what comes next. Plain data. */
export interface History {
  /** Failed identity steps in a row. */
  readonly identityFailures: number;
  /** DPS conversations since the assigned hub last accepted us, good and bad: it is the hub's word that counts. */
  readonly dpsAttempts: number;
  /** Failed connections to the hub in a row, of any kind. */
  readonly hubFailures: number;
  /** Refusals by the present hub in a row: the second one leads to DPS. */
  readonly hubRefusals: number;
  /** The last failure at DPS and at the hub, each with how often it came in a row there. */
  readonly dpsStreak?: Streak;
  readonly hubStreak?: Streak;
}

interface Streak {
  readonly code: string;
  readonly times: number;
}

export const blankHistory: History = { identityFailures: 0, dpsAttempts: 0, hubFailures: 0, hubRefusals: 0 };

/** A session must hold this long before the hub's back-off starts anew: a flapping line must not reset it. */
const provenAfterMs = 60_000;

export function afterIdentified(history: History): History {
  return { ...history, identityFailures: 0 };
}

/** DPS named a hub. A fresh assignment earns two chances of its own. */
export function afterAssigned({ dpsStreak: _over, ...history }: History): History {
  return { ...history, dpsAttempts: history.dpsAttempts + 1, hubRefusals: 0 };
}

/**
 * The hub answered CONNECT with 0.
 * @param isFallback it only serves until DPS has answered: that makes the next call to DPS no sooner.
 */
export function afterAccepted({ hubStreak: _over, ...history }: History, isFallback: boolean): History {
  return { ...history, hubRefusals: 0, dpsAttempts: isFallback ? history.dpsAttempts : 0 };
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
  switch (at) {
    case "identifying":
      return { ...history, identityFailures: history.identityFailures + 1 };
    case "provisioning":
      return {
        ...history,
        dpsStreak: longer(history.dpsStreak, error.code),
        dpsAttempts: history.dpsAttempts + 1,
      };
    case "online":
      return {
        ...history,
        hubStreak: longer(history.hubStreak, error.code),
        hubFailures: history.hubFailures + 1,
        hubRefusals: history.hubRefusals + (error.remedy === "reprovision" ? 1 : 0),
      };
  }
}

function longer(streak: Streak | undefined, code: string): Streak {
  return { code, times: streak?.code === code ? streak.times + 1 : 1 };
}
