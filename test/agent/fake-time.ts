import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Gateway } from "./gateway.ts";

const library = ["x86_64-linux-gnu", "aarch64-linux-gnu", "arm-linux-gnueabihf"]
  .map((machine) => `/usr/lib/${machine}/faketime/libfaketime.so.1`)
  .find((path) => existsSync(path));

/** Why no process can be given a clock of its own here; undefined where it can. */
export const whyNoFakeTime: string | undefined =
  library === undefined ? "libfaketime is missing; run: apt-get install faketime" : undefined;

/** A wall clock for one process, TLS included, which can be set while it runs; its monotonic clock is left alone. */
export class FakeTime {
  readonly #file: string;

  /** @param offset as libfaketime reads it: `+5y`, `-3h`, `+0`. */
  constructor(gateway: Gateway, offset: string) {
    this.#file = join(gateway.folder, "faketime");
    this.set(offset);
  }

  set(offset: string): void {
    writeFileSync(this.#file, `${offset}\n`);
  }

  get environment(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: library ?? "",
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
    };
  }
}

/** What takes the process's clock back to the first minutes of 1970, where a machine without a battery starts. */
export function offsetTo1970(): string {
  return `-${Math.floor(Date.now() / 1000) - 200}s`;
}
