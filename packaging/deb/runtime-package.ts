import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DebianPackage } from "./archive.ts";
import { debianChangelog } from "./changelog.ts";
import { copyrightFile } from "./copyright.ts";
import { neededSymbols } from "./needed-symbols.ts";
import { nodeBinary, nodeVersion } from "./node-binary.ts";
import { partsList } from "./parts-list.ts";
import type { Release } from "./release.ts";
import { Tree } from "./tree.ts";

/** What is linked into Node and has security notices of its own. */
const linked = new Set([
  "v8",
  "uv",
  "zlib",
  "openssl",
  "nghttp2",
  "llhttp",
  "ares",
  "icu",
  "simdjson",
  "ada",
  "sqlite",
]);

/** The package `latebind-runtime`: Node's official binary, stripped, for latebind alone. */
export async function runtimePackage(release: Release): Promise<DebianPackage> {
  const { work, date, target } = release;
  const tree = new Tree(join(work, "latebind-runtime"));
  const node = nodeBinary(release);
  neededSymbols(target, [join(node, "node")]);
  tree.copy(join(node, "node"), "usr/lib/latebind/node", 0o755);

  const documents = "usr/share/doc/latebind-runtime";
  const licenceText = readFileSync(join(node, "LICENSE"), "utf8");
  const licence = { name: "node", version: nodeVersion, licence: "MIT", licenceText };
  tree.write(`${documents}/copyright`, copyrightFile(licenceText, [licence]));
  tree.writeGzipped(
    `${documents}/changelog`,
    debianChangelog(
      "latebind-runtime",
      nodeVersion,
      date,
      `Node ${nodeVersion}, as nodejs.org published it, stripped.`,
    ),
  );
  const versions = Object.entries(process.versions).filter(([name]) => linked.has(name));
  tree.write(
    `${documents}/sbom.cdx.json`,
    partsList(
      { name: "latebind-runtime", version: nodeVersion, architecture: target.debian, date },
      [licence],
      versions.map(([name, version]) => ({ name, version: version ?? "" })),
    ),
  );
  tree.write("usr/share/lintian/overrides/latebind-runtime", overrides);
  return {
    name: "latebind-runtime",
    version: nodeVersion,
    tree,
    conffiles: [],
    scripts: {},
    control: {
      Section: "net",
      Priority: "optional",
      Depends: "libc6 (>= 2.28), libstdc++6, libgcc-s1",
      Description: [
        "private JavaScript runtime of latebind",
        " Node.js, for latebind alone: distributions carry versions that are too old or",
        " no longer supported. It is upgraded on its own when Node has security releases.",
      ].join("\n"),
    },
  };
}

const overrides = `# Node's official binary has its libraries linked in; its security releases renew them together.
latebind-runtime: embedded-library *
# As nodejs.org builds it.
latebind-runtime: hardening-no-pie *
# The licences of everything in Node, word for word as Node ships them.
latebind-runtime: copyright-file-contains-full-apache-2-license
latebind-runtime: old-fsf-address-in-copyright-file
`;
