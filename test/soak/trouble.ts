import type { Cloud } from "../cloud/cloud.ts";
import type { Gateway } from "../agent/gateway.ts";

/** Where trouble comes from: each layer has to strike in a soak. */
export type Layer = "tcp" | "tls" | "mqtt" | "service" | "cloud" | "machine" | "operator";

export interface Scene {
  readonly cloud: Cloud;
  readonly gateway: Gateway;
  /** Uniform in [0, 1), the same for the same seed. */
  readonly random: () => number;
  /** One of them. */
  readonly pick: <const T>(list: readonly [T, ...T[]]) => T;
}

/** One thing that goes wrong. `strike` may return how to mend it; what mends itself returns nothing. */
export interface Trouble {
  readonly name: string;
  readonly layer: Layer;
  /** Ends only by a deadline in real time, some 30 s: too slow for a short soak. */
  readonly isSlow?: true;
  readonly strike: (scene: Scene) => Mend | undefined | Promise<Mend | undefined>;
}

type Mend = () => void | Promise<void>;
