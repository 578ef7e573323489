import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

/*
 * `npm run test:container`: runs the image `latebind-ci` in each of its ways, without a network, a writable root or any
 * capability, and says what came of it. Exit code 1 where something was otherwise.
 */

interface Trial {
  readonly what: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly command?: readonly string[];
  readonly exitCode: number;
  /** What has to be in the output, standard error included. */
  readonly says: readonly RegExp[];
}

const provisioned = [
  /register call answered 202/,
  /twin-patch|reported \{/,
  /is provisioned and connected to/,
];

const trials: readonly Trial[] = [
  {
    what: "a custody that does not exist is refused",
    env: { LATEBIND_CUSTODY: "floppy" },
    exitCode: 2,
    says: [/LATEBIND_CUSTODY is "floppy"; expected tpm or token/],
  },
  {
    what: "a wrong configuration ends it, and says where",
    env: { LATEBIND_CONFIG: "[nonsense]" },
    exitCode: 1,
    says: [/nonsense: expected a setting known in this place/],
  },
  { what: "a device provisions by its TPM", exitCode: 0, says: [/TPM/, ...provisioned] },
  {
    what: "a device provisions by its token",
    env: { LATEBIND_CUSTODY: "token" },
    exitCode: 0,
    says: [/SoftHSM/, ...provisioned],
  },
  {
    what: "a command runs beside the provisioned agent, as nobody, and its exit code comes out",
    command: ["sh", "-c", 'id -u; test -n "$LATEBIND_HUB" && test -r "$LATEBIND_CA" && exit 7'],
    exitCode: 7,
    says: [...provisioned, /^65532$/m],
  },
];

const conf = join(import.meta.dirname, "containers.conf");
const env = { ...process.env, ...(existsSync("/run/systemd/system") ? {} : { CONTAINERS_CONF: conf }) };
const bare = ["--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=all"];
const options = ["run", "--rm", ...bare, "--security-opt=no-new-privileges"];

for (const { what, env: set = {}, command = [], exitCode, says } of trials) {
  const settings = Object.entries(set).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
  const args = [...options, ...settings, "latebind-ci", ...command];
  const { status, stdout, stderr } = spawnSync("podman", args, { env, encoding: "utf8", timeout: 120_000 });
  const output = `${stdout}${stderr}`;
  const silent = says.filter((pattern) => !pattern.test(output));
  if (status === exitCode && silent.length === 0) {
    process.stdout.write(`✓ ${what}\n`);
    continue;
  }
  process.stdout.write(
    `✗ ${what}: exit code ${status}, expected ${exitCode}; not said: ${silent.join(", ")}\n`,
  );
  process.stdout.write(`${output}\n`);
  process.exitCode = 1;
}
