/**
 * Compiles the TLS signer to `src/identity/tls-signer/tls-signer.node`, unless it is newer than its sources.
 *
 * Needs a C compiler (`CC`, else `cc`), the headers of Node-API and those of OpenSSL 3. Both sorts lie beside an
 * official Node (`include/node`); else they come from the npm package node-api-headers and Debian's libssl-dev. Their
 * minor version does not matter: Node-API 8 is in every Node since 12.22, and what compiles against OpenSSL 3.0 runs on
 * every 3.x. Nothing is linked but libc: node itself exports OpenSSL.
 *
 * `node packaging/build-tls-signer.ts [--if-possible] [--output file]`; `CFLAGS` are added. With `--if-possible`,
 * what is missing is told in one line and the exit code is 0: the agent runs without, with every other identity.
 *
 * Under AddressSanitizer: build with `CFLAGS="-fsanitize=address -U_FORTIFY_SOURCE"`, then run the tests of identity with
 * `LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");
const folder = join(root, "src/identity/tls-signer");
const { values: options } = parseArgs({
  options: {
    "if-possible": { type: "boolean", default: false },
    output: { type: "string", default: join(folder, "tls-signer.node") },
  },
});
const compiler = process.env["CC"] ?? "cc";

const warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion"];
const hardening = ["-O2", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"];
const language = ["-std=gnu11", "-D_GNU_SOURCE", "-DNAPI_VERSION=8", "-DOPENSSL_API_COMPAT=30000"];
/** Undefined symbols fail at load and not at the first handshake; what OpenSSL may still call is never unmapped. */
const linking = ["-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,now,-z,relro,-z,nodelete"];

const problem = build();
if (problem !== undefined) {
  console.error(`TLS signer: not built, so keys in a PKCS#11 token or TPM cannot do TLS: ${problem}`);
  if (!options["if-possible"]) process.exitCode = 1;
}

/** @returns in one line what is in the way. */
function build(): string | undefined {
  const names = readdirSync(folder);
  const sources = names.filter((name) => name.endsWith(".c")).map((name) => join(folder, name));
  const headers = names.filter((name) => name.endsWith(".h")).map((name) => join(folder, name));
  if (isFresh([...sources, ...headers, import.meta.filename])) return undefined;
  if (run(["--version"]).status !== 0) {
    return `no C compiler "${compiler}". Run: apt-get install gcc libc6-dev libssl-dev`;
  }
  const includes = findHeaders();
  if (includes === undefined) return "no headers of Node-API and OpenSSL 3. Run: apt-get install libssl-dev";
  const extra = (process.env["CFLAGS"] ?? "").split(" ").filter((flag) => flag !== "");
  const flags = [...language, ...warnings, ...hardening, ...linking, ...includes, ...extra];
  const result = run([...flags, ...sources, "-o", options.output]);
  if (result.status !== 0) return `${compiler} failed: ${result.stderr.trim().split("\n")[0] ?? ""}`;
  console.error(`TLS signer: built ${relative(root, options.output)}`);
  return undefined;
}

function isFresh(inputs: readonly string[]): boolean {
  if (!existsSync(options.output)) return false;
  const builtAtMs = statSync(options.output).mtimeMs;
  return inputs.every((path) => statSync(path).mtimeMs < builtAtMs);
}

/** The first set of folders with which the one header that includes all the others can be read. */
function findHeaders(): readonly string[] | undefined {
  const besideNode = join(dirname(process.execPath), "../include/node");
  const fromNpm = join(root, "node_modules/node-api-headers/include");
  return [besideNode, fromNpm]
    .map((path) => [`-I${path}`])
    .find(
      (include) => run([...language, ...include, "-fsyntax-only", join(folder, "signer.h")]).status === 0,
    );
}

function run(args: readonly string[]): { readonly status: number | null; readonly stderr: string } {
  return spawnSync(compiler, args, { encoding: "utf8", env: { ...process.env, LC_ALL: "C" } });
}
