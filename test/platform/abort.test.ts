import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { abortReason, untilAborted, within } from "../../src/platform/abort.ts";
import { activeResources } from "./active-resources.ts";

const reason = new Error("stop");
const forever = new Promise<never>(() => {});
const late = () => new Error("too late");

function aborted(): AbortSignal {
  return AbortSignal.abort(reason);
}

describe("the reason", () => {
  test("is the error that was given", () => {
    expect(abortReason(aborted())).toBe(reason);
  });

  test("becomes an error where it was none, and keeps what it was", () => {
    const signal = AbortSignal.abort("because");
    expect(abortReason(signal)).toBeInstanceOf(Error);
    expect(abortReason(signal).cause).toBe("because");
  });
});

describe("waiting for work until a signal", () => {
  test("ends with the reason of a signal that was aborted before", async () => {
    await expect(untilAborted(forever, new AbortController().signal, aborted())).rejects.toBe(reason);
  });

  test("does not hide work that is done already", async () => {
    await expect(untilAborted(Promise.resolve("done"), aborted())).resolves.toBe("done");
  });

  test("ends with the reason of whichever signal comes first", async () => {
    const one = new AbortController();
    const two = new AbortController();
    const waiting = untilAborted(forever, one.signal, two.signal);
    two.abort(reason);
    one.abort(new Error("second"));
    await expect(waiting).rejects.toBe(reason);
  });

  test("hands on what the work gives and what it throws", async () => {
    const { signal } = new AbortController();
    await expect(untilAborted(Promise.resolve(7), signal)).resolves.toBe(7);
    await expect(untilAborted(Promise.reject(reason), signal)).rejects.toBe(reason);
  });

  test("leaves no listener on any signal, however it ends", async () => {
    const lasting = new AbortController();
    const passing = new AbortController();
    await untilAborted(Promise.resolve(1), lasting.signal, passing.signal);
    await untilAborted(Promise.reject(reason), lasting.signal).catch(() => {});
    const waiting = untilAborted(forever, lasting.signal, passing.signal).catch(() => {});
    expect(getEventListeners(lasting.signal, "abort")).toHaveLength(1);
    passing.abort(reason);
    await waiting;
    expect(getEventListeners(lasting.signal, "abort")).toEqual([]);
    expect(getEventListeners(passing.signal, "abort")).toEqual([]);
  });

  test("work that fails after the abort is no unhandled rejection", async () => {
    const stop = new AbortController();
    const work = Promise.withResolvers<undefined>();
    const waiting = untilAborted(work.promise, stop.signal);
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    const unhandled: unknown[] = [];
    const note = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", note);
    work.reject(new Error("later"));
    // Node tells of unhandled rejections when the microtasks are done.
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });
});

describe("waiting no longer than a time", () => {
  test("ends with the error for lateness", async () => {
    await expect(within(1, late, forever)).rejects.toThrow("too late");
  });

  test("ends with a signal's reason before that", async () => {
    await expect(within(60_000, late, forever, aborted())).rejects.toBe(reason);
  });

  test("leaves no timer behind, however it ends", async () => {
    const before = activeResources("Timeout");
    await within(60_000, late, Promise.resolve(1));
    await within(60_000, late, Promise.reject(reason)).catch(() => {});
    await within(60_000, late, forever, aborted()).catch(() => {});
    expect(activeResources("Timeout")).toBe(before);
  });
});
