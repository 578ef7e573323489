import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A Debian 12 to start in a virtual machine, never written to: machines lay a disk of their own over it. */
export interface MachineImage {
  /** ext4. */
  readonly disk: string;
  readonly kernel: string;
  readonly initrd: string;
}

/** The prompt that the serial console waits for has the host name in it. */
export const hostName = "latebind-vm";

/** Debian's kernel has TPM drivers built in, but virtio as modules: hence the initrd. */
const packages = [
  "systemd-sysv",
  "udev",
  "dbus",
  "kmod",
  "iproute2",
  "procps",
  "ca-certificates",
  "tpm2-tools",
  "libtss2-tcti-device0",
  "openssl",
  "initramfs-tools",
  "zstd",
  "linux-image-cloud-amd64",
];

const unwanted = ["doc", "man", "locale"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);

/** What is not asked of a machine that lives for minutes, and would only take its time. */
const masked = [
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  "dpkg-db-backup.timer",
  "e2scrub_all.timer",
  "e2scrub_reap.service",
  "fstrim.timer",
  "getty@tty1.service",
  "systemd-networkd-wait-online.service",
  "systemd-timesyncd.service",
];

const network = String.raw`[Match]\nName=en*\n[Network]\nDHCP=ipv4\n`;
const rootShell = String.raw`[Service]\nExecStart=\nExecStart=-/sbin/agetty -a root --noclear --keep-baud 115200 %%I dumb\n`;
const getty = "etc/systemd/system/serial-getty@ttyS0.service.d";

/** Shell, run outside with the new root as `$1`. */
const hooks = [
  `echo ${hostName} > "$1/etc/hostname"`,
  `chroot "$1" passwd -d root`,
  `echo "/dev/vda / ext4 defaults,noatime 0 1" > "$1/etc/fstab"`,
  `printf '${network}' > "$1/etc/systemd/network/80-en.network"`,
  `printf 'nameserver 10.0.2.3\\n' > "$1/etc/resolv.conf"`,
  `printf '127.0.0.1 localhost ${hostName}\\n10.0.2.2 outside\\n' > "$1/etc/hosts"`,
  `mkdir -p "$1/${getty}" && printf '${rootShell}' > "$1/${getty}/root.conf"`,
  `chroot "$1" systemctl enable systemd-networkd`,
  `chroot "$1" systemctl mask ${masked.join(" ")}`,
];

const recipe = [
  "--mode=root",
  "--variant=minbase",
  "--components=main",
  `--include=${packages.join(",")}`,
  ...unwanted,
  ...hooks.map((hook) => `--customize-hook=${hook}`),
  "bookworm",
];

/** Outside of the clone, so that neither `npm ci` nor another clone has to build it again. */
const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "latebind-vm");

/**
 * Builds the image, or takes the one that was built by the same recipe. Needs root, mmdebstrap, and Debian's archive; about 2 minutes.
 * @param log gets a line when it takes long.
 */
export async function machineImage(log: (line: string) => void): Promise<MachineImage> {
  const digest = createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 12);
  const folder = join(cache, digest);
  if (!existsSync(folder)) {
    log(`building a Debian 12 in ${folder}`);
    await build(folder);
  }
  const file = (name: string) => join(folder, name);
  return { disk: file("disk.ext4"), kernel: file("vmlinuz"), initrd: file("initrd.img") };
}

/** Under another name until it is whole. */
async function build(folder: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  const draft = await mkdtemp(join(cache, "draft-"));
  const root = join(draft, "root");
  try {
    await polite("mmdebstrap", ...recipe, root);
    const boot = await readdir(join(root, "boot"));
    for (const name of ["vmlinuz", "initrd.img"]) {
      const versioned = boot.find((each) => each.startsWith(`${name}-`)) ?? name;
      await rename(join(root, "boot", versioned), join(draft, name));
    }
    await polite("mke2fs", "-q", "-t", "ext4", "-d", root, "-L", "root", join(draft, "disk.ext4"), "2G");
    await rm(root, { recursive: true });
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

/** Others may want the machine too. */
async function polite(...command: readonly string[]): Promise<void> {
  await run("nice", ["-n", "5", ...command], { maxBuffer: 64 * 1024 * 1024 });
}
