import { isJsonObject, mergePatch, ownMember, type JsonObject } from "../platform/json.ts";
import { measureSize } from "../report/measure.ts";

interface Patch {
  readonly program: string;
  /** Null takes the program's whole section away. */
  readonly patch: JsonObject | null;
}

/** All programs together, in the order in which they came; they are merged when the hub hears them. */
const mostWaiting = 64;
const mostWaitingBytes = 64 * 1024;

/**
 * What programs of this device want to be reported, each in a section of its own: `{"programs":{"modem":{"signal":-71}}}`. The hub keeps the
 * sections; here only waits what it has not heard yet.
 */
export class Programs {
  #waiting: readonly Patch[] = [];
  #offered = 0;
  #news = new AbortController();

  get waiting(): number {
    return this.#waiting.length;
  }

  /** @returns false where too much waits already. */
  put(program: string, patch: JsonObject | null): boolean {
    const bytes = this.#waiting.reduce((sum, one) => sum + measureSize(one.patch), measureSize(patch));
    if (this.#waiting.length >= mostWaiting || bytes > mostWaitingBytes) return false;
    this.#waiting = [...this.#waiting, { program, patch }];
    this.#news.abort(new Error("a program has something to report"));
    return true;
  }

  /** All sections as they should be, from what the hub has; undefined where nothing is to be told. */
  wanted(reported: JsonObject): JsonObject | undefined {
    this.#offered = this.#waiting.length;
    return this.#offered === 0 ? undefined : mergeAll(reported, this.#waiting);
  }

  /** All sections as they would be with one more patch; offers nothing. */
  expected(reported: JsonObject, program: string, patch: JsonObject): JsonObject {
    return mergeAll(reported, [...this.#waiting, { program, patch }]);
  }

  /** What was offered last has been told, or refused for good. */
  settle(): void {
    this.#waiting = this.#waiting.slice(this.#offered);
    this.#offered = 0;
  }

  /** Aborted as soon as something comes that was not offered yet. */
  news(): AbortSignal {
    this.#news = new AbortController();
    if (this.#waiting.length > this.#offered)
      this.#news.abort(new Error("a program has something to report"));
    return this.#news.signal;
  }
}

function mergeAll(reported: JsonObject, patches: readonly Patch[]): JsonObject {
  const known = ownMember(reported, "programs");
  return patches.reduce<JsonObject>(
    (sections, { program, patch }) => mergePatch(sections, Object.fromEntries([[program, patch]])),
    isJsonObject(known) ? known : {},
  );
}
