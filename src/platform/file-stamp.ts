import { statSync } from "node:fs";

/** Changes when another file takes the place of this one; undefined where there is none now. Follows symbolic links. */
export function fileStamp(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : [stat.dev, stat.ino, stat.size, stat.mtimeMs].join(":");
}
