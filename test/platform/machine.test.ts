import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { readMachine } from "../../src/platform/machine.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

function lay(folder: TemporaryFolder, files: Readonly<Record<string, string>>): string {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  return folder.path;
}

test("a machine that says nothing of itself is described by nothing", async () => {
  using folder = new TemporaryFolder();
  expect(await readMachine(folder.path)).toEqual({});
});

test("what the maker of a board left unfilled is not told", async () => {
  using folder = new TemporaryFolder();
  const root = lay(folder, {
    "sys/class/dmi/id/sys_vendor": "To Be Filled By O.E.M.\n",
    "sys/class/dmi/id/product_name": "System Product Name\n",
  });
  expect(await readMachine(root)).toEqual({});
});

test("a folder where a file is expected is passed over", async () => {
  using folder = new TemporaryFolder();
  mkdirSync(join(folder.path, "etc/os-release"), { recursive: true });
  expect(await readMachine(folder.path)).toEqual({});
});

test("a board is known by its device tree, a PC by its DMI, a system by its os-release", async () => {
  using board = new TemporaryFolder();
  using pc = new TemporaryFolder();
  const boardRoot = lay(board, {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "usr/lib/os-release": "NAME=x\nPRETTY_NAME='Yocto \\\"5\\\"'\n",
  });
  const pcRoot = lay(pc, {
    "sys/class/dmi/id/sys_vendor": "SIEMENS AG\n",
    "sys/class/dmi/id/product_name": "SIMATIC IPC227E\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n',
  });
  expect(await readMachine(boardRoot)).toEqual({
    os: 'Yocto "5"',
    hardware: "Raspberry Pi 4 Model B Rev 1.4",
  });
  expect(await readMachine(pcRoot)).toEqual({
    os: "Debian GNU/Linux 13 (trixie)",
    hardware: "SIEMENS AG SIMATIC IPC227E",
  });
});
