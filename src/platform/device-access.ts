import { accessSync, constants } from "node:fs";
import { systemCode } from "./failure.ts";

/** Whether this process may read and write a device node. Nothing is opened: some devices take one user at a time. */
export function deviceAccess(path: string): "granted" | "denied" | "missing" {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return "granted";
  } catch (error) {
    return systemCode(error) === "EACCES" || systemCode(error) === "EPERM" ? "denied" : "missing";
  }
}
