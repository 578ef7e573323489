import { isRegistrationId } from "../config/registration-id.ts";
import { parseBase64Key } from "../identity/base64-key.ts";
import { deriveDeviceKey } from "../identity/derive-key.ts";
import { readPrivateFile, type PrivateFile } from "../platform/private-file.ts";
import { exitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";

export interface DeriveKeyOptions {
  readonly registrationId: string;
  readonly groupKeyFile?: string;
}

/** `latebind derive-key`: group key in by file or pipe, device key out on stdout, everything else on stderr. */
export async function deriveKey(options: DeriveKeyOptions, io: CliIo): Promise<number> {
  const { registrationId, groupKeyFile } = options;
  if (!isRegistrationId(registrationId)) {
    io.stderr(
      "--registration-id: expected 1 to 128 of A-Z a-z 0-9 - . _ : with a letter, digit or - at the end.\n",
    );
    return exitCode.usage;
  }
  if (groupKeyFile === undefined && io.isStdinTerminal) {
    io.stderr("No group key: pipe it in (… < group.key) or name its file with --group-key-file.\n");
    return exitCode.usage;
  }
  const read = groupKeyFile === undefined ? await fromStdin(io) : await fromFile(groupKeyFile);
  const parsed = "text" in read ? parseBase64Key(read.text) : read;
  if ("problem" in parsed) {
    const source = groupKeyFile ?? "standard input";
    io.stderr(`The group key from ${source} cannot be used: ${parsed.problem}.\n`);
    return exitCode.failure;
  }
  if (registrationId !== registrationId.toLowerCase()) io.stderr(spellingWarning(registrationId));
  io.stdout(`${deriveDeviceKey(parsed.key, registrationId).reveal()}\n`);
  return exitCode.ok;
}

type KeyText = { readonly text: string } | { readonly problem: string };

async function fromStdin(io: CliIo): Promise<KeyText> {
  return { text: await io.readStdin() };
}

async function fromFile(path: string): Promise<KeyText> {
  const file = await readPrivateFile(path);
  return file.status === "read" ? { text: file.content.toString("utf8") } : { problem: refusal(path, file) };
}

function refusal(path: string, file: Exclude<PrivateFile, { status: "read" }>): string {
  switch (file.status) {
    case "missing":
      return "there is no such file";
    case "too-open":
      return `others can read it (mode 0${file.mode.toString(8)}). Run: chmod 0600 ${path}`;
    case "foreign-owner":
      return `it belongs to user ${file.uid}; run this command as that user or as root`;
    case "not-a-file":
      return "it is not a file with a key";
    case "unreadable":
      return `it cannot be read (${file.systemCode})`;
  }
}

/** DPS takes both spellings for one device, but their keys differ, and a wrong key looks like any other refusal. */
function spellingWarning(registrationId: string): string {
  return (
    `warning: the key is derived from the spelling "${registrationId}". A device that spells its registration ID ` +
    `"${registrationId.toLowerCase()}" needs another key; lower case is the safe choice.\n`
  );
}
