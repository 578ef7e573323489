import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";
import { configTemplate } from "../../src/config/template.ts";
import { configFolder } from "./config-folder.ts";

const template = configTemplate();
const settings = template.replaceAll(/^#(?=[a-z[])/gm, "");

describe("the template", () => {
  it("is legal as it is printed and equals the smallest configuration", async () => {
    await using printed = await configFolder(template);
    await using smallest = await configFolder('id_scope = "0ne00XXXXXX"');
    const [long, short] = [await printed.load(), await smallest.load()];
    if (long.status === "invalid" || short.status === "invalid") throw new Error("the template is refused");
    const { key: _, ...fromTemplate } = long.config;
    expect(short.config).toMatchObject(fromTemplate);
    expect(fromTemplate).toMatchObject({ idScope: "0ne00XXXXXX", apply: [] });
  });

  it("is legal with every comment removed", async () => {
    const bare = template.replaceAll(/^#.*\n/gm, "");
    expect(parse(bare)).toEqual({
      id_scope: "0ne00XXXXXX",
      provisioning: {},
      hub: {},
      tls: {},
      tpm: {},
      log: {},
      messages: {},
      telemetry: {},
    });
    await using folder = await configFolder(bare);
    await expect(folder.load()).resolves.toMatchObject({ status: "valid" });
  });

  it("is legal with every setting in force, and then has a rule", async () => {
    await using folder = await configFolder(settings);
    const loaded = await folder.load();
    expect(loaded).toMatchObject({
      status: "valid",
      config: { registrationId: "plant-7-gateway-3", apply: [{ property: "network", mode: 0o644 }] },
    });
  });

  it("shows defaults that are in force without it", async () => {
    await using explicit = await configFolder(settings.replace(/^\[\[apply\]\][^]*/m, ""));
    await using implicit = await configFolder('id_scope = "0ne00XXXXXX"');
    const [shown, silent] = [await explicit.load(), await implicit.load()];
    if (shown.status === "invalid" || silent.status === "invalid") throw new Error("the template is refused");
    expect(shown.config.hub).toEqual(silent.config.hub);
    expect(shown.config.tls).toEqual(silent.config.tls);
    expect(shown.config.log).toEqual(silent.config.log);
    expect(shown.config.provisioning).toEqual({
      ...silent.config.provisioning,
      payload: { site: "plant-7", line: 2 },
    });
  });

  it("fits a serial console", () => {
    const tooLong = template.split("\n").filter((line) => line.length > 80);
    expect(tooLong).toEqual([]);
  });
});
