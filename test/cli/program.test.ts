import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { configTemplate } from "../../src/config/template.ts";
import { configFolder } from "../config/config-folder.ts";
import { terminal } from "./terminal.ts";

describe("a wrong command line ends with code 2 and says what to do", () => {
  it.each([
    {
      args: ["confg"],
      stderr:
        "error: unknown command 'confg'\n(Did you mean config?)\nRun latebind --help to see the commands.\n",
    },
    {
      args: ["config", "chek"],
      stderr:
        "error: unknown command 'chek'\n(Did you mean check?)\nRun latebind --help to see the commands.\n",
    },
    {
      args: ["run", "--confg", "x"],
      stderr:
        "error: unknown option '--confg'\n(Did you mean --config?)\nRun latebind --help to see the commands.\n",
    },
    {
      args: ["run", "now"],
      stderr:
        "error: too many arguments for 'run'. Expected 0 arguments but got 1: now.\nRun latebind --help to see the commands.\n",
    },
    {
      args: ["derive-key"],
      stderr:
        "error: required option '--registration-id <id>' not specified\nRun latebind --help to see the commands.\n",
    },
  ])("$args", async ({ args, stderr }) => {
    await expect(terminal(args)).resolves.toEqual({ code: 2, stdout: "", stderr, ran: [] });
  });

  it("no command at all gets the help, on stderr", async () => {
    const { code, stdout, stderr } = await terminal([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("Usage: latebind");
  });
});

describe("latebind --help and --version", () => {
  it("prints the commands, the first steps and the exit codes on stdout", async () => {
    const { code, stdout, stderr } = await terminal(["--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const part of [
      "run",
      "config",
      "derive-key",
      "/etc/latebind/config.toml",
      "78 wrong configuration",
    ]) {
      expect(stdout).toContain(part);
    }
    expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
  });

  it("prints the version alone", async () => {
    await expect(terminal(["--version"])).resolves.toEqual({
      code: 0,
      stdout: "1.2.3\n",
      stderr: "",
      ran: [],
    });
  });
});

describe("latebind run", () => {
  it("starts the agent with the sources of its environment and ends with its code", async () => {
    const env = { STATE_DIRECTORY: "/var/lib/latebind", CREDENTIALS_DIRECTORY: "/run/credentials/x" };
    const { code, ran } = await terminal(["run"], { env, runCode: 78 });
    expect(code).toBe(78);
    expect(ran).toEqual([
      {
        file: "/etc/latebind/config.toml",
        stateDirectory: "/var/lib/latebind",
        credentialsDirectory: "/run/credentials/x",
      },
    ]);
  });

  it("takes another configuration file", async () => {
    const { ran } = await terminal(["run", "--config", "/opt/gw.toml"]);
    expect(ran).toMatchObject([{ file: "/opt/gw.toml" }]);
  });
});

describe("latebind config", () => {
  it("check lists every problem and ends with 78, as systemd must not restart on it", async () => {
    await using folder = await configFolder({
      "config.toml": "id_scope = 5",
      "config.d/a.toml": "[log]\nlevel = 1",
      "config.d/old.bak": "",
    });
    const file = join(folder.path, "config.toml");
    const { code, stdout, stderr } = await terminal(["config", "check", "--config", file]);
    expect({ code, stdout }).toEqual({ code: 78, stdout: "" });
    expect(stderr.replaceAll(`${folder.path}/`, "").split("\n")).toEqual([
      "warning: config.d/old.bak: not read: drop-ins end in .toml. Fix: rename the file, or move it out of the folder.",
      "config.toml:1: id_scope: expected 0ne followed by 8 letters or digits, such as 0ne000A0B1C, found the number 5. Fix: copy the ID scope from the overview page of your Device Provisioning Service in the Azure portal.",
      'config.d/a.toml:2: log.level: expected one of error, warning, notice, info, debug, found the number 1. Fix: change it, or delete the line to get "notice".',
      "2 problems in the configuration: the agent will not start with it.",
      "",
    ]);
  });

  it("check says which files were read when all is well", async () => {
    await using folder = await configFolder({
      "config.toml": 'id_scope = "0ne000A0B1C"',
      "config.d/a.toml": "",
    });
    const file = join(folder.path, "config.toml");
    await expect(terminal(["config", "check", "--config", file])).resolves.toMatchObject({
      code: 0,
      stdout: `The configuration is valid: ${file}, ${join(folder.path, "config.d/a.toml")}\n`,
      stderr: "",
    });
  });

  it("template prints what check accepts", async () => {
    const { code, stdout, stderr } = await terminal(["config", "template"]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: configTemplate(), stderr: "" });
  });
});
