import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runAgainstAzure } from "./against-azure.ts";
import { runAgainstLocalCloud } from "./against-local-cloud.ts";
import { openCustody } from "./custody.ts";

/*
 * What the container does, by its environment and command:
 *   LATEBIND_ID_SCOPE set   only the agent, against the real service, until it is told to stop
 *   no command              a device provisions against the local cloud, and the journey is printed
 *   a command               the same, and the command runs beside the provisioned agent; its exit code is the container's
 */

const usage = `latebind-ci: a gateway with a TPM and its cloud, in one container.

  podman run --rm latebind-ci                     provision by TPM, print the journey, end with 0
  podman run --rm -v ./tests:/tests latebind-ci sh /tests/run.sh
                                                  the same, then the command beside the agent
  podman run --rm -e LATEBIND_ID_SCOPE=0ne00XXXXXX -v tpm:/var/lib/latebind-ci latebind-ci
                                                  only the agent, against the real service

  LATEBIND_CUSTODY=tpm|token   where the device's key is: a software TPM, or a SoftHSM token
  LATEBIND_CONFIG=TOML         more of the agent's configuration, such as [[apply]] tables

The command finds in its environment LATEBIND_REGISTRATION_ID, LATEBIND_HUB, LATEBIND_CLOUD_ADMIN (an HTTP API,
see test/cloud/README.md), LATEBIND_CA and LATEBIND_WORK (the folder of configuration and state).
`;

/** Kept where a volume is mounted, so that a device stays itself; else it goes with the container. */
const volume = "/var/lib/latebind-ci";

void main();

async function main(): Promise<void> {
  process.exitCode = await enter(process.argv.slice(2));
}

async function enter(command: readonly string[]): Promise<number> {
  if (command[0] === "--help") {
    process.stdout.write(usage);
    return 0;
  }
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => stop.abort(new Error(name)));
  const { LATEBIND_ID_SCOPE: idScope, LATEBIND_CUSTODY: kind = "tpm" } = process.env;
  if (kind !== "tpm" && kind !== "token") {
    process.stderr.write(`LATEBIND_CUSTODY is "${kind}"; expected tpm or token\n`);
    return 2;
  }
  const work = workFolder();
  await using custody = await openCustody(kind, work);
  return idScope === undefined
    ? await runAgainstLocalCloud({ work, custody, command }, stop.signal)
    : await runAgainstAzure({ work, custody, idScope }, stop.signal);
}

function workFolder(): string {
  try {
    const folder = join(volume, "device");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  } catch {
    // No volume: the image's own folder is read-only.
    return mkdtempSync(join(tmpdir(), "latebind-ci-"));
  }
}
