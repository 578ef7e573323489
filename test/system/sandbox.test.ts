import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { Gateway } from "./gateway.ts";
import { buildPackages, type Packages } from "./packages.ts";
import { manners, probes, unprobed } from "./probes.ts";

const folder = new TemporaryFolder();
let packages: Packages;

beforeAll(async () => {
  packages = await buildPackages(folder.path);
});

afterAll(() => {
  folder[Symbol.dispose]();
});

/** The lines of `[Service]` as `[directive, value]`. */
async function directives(unit: string): Promise<readonly (readonly [string, string])[]> {
  const text = await readFile(join(import.meta.dirname, "../../systemd", unit), "utf8");
  const [, service = ""] = text.split(/^\[Service\]$/m);
  return [...(service.split(/^\[/m)[0] ?? "").matchAll(/^([A-Za-z]+)=(.*)$/gm)].map(
    ([, name = "", value = ""]) => [name, value],
  );
}

/** Tries every folder there is. What runs from one is told as executable. */
const lookForHoles = `
for mount in $(awk '{ print $5 }' /proc/self/mountinfo); do find "$mount" -xdev -type d 2>/dev/null; done | sort -u > /tmp/folders
while read -r folder; do
  case "$folder" in /proc*|/tmp/*) continue ;; esac
  probe="$folder/latebind-probe"
  cp /usr/bin/true "$probe" 2>/dev/null || continue
  if "$probe" 2>/dev/null; then echo "writable and executable $folder"; else echo "writable $folder"; fi
  rm -f "$probe"
done < /tmp/folders
`;

/** What systemd 252 does not know yet and passes over, as the unit's comment says. */
const newer = /Unknown key (name )?'(RestartSteps|RestartMaxDelaySec)' in section \S+, ignoring/;

describe.each(["bookworm", "trixie"] as const)("the sandbox on Debian %s", (release) => {
  let gateway: Gateway;
  const run = async (script: string) => gateway.machine.run(script);

  beforeAll(async () => {
    gateway = await Gateway.boot(release);
    await gateway.install(packages);
    await run("touch /tmp/marker; mknod /dev/probe c 1 7; mkdir -p /usr/lib/modules");
  });

  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
  });

  it.each(["latebind.service", "latebind-apply.service", "latebind-apply.socket"])(
    "systemd finds nothing wrong with %s",
    async (unit) => {
      const { stdout, stderr } = await gateway.machine.try(`systemd-analyze verify --man=no ${unit}`);
      const complaints = `${stdout}${stderr}`.split("\n").filter((line) => line !== "");
      expect(complaints.filter((line) => release === "trixie" || !newer.test(line))).toEqual([]);
    },
  );

  it.each([
    ["latebind.service", 1.3],
    ["latebind-apply.service", 3.0],
  ])("systemd rates the exposure of %s at %d or less", async (unit, limit) => {
    const report = await run(`systemd-analyze security --offline=yes --no-pager ${unit}`);
    const exposure = Number(/exposure level for \S+: ([\d.]+)/.exec(report)?.[1]);
    console.log(`Debian ${release}: exposure of ${unit} is ${exposure}`);
    expect(exposure).toBeLessThanOrEqual(limit);
  });

  it.each(["latebind.service", "latebind-apply.service"])(
    "every directive of %s is enforced, seen by what it prevents",
    { timeout: 300_000 },
    async (unit) => {
      const all = await directives(unit);
      const names = new Set(all.map(([name]) => name).filter((name) => !manners.includes(name)));
      expect([...names].filter((name) => !(name in probes) && !(name in unprobed))).toEqual([]);
      const controllers = await run("cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null || true");
      for (const [name, { deed, asNobody, together = [] }] of Object.entries(probes)) {
        if (!names.has(name)) continue;
        const controller = name === "MemoryMax" ? "memory" : name === "TasksMax" ? "pids" : undefined;
        if (controller !== undefined && !controllers.split(" ").includes(controller)) {
          console.log(
            `skipped: ${name}: this machine has no cgroup controller "${controller}" for systemd-nspawn`,
          );
          continue;
        }
        await gateway.machine.write("/opt/probe.sh", `${deed}\n`);
        const given = all.filter(([each]) => each === name || together.includes(each));
        const settings = given.map(([each, value]) => `-p '${each}=${value}'`).join(" ");
        const attempt = async (sandbox: string) => {
          const user = asNobody === true ? "-p User=nobody" : "";
          const command = `systemd-run --wait --pipe --quiet -E NODE_OPTIONS=x ${user} ${sandbox} bash /opt/probe.sh </dev/null`;
          const { exitCode } = await gateway.machine.try(command);
          return exitCode === 0;
        };
        expect({ name, succeeds: await attempt("") }).toEqual({ name, succeeds: true });
        expect({ name, settings, succeeds: await attempt(settings) }).toEqual({
          name,
          settings,
          succeeds: false,
        });
      }
    },
  );

  it.each([
    [
      "latebind.service",
      ["/dev/shm", "/run/latebind", "/tmp", "/var/cache/latebind", "/var/lib/latebind", "/var/tmp"],
    ],
    ["latebind-apply.service", ["/dev/shm", "/tmp", "/var/lib/latebind-apply", "/var/tmp"]],
  ])(
    "all of it together, %s may write to its own folders only, and run nothing from there",
    async (unit, own) => {
      await gateway.machine.write("/opt/probe.sh", lookForHoles);
      const drop =
        "s/^ExecStart=.*/ExecStart=bash \\/opt\\/probe.sh/; s/^Type=.*/Type=oneshot/; /^(ExecC|ExecR|Rest|Watch|Requires)/d";
      await run(`sed -E '${drop}' /usr/lib/systemd/system/${unit} > /run/systemd/system/probe.service
      systemctl daemon-reload; systemctl start probe`);
      const found = (await run("journalctl -u probe -o cat _COMM=bash; rm /run/systemd/system/probe.service"))
        .split("\n")
        .filter((line) => line.startsWith("writable"));
      await run("journalctl --rotate; journalctl --vacuum-time=1s 2>&1");
      expect(found.toSorted()).toEqual(own.map((path) => `writable ${path}`));
    },
  );
});
