import { join } from "node:path";
import { systemCode } from "./failure.ts";
import { readIfPresent } from "./files.ts";

/** What this machine is, as far as it says so itself. */
export interface Machine {
  /** `Debian GNU/Linux 13 (trixie)`. */
  readonly os?: string;
  /** `Siemens SIMATIC IOT2050`, `Raspberry Pi 4 Model B Rev 1.4`. */
  readonly hardware?: string;
}

/** What makers of boards leave in the field when they have nothing to say. */
const placeholder =
  /^(to be filled by o\.?e\.?m\.?|system (manufacturer|product name)|default string|not (applicable|specified)|none|unknown|o\.?e\.?m\.?)$/i;

/**
 * Reads the distribution from os-release(5), and maker and model from the firmware: DMI on PCs, the device tree on boards.
 *
 * What cannot be read is absent: a container sees no firmware.
 * @param root in place of `/`.
 */
export async function readMachine(root = "/"): Promise<Machine> {
  const os = prettyName(
    (await text(root, "etc/os-release")) ?? (await text(root, "usr/lib/os-release")) ?? "",
  );
  const board = await text(root, "proc/device-tree/model");
  const maker = await text(root, "sys/class/dmi/id/sys_vendor");
  const model = await text(root, "sys/class/dmi/id/product_name");
  const hardware = words(board ?? "") ?? words(`${words(maker ?? "") ?? ""} ${words(model ?? "") ?? ""}`);
  return { ...(os !== undefined && { os }), ...(hardware !== undefined && { hardware }) };
}

async function text(root: string, path: string): Promise<string | undefined> {
  try {
    return (await readIfPresent(join(root, path)))?.toString("utf8");
  } catch (error) {
    // A sandbox may forbid it. Everything that is wrong with a file has a code.
    if (systemCode(error) === "") throw error;
    return undefined;
  }
}

function prettyName(release: string): string | undefined {
  const value = /^PRETTY_NAME=(.*)$/m.exec(release)?.[1];
  return value === undefined
    ? undefined
    : words(value.replace(/^(["'])(.*)\1$/, "$2").replaceAll(/\\(.)/g, "$1"));
}

/** Texts of a device tree end with a zero byte. */
function words(value: string): string | undefined {
  const line = value.replaceAll(/[\0\s]+/g, " ").trim();
  return line === "" || placeholder.test(line) ? undefined : line;
}
