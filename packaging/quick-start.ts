import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync } from "node:fs";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Script } from "node:vm";

/*
 * Starts `latebind.cjs` beside this file as the service does: with the code that V8 compiled in an earlier start, where
 * systemd gives a folder for it (`CacheDirectory=`). Parsing and compiling is a fifth of a start.
 *
 * The code is kept once for each version of agent and Node, by the first process that lives for some seconds. What cannot be
 * read, was not made for this bundle, or is not whole, is made anew; a folder that cannot be written costs speed and nothing
 * else. Only a file of this very user that nobody else may write is taken: it is code.
 */

/** By then what a start needs has been compiled, and none of it thrown away again. */
const settledMs = 4_000;

/** Digest of `latebind.cjs`, from `packaging/bundle.ts`. */
declare const bundleDigest: string;

const program = join(__dirname, "latebind.cjs");
const name = `code-${bundleDigest.slice(0, 16)}-node${process.versions.node}`;
const digestBytes = 32;

start(process.env["CACHE_DIRECTORY"]);

function start(folder: string | undefined): void {
  const require = createRequire(program);
  if (folder === undefined || !folder.startsWith("/") || folder.includes(":")) {
    require(program);
    return;
  }
  const cachedData = readCode(join(folder, name));
  // As Node itself wraps a CommonJS module. The bundle is ASCII: read as Latin-1, V8 keeps a byte for each character.
  const source = readFileSync(program, "latin1").replace(/^#!.*/, "");
  const script = new Script(`(function (require, __filename, __dirname) { ${source}\n})`, {
    filename: program,
    ...(cachedData !== undefined && { cachedData }),
  });
  const run: unknown = script.runInThisContext();
  if (typeof run !== "function") throw new TypeError(`${program} is no program`);
  Reflect.apply(run, undefined, [require, program, dirname(program)]);
  if (cachedData === undefined || script.cachedDataRejected === true)
    setTimeout(() => keepCode(folder, script.createCachedData()), settledMs).unref();
}

function readCode(path: string): Buffer | undefined {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const { uid, mode } = fstatSync(file);
      if (uid !== process.geteuid?.() || (mode & 0o022) !== 0) return undefined;
      const content = readFileSync(file);
      const code = content.subarray(digestBytes);
      return digestOf(code).equals(content.subarray(0, digestBytes)) ? code : undefined;
    } finally {
      closeSync(file);
    }
  } catch {
    // There is none yet, most likely.
    return undefined;
  }
}

/** V8 itself does not look whether the code is whole. */
function digestOf(code: Buffer): Buffer {
  return createHash("sha256").update(bundleDigest).update(code).digest();
}

function keepCode(folder: string, code: Buffer): void {
  try {
    for (const file of readdirSync(folder)) {
      if (file.startsWith("code-")) rmSync(join(folder, file), { force: true });
    }
    const unfinished = join(folder, `code-${process.pid}`);
    writeFileSync(unfinished, Buffer.concat([digestOf(code), code]), { mode: 0o600, flag: "wx" });
    renameSync(unfinished, join(folder, name));
  } catch {
    // No room or no right to write: the next start is as slow as this one.
  }
}
