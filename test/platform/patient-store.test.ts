import { expect, test } from "vitest";
import { AgentError } from "../../src/platform/failure.ts";
import { PatientStore } from "../../src/platform/patient-store.ts";
import type { Store } from "../../src/platform/store.ts";

/** A disk that takes nothing while `refuses` says why. */
class Disk implements Store<string> {
  refuses: string | undefined;
  readonly written: string[] = [];

  read(): string | undefined {
    return this.written.at(-1);
  }

  async write(value: string): Promise<void> {
    await Promise.resolve();
    if (this.refuses !== undefined) throw new AgentError("platform/state-not-written", "retry", this.refuses);
    this.written.push(value);
  }
}

function patient() {
  const disk = new Disk();
  const told: (string | undefined)[] = [];
  const store = new PatientStore(disk, (trouble) => told.push(trouble?.message));
  return { disk, told, store };
}

test("a bug in the store is not swallowed", async () => {
  const broken: Store<string> = {
    read: () => undefined,
    write: async () => Promise.reject(new TypeError("a bug")),
  };
  await expect(new PatientStore(broken, () => {}).write("x")).rejects.toThrow("a bug");
});

test("what the disk refuses is read from memory, told once, and written when the disk takes it", async () => {
  const { disk, told, store } = patient();
  await store.write("one");
  disk.refuses = "full";
  await store.write("two");
  await store.write("three");
  await store.retry();
  expect(store.read()).toBe("three");
  expect(disk.written).toEqual(["one"]);
  expect(told).toEqual(["full"]);

  disk.refuses = undefined;
  await store.retry();
  expect(disk.written).toEqual(["one", "three"]);
  expect(told).toEqual(["full", undefined]);
});

test("another reason is told again", async () => {
  const { disk, told, store } = patient();
  disk.refuses = "full";
  await store.write("one");
  disk.refuses = "read-only";
  await store.retry();
  expect(told).toEqual(["full", "read-only"]);
});

test("a retry that meets a write puts no older value on a newer one", async () => {
  const { disk, store } = patient();
  disk.refuses = "full";
  await store.write("old");
  disk.refuses = undefined;
  await Promise.all([store.retry(), store.write("new"), store.retry()]);
  expect(disk.written.at(-1)).toBe("new");
  expect(store.read()).toBe("new");
});

test("where nothing waits, a retry writes nothing and tells nothing", async () => {
  const { disk, told, store } = patient();
  await store.write("one");
  await store.retry();
  expect(disk.written).toEqual(["one"]);
  expect(told).toEqual([]);
});
