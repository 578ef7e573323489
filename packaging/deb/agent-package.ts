import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bundleFile, bundleQuickStart } from "../bundle-file.ts";
import type { DebianPackage } from "./archive.ts";
import { bundledPackages } from "./bundled-packages.ts";
import { debianChangelog } from "./changelog.ts";
import { bashCompletion, zshCompletion } from "./completions.ts";
import { conffile } from "./conffile.ts";
import { configManual } from "./config-manual.ts";
import { copyrightFile } from "./copyright.ts";
import { maintainerScripts } from "./maintainer-scripts.ts";
import { nativeParts } from "./native-parts.ts";
import { neededSymbols } from "./needed-symbols.ts";
import { nodeVersion } from "./node-binary.ts";
import { partsList } from "./parts-list.ts";
import { programManual } from "./program-manual.ts";
import type { Release } from "./release.ts";
import { Tree } from "./tree.ts";

const place = "usr/lib/latebind";

/** Starts the program on the private Node, whatever other Node there is. */
const command = `#!/bin/sh
unset NODE_OPTIONS NODE_PATH
exec /usr/lib/latebind/node /usr/lib/latebind/latebind.cjs "$@"
`;

const overrides = `# daemon-reload, and whether the agent runs: neither has a word in deb-systemd-invoke.
latebind: maintainer-script-calls-systemctl *
# It names the interpreter for whoever runs it from the sources; here /usr/bin/latebind starts it on the private Node.
latebind: script-not-executable [usr/lib/latebind/latebind.cjs]
`;

/** The package `latebind`: the bundled agent, its native parts, units, manuals, completions and licences. */
export async function agentPackage(release: Release): Promise<DebianPackage> {
  const { root, work, date, version, target } = release;
  const tree = new Tree(join(work, "latebind"));
  const bundle = join(work, "bundle", "latebind.cjs");
  const { inputs } = await bundleFile(join(root, "src/main.ts"), bundle);
  const quickStart = join(work, "bundle", "quick-start.cjs");
  await bundleQuickStart(bundle, quickStart);
  const native = nativeParts(release);
  neededSymbols(target, [native.signer, native.pkcs11]);

  tree.copy(bundle, `${place}/latebind.cjs`);
  tree.copy(quickStart, `${place}/quick-start.cjs`);
  tree.copy(native.signer, `${place}/tls-signer.node`);
  const pkcs11js = join(root, "node_modules/pkcs11js");
  for (const file of ["index.js", "package.json"])
    tree.copy(join(pkcs11js, file), `${place}/node_modules/pkcs11js/${file}`);
  tree.copy(native.pkcs11, `${place}/node_modules/pkcs11js/build/Release/pkcs11.node`);
  tree.copy(join(root, "systemd/is-configured"), `${place}/is-configured`, 0o755);
  tree.write("usr/bin/latebind", command, 0o755);
  addSystemd(root, tree);

  tree.write("etc/latebind/config.toml", conffile());
  tree.directory("etc/latebind/config.d");

  tree.writeGzipped("usr/share/man/man1/latebind.1", programManual(date));
  tree.writeGzipped("usr/share/man/man5/latebind.toml.5", configManual(date));
  tree.write("usr/share/bash-completion/completions/latebind", bashCompletion());
  tree.write("usr/share/zsh/vendor-completions/_latebind", zshCompletion());

  const packages = bundledPackages([...inputs, join(pkcs11js, "index.js")]);
  const documents = "usr/share/doc/latebind";
  tree.write(`${documents}/copyright`, copyrightFile(readFileSync(join(root, "LICENSE"), "utf8"), packages));
  tree.writeGzipped(
    `${documents}/changelog`,
    debianChangelog("latebind", version, date, "See /usr/share/doc/latebind/NEWS.md.gz"),
  );
  tree.writeGzipped(`${documents}/NEWS.md`, readFileSync(join(root, "CHANGELOG.md"), "utf8"));
  const product = { name: "latebind", version, architecture: target.debian, date };
  tree.write(
    `${documents}/sbom.cdx.json`,
    partsList(product, packages, [{ name: "latebind-runtime", version: nodeVersion, licence: "MIT" }]),
  );

  tree.write("usr/share/lintian/overrides/latebind", overrides);
  return {
    name: "latebind",
    version,
    tree,
    conffiles: ["/etc/latebind/config.toml"],
    scripts: maintainerScripts(),
    control: {
      Section: "net",
      Priority: "optional",
      Depends: [
        `latebind-runtime (>= ${nodeVersion}~)`,
        "latebind-runtime (<< 25)",
        "systemd (>= 249)",
        "ca-certificates",
        "libc6 (>= 2.35)",
        "libstdc++6",
        "libgcc-s1",
      ].join(", "),
      Recommends: "tpm2-tools, iproute2",
      Suggests: "opensc, softhsm2",
      Description: [
        "edge agent for Azure IoT: provisioning, IoT Hub, device twin",
        " Starts knowing nothing but the ID scope of a Device Provisioning Service,",
        " proves who it is with the device's key (TPM, PKCS#11 token or file), connects",
        " to the IoT Hub it is assigned to, and makes the machine what its device twin",
        " says. It finds its way back from whatever breaks, and moves when it is moved.",
      ].join("\n"),
    },
  };
}

function addSystemd(root: string, tree: Tree): void {
  const from = (name: string) => join(root, "systemd", name);
  for (const unit of ["latebind.service", "latebind-apply.socket", "latebind-apply.service"])
    tree.copy(from(unit), `usr/lib/systemd/system/${unit}`);
  tree.copy(from("latebind.sysusers"), "usr/lib/sysusers.d/latebind.conf");
  tree.copy(from("latebind.tmpfiles"), "usr/lib/tmpfiles.d/latebind.conf");
  tree.copy(from("latebind-apply.conf"), "usr/share/doc/latebind/examples/latebind-apply.conf");
}
