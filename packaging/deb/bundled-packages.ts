import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";

/** An npm package, or part of one, that the product carries. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX identifier. */
  readonly licence: string;
  readonly licenceText: string;
}

/**
 * The packages that files come from, each once, sorted by name.
 * @param files absolute paths.
 * @throws Error for a package without a licence: then it must not be shipped.
 */
export function bundledPackages(files: readonly string[]): readonly BundledPackage[] {
  const folders = new Set(files.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]));
  return [...folders]
    .filter((folder) => folder !== undefined)
    .map((folder) => describe(folder))
    .toSorted(
      (one, other) =>
        one.name.localeCompare(other.name, "en") || one.version.localeCompare(other.version, "en"),
    );
}

const manifestSchema = v.object({
  name: v.string(),
  version: v.string(),
  license: v.optional(v.string()),
  author: v.optional(v.union([v.string(), v.object({ name: v.string() })])),
});

function describe(folder: string): BundledPackage {
  const manifest: unknown = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const {
    name,
    version,
    license: licence,
    author = `the authors of ${name}`,
  } = v.parse(manifestSchema, manifest);
  const holder = typeof author === "string" ? author : author.name;
  const licenceText = readLicence(folder) ?? (licence === "MIT" ? mitLicence(holder) : undefined);
  if (licence === undefined || licenceText === undefined)
    throw new Error(`${name}@${version} does not say its licence; it cannot be shipped`);
  return { name, version, licence, licenceText };
}

/**
 * Some packages declare the licence and leave out its text, which has to go with every copy.
 * @see https://spdx.org/licenses/MIT.html
 */
function mitLicence(holder: string): string {
  const [, ...terms] = readFileSync(join(import.meta.dirname, "../../LICENSE"), "utf8").split(
    /^Copyright.*$/m,
  );
  return `MIT License\n\nCopyright (c) ${holder}${terms.join("")}`;
}

/** Its own file, or the part of its README about it. */
function readLicence(folder: string): string | undefined {
  const file = readdirSync(folder).find((name) => /^(licen[cs]e|copying)/i.test(name));
  if (file !== undefined) return readFileSync(join(folder, file), "utf8");
  const readme = readdirSync(folder).find((name) => /^readme/i.test(name));
  if (readme === undefined) return undefined;
  return /^#*\s*licen[cs]e\b[\s\S]*$/im.exec(readFileSync(join(folder, readme), "utf8"))?.[0];
}
