import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Json } from "../../src/platform/json.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { terminal } from "./terminal.ts";

const config = `
id_scope = "0ne000A0B1C"
[[apply]]
property = "site"
file = "DIR/site.env"
format = "env"
after = ["firewall"]
command = ["/usr/bin/systemctl", "try-restart", "my-app.service"]
[[apply]]
property = "firewall"
handler = "firewall"
privileged = true
[[apply]]
property = "done"
file = "DIR/done.json"
`;

async function dryRun(folder: TemporaryFolder, twin: Json | string, rules: string = config) {
  mkdirSync(folder.join("etc"), { recursive: true });
  const [file, twinFile] = [folder.join("etc", "config.toml"), folder.join("twin.json")];
  writeFileSync(file, rules.replaceAll("DIR", folder.path));
  writeFileSync(twinFile, typeof twin === "string" ? twin : JSON.stringify(twin));
  const screen = await terminal(["apply", "--dry-run", twinFile, "--config", file]);
  return { ...screen, stdout: screen.stdout.replaceAll(folder.path, "DIR") };
}

describe("a dry run", () => {
  test("says in order what would be done, and does nothing", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.join("done.json"), "1\n", { mode: 0o644 });
    const desired = {
      site: { A: 1 },
      firewall: [],
      done: 1,
      other: 1,
      latebind: { logLevel: "debug" },
      $version: 4,
    };
    expect(await dryRun(folder, { properties: { desired, reported: {} } })).toMatchObject({
      code: 0,
      stderr: "",
      stdout: [
        "latebind.logLevel: set the log level to debug",
        "firewall: hand the value to the handler firewall (by the privileged helper)",
        "site: write DIR/site.env as env, mode 0644, then run /usr/bin/systemctl try-restart my-app.service (DIR/site.env is missing)",
        "done: write DIR/done.json as json, mode 0644 (it is like that already)",
        "other: nothing: it has no rule",
        "",
      ].join("\n"),
    });
    expect(existsSync(folder.join("site.env"))).toBe(false);
  });

  test("takes desired properties alone, and tells what would be refused", async () => {
    using folder = new TemporaryFolder();
    const desired = { site: { "a b": 1 }, latebind: { logLevel: "loud", loglevel: 1 } };
    expect(await dryRun(folder, desired)).toMatchObject({
      code: 1,
      stdout: [
        "latebind.loglevel: refused: latebind has no such setting; known: logLevel, heartbeat, keepAlive",
        "latebind.logLevel: refused: logLevel: expected one of error, warning, notice, info, debug",
        "site: refused: site.a b: not a variable name (letters, digits and _, not starting with a digit)",
        "",
      ].join("\n"),
    });
  });

  test.each(["nonsense", "[]", "5"])("does not take %s for a twin", async (twin) => {
    using folder = new TemporaryFolder();
    const { code, stderr } = await dryRun(folder, twin);
    expect([code, stderr]).toEqual([1, `${folder.join("twin.json")}: expected a JSON object, found none\n`]);
  });

  test("wants a file, and a configuration without problems", async () => {
    using folder = new TemporaryFolder();
    const missing = await terminal(["apply", "--dry-run", folder.join("no"), "--config", folder.join("no")]);
    expect(missing.code).toBe(78);
    expect((await dryRun(folder, {}, "nonsense = 1")).code).toBe(78);
  });
});
