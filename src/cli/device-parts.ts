import type { Pkcs11Tokens } from "../identity/pkcs11/tokens.ts";
import type { Clock } from "../platform/time.ts";

/** What commands need that open the device's own key. */
export interface DeviceParts {
  readonly hostName: string;
  readonly clock: Pick<Clock, "now">;
  readonly tokens: Pkcs11Tokens;
  /** As `memoryDirectory` of the platform. */
  readonly memoryDirectory: string;
}
