import { describe, expect, it } from "vitest";
import { serviceConfigFile } from "../../src/cli/service-command.ts";
import { terminal } from "./terminal.ts";

describe("the short way past the command line parser", () => {
  it.each([
    [],
    ["run", "--help"],
    ["run", "--config"],
    ["run", "--config=/a.toml"],
    ["run", "--confg", "/a.toml"],
    ["run", "--config", "/a.toml", "now"],
    ["config", "--config", "/a.toml"],
  ])("is not for %j", (...args) => {
    expect(serviceConfigFile(args)).toBeUndefined();
  });

  it.each([[["run"]], [["run", "--config", "/a.toml"]], [["run", "--config", "--help"]]])(
    "takes the file that the parser would take from %j",
    async (args) => {
      const { ran } = await terminal(args);
      const file = serviceConfigFile(args);
      expect(ran.map((sources) => sources.file)).toEqual([expect.stringMatching(/^\//)]);
      expect(ran[0]?.file.endsWith(file ?? "no file")).toBe(true);
    },
  );
});
