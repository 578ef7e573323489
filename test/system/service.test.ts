import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { Gateway } from "./gateway.ts";
import { buildPackages, type Packages } from "./packages.ts";

const folder = new TemporaryFolder();
let packages: Packages;

beforeAll(async () => {
  packages = await buildPackages(folder.path);
});

afterAll(() => {
  folder[Symbol.dispose]();
});

describe.each(["bookworm", "trixie"] as const)("the service on Debian %s", (release) => {
  let gateway: Gateway;
  const run = async (script: string) => gateway.machine.run(script);

  beforeAll(async () => {
    gateway = await Gateway.boot(release);
  });

  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
  });

  it("waits without an ID scope, does not fail, and says how to go on", async () => {
    await gateway.install(packages);
    expect(await gateway.property("ActiveState")).toBe("inactive");
    expect(await gateway.property("Result")).toBe("exec-condition");
    expect(await gateway.property("NRestarts")).toBe("0");
    expect(await gateway.property("UnitFileState")).toBe("enabled");
    const journal = await run("journalctl -u latebind -o cat");
    expect(journal).toContain('waiting for an ID scope: write id_scope = "0ne00XXXXXX" into');
    expect(journal).toContain("systemctl start latebind");
  });

  it("connects by the README's commands, as they stand there", async () => {
    await gateway.commission(packages);
    expect(await gateway.property("ActiveState")).toBe("active");
    await gateway.machine.until("systemctl show latebind -P StatusText", (status) =>
      status.startsWith("connected"),
    );
  });

  it("runs as its own user, with its own folders, and nobody else reads its state", async () => {
    const pid = await gateway.property("MainPID");
    expect(await run(`stat -c '%U %G' /proc/${pid}`)).toBe("latebind latebind");
    expect(await run("stat -c '%a %U' /var/lib/latebind /run/latebind /etc/latebind")).toBe(
      "700 latebind\n750 latebind\n755 root",
    );
    expect(await run("find /var/lib/latebind -type f ! -perm 0600")).toBe("");
  });

  it("writes each event to the journal with its priority and its fields", async () => {
    const lines = (await run("journalctl -u latebind SYSLOG_IDENTIFIER=latebind -o json"))
      .split("\n")
      .map((line) => v.parse(v.object({ PRIORITY: v.string(), MESSAGE: v.string() }), JSON.parse(line)));
    const assigned = lines.find(({ MESSAGE }) => MESSAGE.includes('"event":"provisioning.assigned"'));
    expect(assigned?.PRIORITY).toBe("5");
    expect(JSON.parse(assigned?.MESSAGE ?? "")).toMatchObject({
      level: "notice",
      hub: gateway.cloud.hub("test").host,
    });
  });

  it("takes up a changed configuration by systemctl reload, without a new process", async () => {
    const pid = await gateway.property("MainPID");
    await gateway.machine.write("/etc/latebind/config.d/log.toml", '[log]\nlevel = "info"\n');
    await gateway.connected(async () => run("systemctl reload latebind"));
    expect(await gateway.property("MainPID")).toBe(pid);
    expect(await run("journalctl -u latebind -o cat")).toContain('"event":"config.reloaded","changed":true');
  });

  it("is started anew after kill -9 and connects without DPS", async () => {
    const before = Number(await gateway.property("NRestarts"));
    const { lastSeq } = gateway.cloud.journal;
    await gateway.connected(async () => run('kill -9 "$(systemctl show latebind -P MainPID)"'));
    expect(Number(await gateway.property("NRestarts"))).toBe(before + 1);
    expect(gateway.cloud.journal.events(lastSeq).filter(({ endpoint }) => endpoint === "dps")).toEqual([]);
  });

  it("is killed by the watchdog when its event loop stands still, without a dump of its memory", async () => {
    await gateway.machine.write(
      "/etc/systemd/system/latebind.service.d/watchdog.conf",
      "[Service]\nWatchdogSec=3s\n",
    );
    await gateway.connected(async () => run("systemctl daemon-reload; systemctl restart latebind"));
    const before = Number(await gateway.property("NRestarts"));
    await gateway.connected(async () => run('kill -STOP "$(systemctl show latebind -P MainPID)"'));
    expect(Number(await gateway.property("NRestarts"))).toBe(before + 1);
    const journal = await run("journalctl -u latebind -o cat");
    expect(journal).toContain("Watchdog timeout");
    expect(journal).toContain("status=9/KILL");
    await run("rm -r /etc/systemd/system/latebind.service.d; systemctl daemon-reload");
    await gateway.connected(async () => run("systemctl restart latebind"));
  });

  it("puts the last known state in force after a reboot without a network, and connects when the cable is back", async () => {
    await gateway.machine.reboot({ isCableIn: false });
    await gateway.machine.until("systemctl is-active latebind", (state) => state === "active");
    expect(await gateway.property("StatusText")).toContain("not connected");
    await gateway.connected(async () => gateway.machine.setCable(true), 90_000);
  });

  it("stops with 78 for a wrong configuration, is not started again, and says what to mend", async () => {
    await gateway.machine.write("/etc/latebind/config.d/zz.toml", "[hub]\nkeep_alive = 180\n");
    expect((await gateway.machine.try("systemctl restart latebind")).exitCode).not.toBe(0);
    expect(await gateway.property("ExecMainStatus")).toBe("78");
    expect(await gateway.property("ActiveState")).toBe("failed");
    const status = (await gateway.machine.try("systemctl status latebind --no-pager -l")).stdout;
    expect(status).toContain("zz.toml:2");
    expect(status).toContain('for seconds \\"180s\\"');
    await run("rm /etc/latebind/config.d/zz.toml");
    await gateway.connected(async () => run("systemctl start latebind"));
  });

  it("stops within five seconds and says goodbye", async () => {
    const startedAt = Date.now();
    await run("systemctl stop latebind");
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    expect(await gateway.property("Result")).toBe("success");
    await gateway.connected(async () => run("systemctl start latebind"));
  });

  it.each([
    ["LoadCredential", "cp /root/device.key /root/device.cred"],
    [
      "LoadCredentialEncrypted",
      "systemd-creds setup >/dev/null; systemd-creds encrypt --with-key=host --name=device.key /root/device.key /root/device.cred",
    ],
  ])("takes its key from a credential (%s)", async (directive, prepare) => {
    await run(`rm -f /etc/latebind/device.key; ${prepare}`);
    await gateway.machine.write(
      "/etc/systemd/system/latebind.service.d/key.conf",
      `[Service]\n${directive}=device.key:/root/device.cred\n`,
    );
    await gateway.connected(async () => run("systemctl daemon-reload; systemctl restart latebind"));
    expect(await gateway.property("ActiveState")).toBe("active");
  });
});
