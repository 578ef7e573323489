import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bashCompletion, zshCompletion } from "../../packaging/deb/completions.ts";
import { commandTree, flatten } from "../../packaging/deb/command-tree.ts";
import { conffile } from "../../packaging/deb/conffile.ts";
import { configManual } from "../../packaging/deb/config-manual.ts";
import { programManual } from "../../packaging/deb/program-manual.ts";
import { targetOf } from "../../packaging/deb/target.ts";
import { configTemplate } from "../../src/config/template.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = new TemporaryFolder();

/** Builds `latebind` from the sources in `from`, as quickly as it can be packed. */
function build(from: string, output: string): string {
  const args = [
    "packaging/deb.ts",
    "--only",
    "latebind",
    "--quick",
    "--version",
    "9.9.9",
    "--output",
    output,
  ];
  execFileSync(process.execPath, args, {
    cwd: from,
    env: { ...process.env, SOURCE_DATE_EPOCH: "1790000000" },
    stdio: "pipe",
  });
  const [file = ""] = readdirSync(output);
  return join(output, file);
}

const say = (script: string): string => execFileSync(process.execPath, ["-e", script], { encoding: "utf8" });
function complete(line: string): readonly string[] {
  const script = `${bashCompletion()}
COMP_WORDS=(${line}${line.endsWith(" ") ? " ''" : ""}); COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 )); _latebind
printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["-c", script], { encoding: "utf8" })
    .split("\n")
    .filter((word) => word !== "");
}

const sha256 = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

let deb = "";
const contents = folder.join("contents");

beforeAll(() => {
  deb = build(root, folder.join("first"));
  execFileSync("dpkg-deb", ["--raw-extract", deb, contents]);
}, 60_000);

afterAll(() => {
  folder[Symbol.dispose]();
});

describe("the package latebind", () => {
  it("is not made for an architecture without an official Node", () => {
    expect(() => targetOf("armhf")).toThrow("no package for armhf: expected amd64 or arm64");
  });

  it("has the same bytes when it is built again, and in another folder", { timeout: 60_000 }, () => {
    const elsewhere = folder.join("elsewhere");
    for (const name of [
      "src",
      "packaging",
      "systemd",
      "package.json",
      "tsconfig.json",
      "LICENSE",
      "CHANGELOG.md",
    ])
      cpSync(join(root, name), join(elsewhere, name), { recursive: true });
    // Links would lead back to the first folder.
    execFileSync("cp", ["--archive", "--link", join(root, "node_modules"), elsewhere]);
    expect(sha256(build(elsewhere, folder.join("second")))).toBe(sha256(deb));
  });

  it("holds no path of the folder it was built in", () => {
    const leaks = readdirSync(contents, { recursive: true, encoding: "utf8", withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((file) => readFileSync(file).includes(root));
    expect(leaks).toEqual([]);
  });

  it("runs from where it is unpacked, with its native parts", () => {
    const place = join(contents, "usr/lib/latebind");
    expect(say(`require(${JSON.stringify(join(place, "tls-signer.node"))}); console.log("loaded")`)).toBe(
      "loaded\n",
    );
    const pkcs11 = JSON.stringify(join(place, "node_modules/pkcs11js"));
    expect(say(`new (require(${pkcs11}).PKCS11)(); console.log("loaded")`)).toBe("loaded\n");
    const version = execFileSync(process.execPath, [join(place, "latebind.cjs"), "--version"], {
      encoding: "utf8",
    });
    expect(version).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("takes the runtime's version and every later one of the same major", () => {
    const depends = execFileSync("dpkg-deb", ["--field", deb, "Depends"], { encoding: "utf8" });
    expect(depends).toContain(`latebind-runtime (>= ${process.versions.node}~), latebind-runtime (<< 25)`);
  });

  it("names the licence of every package inside, and its whole text", () => {
    const sbom = v.parse(
      v.object({ components: v.array(v.object({ name: v.string(), version: v.string() })) }),
      JSON.parse(readFileSync(join(contents, "usr/share/doc/latebind/sbom.cdx.json"), "utf8")),
    );
    const copyright = readFileSync(join(contents, "usr/share/doc/latebind/copyright"), "utf8");
    const inside = sbom.components.filter(({ name }) => name !== "latebind-runtime");
    expect(inside.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["mqtt", "pkcs11js", "pino", "valibot"]),
    );
    expect(inside.filter(({ name, version }) => !copyright.includes(`${name} ${version}`))).toEqual([]);
    expect(copyright).not.toContain("Licence: ");
  });

  it("brings a configuration whose ID scope waits to be filled in", () => {
    const config = readFileSync(join(contents, "etc/latebind/config.toml"), "utf8");
    expect(config).toContain('\n#id_scope = "');
    expect(config.replace('\n#id_scope = "', '\nid_scope = "')).toBe(configTemplate());
    expect(conffile()).toBe(config);
  });
});

describe("manuals and completions", () => {
  it("are free of what mandoc warns about", () => {
    for (const page of [programManual(0), configManual(0)]) {
      const found = execFileSync("mandoc", ["-T", "lint", "-W", "warning"], {
        input: page,
        encoding: "utf8",
      });
      expect(found).toBe("");
    }
  });

  it("tell every command, option and setting", () => {
    const manual = programManual(0).replaceAll("\\-", "-");
    for (const { path, options } of flatten(commandTree())) {
      expect(manual).toContain(path.join(" "));
      for (const { term } of options) expect(manual).toContain(term);
    }
    const settings = [...configTemplate().matchAll(/^#?([a-z_]+) = /gm)].map(([, name = ""]) => name);
    expect(settings.length).toBeGreaterThan(15);
    for (const name of settings) expect(configManual(0)).toContain(`.B "${name}"`);
  });

  it("complete commands, their options and nothing else in bash", () => {
    expect(complete("latebind conf")).toEqual(["config"]);
    expect(complete("latebind config ")).toEqual(expect.arrayContaining(["check", "template"]));
    expect(complete("latebind config check --con")).toEqual(["--config"]);
    expect(complete("latebind nonsense-")).toEqual([]);
  });

  it("is a function that zsh can read", () => {
    execFileSync("zsh", ["-n"], { input: zshCompletion() });
    expect(zshCompletion()).toMatch(/^#compdef latebind\n/);
  });
});
