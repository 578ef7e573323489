import type { Names } from "./names.ts";
import type { Proxy } from "./proxy.ts";

/** How this machine reaches others. */
export interface WayOut {
  /** Where set, the only way: never gone around. */
  readonly proxy?: Proxy;
  /** Who knows addresses; absent: the system alone. */
  readonly names?: Names;
}
