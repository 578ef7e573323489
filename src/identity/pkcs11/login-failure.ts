import { AgentError } from "../../platform/failure.ts";
import type { Cryptoki } from "./cryptoki.ts";
import { cryptokiFailure, describeCryptokiError, rawCodeOf } from "./cryptoki-failure.ts";
import { describeToken, type Token } from "./find-token.ts";

/**
 * Refuses to use up a token's last try: that one is for a person.
 * @throws AgentError `identity/pin-locked`, `identity/pin-last-try`, `identity/pin-unset` (operator).
 */
export function assertLoginPossible(cryptoki: Cryptoki, token: Token): void {
  const { pk } = cryptoki;
  const has = (flag: number) => (token.flags & flag) !== 0;
  if (has(pk.CKF_USER_PIN_LOCKED)) throw locked(cryptoki, token);
  if (!has(pk.CKF_USER_PIN_INITIALIZED)) throw unset(cryptoki, token);
  if (!has(pk.CKF_USER_PIN_FINAL_TRY)) return;
  throw new AgentError(
    "identity/pin-last-try",
    "operator",
    `the token ${describeToken(token)} allows one more PIN before it locks, and the agent leaves that one to you. ` +
      `Correct the PIN file, then log in once to reset the count: ${tool(cryptoki, token)} --login --list-objects`,
  );
}

/**
 * Explains why a token let nobody in.
 * @param cause as `C_Login` threw it.
 * @returns undefined where somebody else in this process has logged in already.
 */
export function loginFailure(
  cryptoki: Cryptoki,
  token: Token,
  pinSource: string,
  cause: unknown,
): AgentError | undefined {
  const { pk } = cryptoki;
  const code = rawCodeOf(cause);
  if (code === pk.CKR_USER_ALREADY_LOGGED_IN) return undefined;
  if (code === pk.CKR_PIN_LOCKED) return locked(cryptoki, token, cause);
  if (code === pk.CKR_USER_PIN_NOT_INITIALIZED) return unset(cryptoki, token, cause);
  const rejections = [pk.CKR_PIN_INCORRECT, pk.CKR_PIN_INVALID, pk.CKR_PIN_LEN_RANGE, pk.CKR_PIN_EXPIRED];
  if (code !== undefined && rejections.includes(code)) return pinRejected(token, pinSource, cause);
  return cryptokiFailure(`the login to the token ${describeToken(token)} failed`, cause);
}

/** @param cause as `C_Login` threw it; absent where the same PIN was refused before and therefore not sent. */
export function pinRejected(token: Token, pinSource: string, cause?: unknown): AgentError {
  const answer = cause === undefined ? "as before, so it was not sent" : describeCryptokiError(cause);
  return new AgentError(
    "identity/pin-rejected",
    "operator",
    `the token ${describeToken(token)} refused the PIN in ${pinSource} (${answer}); it is not tried again. ` +
      `Put the right PIN there, or run: systemctl reload latebind, to try this one once more`,
    { cause },
  );
}

function locked(cryptoki: Cryptoki, token: Token, cause?: unknown): AgentError {
  return new AgentError(
    "identity/pin-locked",
    "operator",
    `the token ${describeToken(token)} has locked its PIN after too many wrong ones (CKR_PIN_LOCKED). ` +
      `Its security officer can set a new one: ${tool(cryptoki, token)} --login --login-type so --init-pin`,
    { cause },
  );
}

function unset(cryptoki: Cryptoki, token: Token, cause?: unknown): AgentError {
  return new AgentError(
    "identity/pin-unset",
    "operator",
    `the token ${describeToken(token)} has no user PIN yet. Its security officer sets one: ` +
      `${tool(cryptoki, token)} --login --login-type so --init-pin`,
    { cause },
  );
}

function tool({ path }: Cryptoki, { label }: Token): string {
  return `pkcs11-tool --module ${path} --token-label ${JSON.stringify(label)}`;
}
