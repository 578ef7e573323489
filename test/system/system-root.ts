import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The releases of Debian that the packages are for. */
export type Release = "bookworm" | "trixie";

/** What a gateway has that uses every feature; everything latebind itself depends on, so that it installs without a network. */
const packages = [
  "systemd",
  "systemd-sysv",
  "dbus",
  "procps",
  "iproute2",
  "ca-certificates",
  "libstdc++6",
  "swtpm",
  "tpm2-tools",
  "softhsm2",
  "opensc",
];

/** Shared by clones, because a build takes half a minute; the digest of the recipe is in the name. */
const cache = "/var/cache/latebind-test";

/**
 * A root file system as a tar archive, built by mmdebstrap from Debian's archive unless the same recipe was built before.
 * @returns the archive.
 */
export async function systemRoot(release: Release): Promise<string> {
  const recipe = ["--mode=root", "--variant=minbase", `--include=${packages.join(",")}`, release];
  const digest = createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 12);
  const archive = join(cache, `${release}-${digest}.tar`);
  if (existsSync(archive)) return archive;
  await mkdir(cache, { recursive: true });
  // Under another name until it is whole.
  const draft = join(cache, `draft-${process.pid}-${release}.tar`);
  try {
    await run("nice", ["-n", "5", "mmdebstrap", ...recipe, draft], { maxBuffer: 64 * 1024 * 1024 });
    await rename(draft, archive);
  } finally {
    await rm(draft, { force: true });
  }
  return archive;
}
