import { closeSync, constants, openSync } from "node:fs";
import { systemCode } from "./failure.ts";

/** Whether this process may read and write a device node. It is opened for that, so ask only when nothing else uses it. */
export function deviceAccess(path: string): "granted" | "denied" | "missing" {
  try {
    closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY));
    return "granted";
  } catch (error) {
    switch (systemCode(error)) {
      case "EACCES":
      case "EPERM":
        return "denied";
      case "ENOENT":
      case "ENOTDIR":
      case "ENXIO": // a node whose driver is gone
      case "ENODEV":
        return "missing";
      default: // EBUSY: somebody else has it
        return "granted";
    }
  }
}
