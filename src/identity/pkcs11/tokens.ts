import { createHmac, randomBytes } from "node:crypto";
import type { Pkcs11Location } from "../../config/config.ts";
import { AgentError } from "../../platform/failure.ts";
import { fileStamp } from "../../platform/file-stamp.ts";
import { loadCryptoki, unloadCryptoki, type Cryptoki } from "./cryptoki.ts";
import { cryptokiFailure, describeCryptokiError } from "./cryptoki-failure.ts";
import { describeToken, findToken, type Token } from "./find-token.ts";
import { assertLoginPossible, loginFailure, pinRejected } from "./login-failure.ts";
import { readPin, type Pin } from "./read-pin.ts";

/** A session with a token in which the keys can be used. */
export interface TokenSession {
  readonly cryptoki: Cryptoki;
  readonly token: Token;
  readonly handle: Buffer;
  /** What made the session doubtful, or why it was closed; with it set, nothing may be asked of the token any more. */
  lost?: Error;
}

/** As in the configuration: the module, the names of the token, and where its PIN may lie. */
type TokenPlace = Pick<Pkcs11Location, "modulePath" | "token" | "pin">;

/**
 * The tokens this process is logged in to. A login is per process (PKCS#11 5.6), so there is one of these.
 *
 * A session that works is kept from step to step and costs no second login. One that does not, or whose module was exchanged
 * on disk, is closed with everything its module knows, and the next step starts from the module's file: that is what finds a
 * token that was plugged in again or made anew, and loads an upgraded module. A PIN that a token refused is not tried again at it until the PIN file says
 * another, or `forgetRefusedPins`: a token locks after a few tries.
 */
export class Pkcs11Tokens implements Disposable {
  readonly #modules = new Map<string, Cryptoki>();
  readonly #sessions = new Map<string, TokenSession>();
  /** By module and serial number, a keyed digest. */
  readonly #refusedPins = new Map<string, string>();
  readonly #digestKey = randomBytes(32);

  /**
   * Does some work in a session with a token: the one that is open, or else, and if that one fails, a new one.
   *
   * The PIN is read only when there is something to log in to.
   * @throws AgentError as `loadCryptoki`, `findToken`, `readPin` and `work`; `identity/pin-not-named`,
   *   `identity/pin-rejected`, `identity/pin-locked`, `identity/pin-last-try`, `identity/pin-unset` (operator),
   *   `identity/token-failed` (retry).
   */
  async use<T>(place: TokenPlace, work: (session: TokenSession) => T): Promise<T> {
    const kept = this.#sessions.get(keyOf(place));
    if (kept !== undefined) {
      try {
        assertAlive(kept);
        return work(kept);
      } catch (error) {
        this.#close(place.modulePath, error);
      }
    }
    try {
      const session = await this.#login(place);
      this.#sessions.set(keyOf(place), session);
      return work(session);
    } catch (error) {
      this.#close(place.modulePath, error);
      throw withHistory(error, kept?.lost);
    }
  }

  /** A person says that something was mended: PINs that were refused may be tried once more. */
  forgetRefusedPins(): void {
    this.#refusedPins.clear();
  }

  [Symbol.dispose](): void {
    for (const path of this.#modules.keys()) this.#close(path, new Error("the agent ends"));
  }

  async #login(place: TokenPlace): Promise<TokenSession> {
    const cryptoki = this.#modules.get(place.modulePath) ?? loadCryptoki(place.modulePath);
    this.#modules.set(place.modulePath, cryptoki);
    const { pk } = cryptoki;
    const token = findToken(cryptoki, place.token);
    const asksForPin = (token.flags & pk.CKF_LOGIN_REQUIRED) !== 0;
    if (asksForPin && place.pin === undefined) throw pinNotNamed(token);
    const pin = asksForPin && place.pin !== undefined ? await readPin(place.pin) : undefined;
    const session = { cryptoki, token, handle: openSession(cryptoki, token) };
    if (pin !== undefined) this.#enterPin(session, pin, `${place.modulePath}\0${token.serial}`);
    return session;
  }

  #enterPin({ cryptoki, token, handle }: TokenSession, pin: Pin, tokenKey: string): void {
    const { module, pk } = cryptoki;
    const digest = createHmac("sha256", this.#digestKey).update(pin.value.reveal()).digest("hex");
    if (this.#refusedPins.get(tokenKey) === digest) throw pinRejected(token, pin.source);
    assertLoginPossible(cryptoki, token);
    try {
      module.C_Login(handle, pk.CKU_USER, pin.value.reveal());
      this.#refusedPins.delete(tokenKey);
    } catch (cause) {
      const failure = loginFailure(cryptoki, token, pin.source, cause);
      if (failure === undefined) return;
      if (failure.code === "identity/pin-rejected") this.#refusedPins.set(tokenKey, digest);
      throw failure;
    }
  }

  #close(modulePath: string, because: unknown): void {
    for (const [key, session] of this.#sessions) {
      if (session.cryptoki.path !== modulePath) continue;
      session.lost ??= because instanceof Error ? because : new Error(String(because));
      this.#sessions.delete(key);
    }
    const cryptoki = this.#modules.get(modulePath);
    this.#modules.delete(modulePath);
    if (cryptoki !== undefined) unloadCryptoki(cryptoki);
  }
}

function keyOf({ modulePath, token }: TokenPlace): string {
  return JSON.stringify([modulePath, token.label, token.serial, token.manufacturer, token.model]);
}

function openSession({ module, pk }: Cryptoki, token: Token): Buffer {
  try {
    return module.C_OpenSession(token.slot, pk.CKF_SERIAL_SESSION);
  } catch (cause) {
    throw cryptokiFailure(`the token ${describeToken(token)} opens no session`, cause);
  }
}

/** Asks the token itself: a session may look well though its token is gone. */
function assertAlive({ cryptoki, token, handle, lost }: TokenSession): void {
  if (lost !== undefined) throw lost;
  const stamp = fileStamp(cryptoki.path);
  // A file that is away for a moment, as while a package is unpacked, is waited for.
  if (stamp !== undefined && stamp !== cryptoki.stamp) throw new Error(`${cryptoki.path} was exchanged`);
  cryptoki.module.C_GetSessionInfo(handle);
  cryptoki.module.C_GetTokenInfo(token.slot);
}

/** What a fresh start says is the newer truth, but the name of the first error belongs to it. */
function withHistory(error: unknown, lost: unknown): unknown {
  if (!(error instanceof AgentError) || lost === undefined) return error;
  const words = describeCryptokiError(lost);
  if (error.message.includes(words) || words.includes(error.message)) return error;
  return new AgentError(
    error.code,
    error.remedy,
    `${error.message}; before that, the open session failed: ${words}`,
    {
      cause: error,
    },
  );
}

function pinNotNamed(token: Token): AgentError {
  return new AgentError(
    "identity/pin-not-named",
    "operator",
    `the token ${describeToken(token)} asks for a PIN. Add pin-source=file:pin to \`key\`, and put the PIN into that file with mode 0600`,
  );
}
