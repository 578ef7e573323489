/** One architecture that packages are built for. */
export interface Target {
  /** As Debian calls it. */
  readonly debian: "amd64" | "arm64";
  /** As Node calls it, in `process.arch` and in the names of its npm packages. */
  readonly node: "x64" | "arm64";
  /** Prefix of the compilers and binary tools. */
  readonly triple: string;
  readonly isForeign: boolean;
}

const targets = [
  { debian: "amd64", node: "x64", triple: "x86_64-linux-gnu" },
  { debian: "arm64", node: "arm64", triple: "aarch64-linux-gnu" },
] as const;

/** @throws Error for an architecture that Node has no official binary for, such as armhf since Node 24. */
export function targetOf(name: string): Target {
  const target = targets.find(({ debian }) => debian === name);
  if (target === undefined)
    throw new Error(`no package for ${name}: expected ${targets.map(({ debian }) => debian).join(" or ")}`);
  return { ...target, isForeign: target.node !== process.arch };
}
