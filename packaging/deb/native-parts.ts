import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Release } from "./release.ts";
import { runTool } from "./run-tool.ts";

const flags = [
  "-std=c++17",
  "-O2",
  "-shared",
  "-fPIC",
  "-fvisibility=hidden",
  "-fstack-protector-strong",
  "-D_FORTIFY_SOURCE=2",
  "-Wl,-z,now,-z,relro",
  "-DNODE_GYP_MODULE_NAME=pkcs11",
  "-DNAPI_VERSION=8",
  "-DNAPI_DISABLE_CPP_EXCEPTIONS",
  "-DBUILDING_NODE_EXTENSION",
];
const sources = ["src/dl.cpp", "src/common.cpp", "src/main.cpp"];

/**
 * Compiles the native parts for the release's target, with its cross compiler where that is another architecture than this
 * machine's: the TLS signer, and the binding of pkcs11js as its `binding.gyp` describes it.
 * @returns paths of the two libraries.
 */
export function nativeParts({ root, work, target }: Release): {
  readonly signer: string;
  readonly pkcs11: string;
} {
  const folder = join(work, "native");
  mkdirSync(folder, { recursive: true });
  const signer = join(folder, "tls-signer.node");
  runTool(process.execPath, [join(root, "packaging/build-tls-signer.ts"), "--output", signer], {
    env: {
      CC: `${target.triple}-gcc`,
      CFLAGS: `-ffile-prefix-map=${root}=.`,
      C_INCLUDE_PATH: target.isForeign ? opensslHeaders(folder) : "",
    },
  });
  const pkcs11 = join(folder, "pkcs11.node");
  const includes = ["-Iincludes", `-I${join(root, "node_modules/node-api-headers/include")}`];
  runTool(
    `${target.triple}-g++`,
    [...flags, `-ffile-prefix-map=${root}=.`, ...includes, ...sources, "-o", pkcs11],
    { cwd: join(root, "node_modules/pkcs11js") },
  );
  for (const library of [signer, pkcs11]) runTool(`${target.triple}-strip`, ["--strip-unneeded", library]);
  return { signer, pkcs11 };
}

/** Two of OpenSSL's headers lie in a folder of the architecture; what they say is the same for all with 64 bits. */
function opensslHeaders(folder: string): string {
  const host = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  const headers = join(folder, "include");
  cpSync(`/usr/include/${host}/openssl`, join(headers, "openssl"), { recursive: true });
  return headers;
}
