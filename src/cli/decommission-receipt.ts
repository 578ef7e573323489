import type { Belongings, Kept } from "./belongings.ts";
import type { Cleared } from "./clear-out.ts";
import { printable, printableJson } from "./printable.ts";

/** Who this device was, as far as the agent remembers. */
export interface Device {
  readonly registrationId?: string;
  readonly hub?: string;
  readonly deviceId?: string;
}

interface Plan {
  readonly who: Device;
  readonly belongings: Belongings;
  readonly isRunning: boolean;
}

interface Receipt {
  /** Wall clock, milliseconds since 1970. */
  readonly atMs: number;
  readonly who: Device;
  readonly cleared: readonly Cleared[];
  readonly kept: readonly Kept[];
}

/** What would be removed, and how to go on. */
export function printPlan({ who, belongings, isRunning }: Plan, isJson: boolean): string {
  const { files, keys, damagedNotes, kept } = belongings;
  const wouldRemove = [
    ...keys.map(({ what, handle }) => ({ what: `TPM ${what}`, where: handle })),
    ...files.map(({ what, path }) => ({ what, where: path })),
  ];
  if (isJson) return printableJson({ ...who, isRunning, wouldRemove, damagedNotes, kept });
  const stop = isRunning ? "systemctl disable --now latebind && " : "";
  return lines([
    ...titled(who),
    "",
    wouldRemove.length === 0 ? "Nothing is here to be removed." : "Would be removed:",
    ...wouldRemove.map(({ what, where }) => `  ${what.padEnd(width)}${where}`),
    ...damagedNotes.map((path) => `  damaged note about a TPM key, which stays: ${path}`),
    ...stays(kept),
    "",
    ...(keys.some(({ what }) => what === "private key")
      ? ["No copy of a private key in the TPM exists: its certificate is of no use without it."]
      : []),
    `Nothing was changed. To remove it: ${stop}latebind decommission --yes`,
    "",
  ]);
}

/** What was removed and what was not: for the files of those who answer for the device. */
export function printReceipt({ atMs, who, cleared, kept }: Receipt, isJson: boolean): string {
  // RFC 3339, in UTC.
  const time = new Date(atMs).toISOString();
  const failed = cleared.filter(({ status }) => status === "failed").length;
  if (isJson) return printableJson({ time, ...who, isComplete: failed === 0, items: cleared, kept });
  return lines([
    failed === 0 ? "This device is out of service." : `${failed} of ${cleared.length} could not be removed.`,
    `${"Time".padEnd(width)}${time}`,
    ...titled(who),
    "",
    ...(cleared.length === 0 ? ["Nothing was here to be removed."] : []),
    ...cleared.map(
      ({ status, what, where, because, code }) =>
        `${status.padEnd(9)}${what.padEnd(width)}${where}${because === undefined ? "" : `: ${because}`}${code === undefined ? "" : ` [${code}]`}`,
    ),
    ...stays(kept),
    "",
    failed === 0
      ? "In the cloud nothing was changed: remove the enrollment and the device there."
      : "Mend what is told above and give the command again.",
    "",
  ]);
}

const width = 24;

function titled({ registrationId, hub, deviceId }: Device): readonly string[] {
  return [
    `${"Registration ID".padEnd(width)}${registrationId ?? "not known"}`,
    `${"Last hub".padEnd(width)}${hub ?? "none is remembered"}`,
    ...(deviceId === undefined ? [] : [`${"Device ID".padEnd(width)}${deviceId}`]),
  ];
}

function stays(kept: readonly Kept[]): readonly string[] {
  const things = kept.map(({ what, because }) => `  ${what}: ${because}`);
  return ["", "Stays:", ...things, "  keys in the TPM that latebind did not make"];
}

/** What the agent kept, and the names of files in its folders, may be anything. */
function lines(all: readonly string[]): string {
  return all.map(printable).join("\n");
}
