import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { JsonObject } from "../../src/platform/json.ts";
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

const acknowledgement = v.object({ ac: v.number(), av: v.number(), ad: v.string() });

const states =
  "systemctl is-enabled demo.service demo.timer; systemctl is-active demo.service demo.timer; true";

const rules = `[[apply]]
property = "secret"
file = "/etc/root-app/secret.json"
mode = "0600"
privileged = true
[[apply]]
property = "units"
units = ["demo.service", "demo.timer"]
privileged = true
[[apply]]
property = "boot"
handler = "boot"
privileged = true
timeout = "10s"
`;

/** The helper as systemd starts it, in its sandbox, with the systemd of a machine to talk to. */
describe("the privileged helper on Debian trixie", () => {
  let gateway: Gateway;
  const run = async (script: string) => gateway.machine.run(script);

  /** Patches the twin and waits for the answers at the version that follows. */
  const wish = async (desired: JsonObject) => {
    gateway.cloud.levers.patchTwin("test", "gw-0042", { desired });
    const { version } = gateway.cloud.levers.twin("test", "gw-0042").desired;
    const names = Object.keys(desired);
    for (const deadline = Date.now() + 30_000; ;) {
      const { properties } = gateway.cloud.levers.twin("test", "gw-0042").reported;
      const found = names.map((name) => v.safeParse(acknowledgement, properties[name]));
      if (found.every((one) => one.success && one.output.av === version))
        return found.map((one) => (one.success ? one.output : undefined));
      if (Date.now() > deadline) throw new Error(JSON.stringify(properties));
      await gateway.cloud
        .waitFor((event) => event.kind === "twin-patch", 1_000, gateway.cloud.journal.lastSeq)
        .catch(() => {});
    }
  };

  beforeAll(async () => {
    gateway = await Gateway.boot("trixie");
    await gateway.commission(packages);
    const { machine } = gateway;
    await machine.write(
      "/etc/systemd/system/demo.service",
      "[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
    );
    await machine.write(
      "/etc/systemd/system/demo.timer",
      "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
    );
    await machine.write(
      "/etc/latebind/handlers/boot",
      "#!/bin/sh\nid -u > /etc/root-app/uid\ncat > /etc/root-app/boot\n",
      0o755,
    );
    await machine.write("/etc/latebind/config.d/privileged.toml", rules);
    await machine.write(
      "/etc/systemd/system/latebind-apply.service.d/local.conf",
      "[Service]\nReadWritePaths=/etc/root-app\n",
    );
    await run(`set -e; install -d -m 0755 /etc/root-app; chown -R root:root /etc/latebind/handlers /etc/latebind/config.d
      systemctl daemon-reload; systemctl enable --now latebind-apply.socket`);
    await gateway.connected(async () => run("systemctl restart latebind"));
  });

  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
  });

  it("writes root's file and runs root's handler, while the agent has no rights", async () => {
    expect(await wish({ secret: { pin: "1" }, boot: { splash: false } })).toMatchObject([
      { ac: 200 },
      { ac: 200 },
    ]);
    expect(await run("stat -c %U:%a /etc/root-app/secret.json")).toBe("root:600");
    expect(await run("cat /etc/root-app/uid /etc/root-app/boot")).toBe('0\n{"splash":false}');
    expect(await gateway.property("User")).toBe("latebind");
  });

  it("has systemd itself enable, start, restart and stop units", async () => {
    await wish({
      units: [
        { unit: "demo.service", enabled: true, started: true, restart: "1" },
        { unit: "demo.timer", started: true },
      ],
    });
    expect(await run(states)).toBe("enabled\ndisabled\nactive\nactive");
    const pid = await gateway.property("MainPID", "demo.service");
    await wish({ units: [{ unit: "demo.service", restart: "2" }] });
    expect(await gateway.property("MainPID", "demo.service")).not.toBe(pid);
    await wish({ units: [{ unit: "demo.service", enabled: false, started: false }] });
    expect(await run(states)).toBe("disabled\ndisabled\ninactive\nactive");
  });

  it("ends when idle, and comes back for the next question", async () => {
    const deadline = Date.now() + 60_000;
    while ((await gateway.property("ActiveState", "latebind-apply.service")) !== "inactive") {
      if (Date.now() > deadline) throw new Error("it still runs");
      await gateway.cloud.waitFor(() => false, 1_000).catch(() => {});
    }
    expect(await gateway.property("Result", "latebind-apply.service")).toBe("success");
    expect(await wish({ secret: { pin: "2" } })).toMatchObject([{ ac: 200 }]);
  });

  it("comes back however often it was killed", async () => {
    for (let pin = 10; pin < 18; pin += 1) {
      expect(await wish({ secret: { pin } })).toMatchObject([{ ac: 200 }]);
      await run("systemctl kill --signal=KILL latebind-apply.service");
    }
    expect(await wish({ secret: { pin: "2" } })).toMatchObject([{ ac: 200 }]);
  });

  it("is there for the agent's user alone, not for people of its group", async () => {
    const script = `require("node:net").connect("/run/latebind-apply.sock").on("connect",()=>console.log("in")).on("error",(e)=>console.log(e.code))`;
    await gateway.machine.write("/opt/knock.cjs", script, 0o644);
    expect(await run("stat -c %U:%G:%a /run/latebind-apply.sock")).toBe("latebind:root:600");
    for (const groups of ["--clear-groups", "--groups=$(getent group latebind | cut -d: -f3)"])
      expect(
        await run(`setpriv --reuid=65534 --regid=65534 ${groups} /usr/lib/latebind/node /opt/knock.cjs`),
      ).toBe("EACCES");
  });

  it("refuses once somebody else may write the configuration, says so, and goes on when that is mended", async () => {
    await run("chown latebind /etc/latebind/config.d/privileged.toml");
    const [refused] = await wish({ secret: { pin: "3" } });
    expect(refused).toMatchObject({ ac: 500 });
    expect(refused?.ad).toContain("/etc/latebind/config.d/privileged.toml belongs to user");
    expect(await run("cat /etc/root-app/secret.json")).toContain('"2"');
    expect(await run("journalctl -u latebind-apply -o cat")).toContain("helper.refused");
    await run("chown root:root /etc/latebind/config.d/privileged.toml");
    expect(await wish({ secret: { pin: "4" } })).toMatchObject([{ ac: 200 }]);
  });
});
