import type { Config } from "../config/config.ts";

/** How long the line may be silent, as the configuration has it or the twin wishes. */
export class KeepAliveWish {
  readonly #configured: Pick<Config["hub"], "keepAliveMs" | "leastKeepAliveMs">;
  #wishedMs: number | undefined;

  constructor(configured: Pick<Config["hub"], "keepAliveMs" | "leastKeepAliveMs">) {
    this.#configured = configured;
  }

  wish(mostMs: number | undefined): void {
    this.#wishedMs = mostMs;
  }

  get mostMs(): number {
    return this.#wishedMs ?? this.#configured.keepAliveMs;
  }

  get leastMs(): number {
    return Math.min(this.#configured.leastKeepAliveMs, this.mostMs);
  }
}
