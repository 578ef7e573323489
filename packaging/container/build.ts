import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";

/**
 * `npm run container`: the image `latebind-ci` (swtpm, SoftHSM, the local cloud, the agent from its own packages) on a Debian root of
 * its own, without any registry. Needs root, mmdebstrap, podman and runc; some two minutes.
 *
 * `-- --context` only makes the folder `dist/container` for `Containerfile.registry`; `-- --archive` also writes the image as an
 * OCI archive into it.
 */
const here = import.meta.dirname;
const root = join(here, "../..");
const output = join(root, "dist", "container");
const { values: options } = parseArgs({
  options: { context: { type: "boolean", default: false }, archive: { type: "boolean", default: false } },
});

mkdirSync(output, { recursive: true });
run(process.execPath, join(root, "packaging/deb.ts"), "--output", output);
for (const name of ["latebind-runtime", "latebind"])
  renameSync(packageFile(name), join(output, `${name}.deb`));
await bundleEntry();
for (const name of ["Containerfile", "Containerfile.registry", "latebind-ci"])
  copyFileSync(join(here, name), join(output, name));
if (!options.context) {
  makeRoot();
  podman("build", "--tag", "latebind-ci", output);
  if (options.archive)
    podman("save", "--format", "oci-archive", "--output", join(output, "latebind-ci.tar"), "latebind-ci");
}
for (const name of readdirSync(output)) {
  const size = (statSync(join(output, name)).size / 1e6).toFixed(1);
  process.stdout.write(`${relative(root, join(output, name))}: ${size} MB\n`);
}

function packageFile(name: string): string {
  const found = readdirSync(output).find((file) => file.startsWith(`${name}_`) && file.endsWith(".deb"));
  if (found === undefined) throw new Error(`packaging/deb.ts made no ${name}`);
  return join(output, found);
}

async function bundleEntry(): Promise<void> {
  await build({
    entryPoints: [join(here, "entry.ts")],
    outfile: join(output, "latebind-ci.cjs"),
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    logLevel: "warning",
  });
}

/** Everything is done inside the root, so that the image has one layer and the same files each time. */
function makeRoot(): void {
  const packages =
    "swtpm,tpm2-tools,libtss2-tcti-swtpm0,softhsm2,opensc,tini,ca-certificates,systemd,libstdc++6";
  const hooks = [
    `copy-in ${output}/latebind-runtime.deb ${output}/latebind.deb /tmp`,
    `chroot "$1" dpkg --install /tmp/latebind-runtime.deb /tmp/latebind.deb`,
    `mkdir -p "$1/usr/lib/latebind-ci" "$1/var/lib/latebind-ci" && chmod 0777 "$1/var/lib/latebind-ci"`,
    `copy-in ${output}/latebind-ci ${output}/latebind-ci.cjs /usr/lib/latebind-ci`,
    `rm -rf "$1"/tmp/*.deb "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*`,
  ];
  const slim = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"].map(
    (path) => `--dpkgopt=path-exclude=${path}`,
  );
  run(
    "mmdebstrap",
    "--quiet",
    "--variant=essential",
    `--include=${packages}`,
    ...slim,
    ...hooks.map((hook) => `--customize-hook=${hook}`),
    "bookworm",
    join(output, "rootfs.tar"),
  );
}

function podman(...args: readonly string[]): void {
  run("podman", ...args);
}

function run(file: string, ...args: readonly string[]): void {
  // Where nothing else is set, podman gets what works without systemd too.
  const conf = process.env["CONTAINERS_CONF"] ?? join(here, "containers.conf");
  const hasSystemd = existsSync("/run/systemd/system");
  execFileSync(file, args, {
    stdio: "inherit",
    env: { ...process.env, ...(hasSystemd ? {} : { CONTAINERS_CONF: conf }) },
  });
}
