import { execFile } from "node:child_process";
import { basename } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { Gateway } from "./gateway.ts";
import { Machine } from "./machine.ts";
import { buildPackages, repack, type Packages } from "./packages.ts";

const folder = new TemporaryFolder();
let packages: Packages;

beforeAll(async () => {
  packages = await buildPackages(folder.path);
});

afterAll(() => {
  folder[Symbol.dispose]();
});

describe.each(["bookworm", "trixie"] as const)("the packages on Debian %s", (release) => {
  let gateway: Gateway;
  let filesBefore: readonly string[] = [];
  const run = async (script: string) => gateway.machine.run(script);
  const pid = async () => gateway.property("MainPID");
  /** Where the device belongs and what is in force; the diary beside it is the agent's own and goes on. */
  const state = async () => run("cd /var/lib/latebind && sha256sum assignment.* device.*");

  /** Every file but those that hold what changes with any package, and what is put there for the test. */
  const files = async () =>
    (await run("find / -xdev ! -type d -printf '%p\\n' | sort"))
      .split("\n")
      .filter(
        (path) => !/^\/(root|tmp|run|proc|sys|dev|var\/(log|cache|tmp|lib\/(dpkg|apt|systemd)))\//.test(path),
      )
      .filter((path) => !/^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid|ld\.so\.cache)-?$/.test(path));

  const dpkg = async (...debs: readonly string[]) => {
    await gateway.machine.bring(...debs);
    return gateway.machine.try(`cd /root; dpkg -i ${debs.map((deb) => basename(deb)).join(" ")} 2>&1`);
  };

  /** Installs while the agent is connected. @returns how long the hub was without it, and what DPS saw. */
  const exchange = async (...debs: readonly string[]) => {
    const { journal } = gateway.cloud;
    const { lastSeq } = journal;
    const before = await pid();
    const connected = await gateway.connected(async () => {
      const { exitCode, stdout } = await dpkg(...debs);
      if (exitCode !== 0) throw new Error(stdout);
    });
    const since = journal.events(lastSeq);
    const lost = since.find(({ kind, endpoint }) => kind === "disconnect" && endpoint !== "dps");
    expect(await pid()).not.toBe(before);
    return {
      gapMs: connected.atMs - (lost?.atMs ?? Number.NaN),
      dps: since.filter(({ endpoint }) => endpoint === "dps"),
      connects: journal.events(lastSeq).filter(({ kind }) => kind === "connect").length,
    };
  };

  beforeAll(async () => {
    gateway = await Gateway.boot(release);
    filesBefore = await files();
    await gateway.commission(packages);
    await gateway.machine.until("systemctl show latebind -P StatusText", (status) =>
      status.startsWith("connected"),
    );
  });

  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
  });

  it("leaves the old agent running when the new one is broken, and says so", async () => {
    const before = await pid();
    const broken = await repack(packages.agent, "1.0.1", "echo '}' > usr/lib/latebind/latebind.cjs");
    const { exitCode, stdout } = await dpkg(broken);
    expect(exitCode).not.toBe(0);
    expect(stdout).toContain("error processing package latebind");
    expect(await pid()).toBe(before);
    expect(await gateway.property("StatusText")).toMatch(/^connected/);
  });

  it("leaves the old agent and its files alone when unpacking fails", async () => {
    const mended = await exchange(await repack(packages.agent, "1.0.2"));
    expect(mended.dps).toEqual([]);
    const before = await pid();
    const refusing = await repack(
      packages.agent,
      "1.0.3",
      "printf '#!/bin/sh\\nexit 1\\n' > DEBIAN/preinst; chmod 755 DEBIAN/preinst",
    );
    expect((await dpkg(refusing)).exitCode).not.toBe(0);
    expect(await pid()).toBe(before);
    expect(
      await run("dpkg-query -W -f '${Version} ${db:Status-Status}' latebind; latebind --version"),
    ).toMatch(/^1\.0\.2 installed/);
  });

  it("are upgraded with less than five seconds without a session, and leave the state alone", async () => {
    const before = await state();
    const { gapMs, dps, connects } = await exchange(await repack(packages.agent, "1.1.0"));
    expect(gapMs).toBeLessThan(5_000);
    expect({ dps, connects }).toEqual({ dps: [], connects: 1 });
    expect(await state()).toBe(before);
  });

  it("restart the agent when the runtime alone is upgraded", async () => {
    const { gapMs, connects } = await exchange(await repack(packages.runtime, "24.99.0"));
    expect(gapMs).toBeLessThan(5_000);
    expect(connects).toBe(1);
  });

  it("restart the agent once when both are upgraded", async () => {
    const { gapMs, connects } = await exchange(
      await repack(packages.agent, "1.2.0"),
      await repack(packages.runtime, "24.99.1"),
    );
    expect(gapMs).toBeLessThan(5_000);
    expect(connects).toBe(1);
  });

  it("are downgraded without a question to DPS", async () => {
    const { dps } = await exchange(packages.agent, packages.runtime);
    expect(dps).toEqual([]);
  });

  it("do not start what the administrator stopped when they are upgraded", async () => {
    await run("systemctl stop latebind");
    expect((await dpkg(await repack(packages.agent, "1.3.0"))).exitCode).toBe(0);
    expect(await gateway.property("ActiveState")).toBe("inactive");
    await gateway.connected(async () => run("systemctl start latebind"));
  });

  it("keep configuration and state when they are removed, and go on from there when they come back", async () => {
    const before = await state();
    await run("apt-get remove -y latebind latebind-runtime 2>&1");
    expect(await run("pgrep -u latebind || echo none")).toBe("none");
    expect(await state()).toBe(before);
    expect(await run("ls /etc/latebind /etc/latebind/config.d")).toContain("site.toml");
    const { lastSeq } = gateway.cloud.journal;
    await gateway.connected(async () => gateway.install(packages));
    expect(gateway.cloud.journal.events(lastSeq).filter(({ endpoint }) => endpoint === "dps")).toEqual([]);
  });

  it("take with them what is theirs when they are purged, and nothing else", async () => {
    await run("apt-get purge -y latebind latebind-runtime 2>&1");
    const left = (await files()).filter((path) => !filesBefore.includes(path));
    expect(left).toEqual([
      "/etc/latebind/config.d/local-cloud.toml",
      "/etc/latebind/config.d/site.toml",
      "/etc/latebind/device.key",
      "/usr/local/share/ca-certificates/local-cloud.crt",
    ]);
    expect(
      (await gateway.machine.try("ls -d /var/lib/latebind /run/latebind /run/latebind-apply.sock")).stdout,
    ).toBe("");
  });

  it("work again after a purge: the device asks DPS and connects", async () => {
    const { lastSeq } = gateway.cloud.journal;
    await gateway.connected(async () => gateway.install(packages));
    expect(gateway.cloud.journal.events(lastSeq).map(({ kind }) => kind)).toContain("register");
  });
});

describe.each(["bookworm", "trixie"] as const)(
  "an image of Debian %s that is built without a running systemd",
  (release) => {
    it("connects at its first boot when it was configured, without a command", async () => {
      const machine = await Machine.boot(release, async (image) => {
        await image.bring(packages.runtime, packages.agent);
        const inside = [
          "chroot",
          image.disk,
          "sh",
          "-ec",
          "apt-get install -y --no-install-recommends /root/*.deb",
        ];
        await promisify(execFile)("env", ["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", ...inside]);
      });
      await using gateway = await Gateway.on(machine);
      expect(await gateway.property("Result")).toBe("exec-condition");
      await gateway.pointAtCloud();
      await gateway.followReadme(/^(echo 'id_scope|install )/);
      await gateway.connected(async () => machine.reboot(), 60_000);
    });
  },
);
