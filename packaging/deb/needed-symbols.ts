import { runTool } from "./run-tool.ts";
import type { Target } from "./target.ts";

/** What Ubuntu 22.04 and Debian 12 have at least. */
const newest: Readonly<Record<string, string>> = {
  GLIBC: "2.35",
  GLIBCXX: "3.4.30",
  CXXABI: "1.3.13",
  GCC: "12.0.0",
};

/**
 * The newest version of each system library's symbols that these programs ask for.
 * @throws Error where that is newer than the oldest supported system has.
 */
export function neededSymbols(target: Target, files: readonly string[]): ReadonlyMap<string, string> {
  const needed = new Map<string, string>();
  for (const file of files) {
    const symbols = runTool(`${target.triple}-objdump`, ["-T", file]);
    for (const [, library = "", version = ""] of symbols.matchAll(
      /\((GLIBC|GLIBCXX|CXXABI|GCC)_([\d.]+)\)/g,
    )) {
      if (isNewer(version, needed.get(library) ?? "0")) needed.set(library, version);
      const limit = newest[library];
      if (limit !== undefined && isNewer(version, limit))
        throw new Error(`${file} needs ${library}_${version}; the oldest system to run on has ${limit}`);
    }
  }
  return needed;
}

function isNewer(one: string, other: string): boolean {
  return one.localeCompare(other, "en", { numeric: true }) > 0;
}
