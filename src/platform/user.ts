import { userInfo } from "node:os";

/** Name of the user this process runs as, or the number where the system knows no name (containers). */
export function currentUser(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "unknown");
  }
}
