import type { BundledPackage } from "./bundled-packages.ts";

/** A part that is not an npm package. */
export interface OtherPart {
  readonly name: string;
  readonly version: string;
  readonly licence?: string;
  readonly purl?: string;
}

/** The SBOM in CycloneDX 1.6: the product and everything in it. Nothing in it depends on when or where it was made. */
export function partsList(
  product: {
    readonly name: string;
    readonly version: string;
    readonly architecture: string;
    readonly date: number;
  },
  packages: readonly BundledPackage[],
  others: readonly OtherPart[],
): string {
  const components = [
    ...packages.map(({ name, version, licence }) => ({
      type: "library",
      name,
      version,
      licenses: [{ expression: licence }],
      purl: npmUrl(name, version),
      "bom-ref": npmUrl(name, version),
    })),
    ...others.map(({ name, version, licence, purl }) => ({
      type: "library",
      name,
      version,
      ...(licence !== undefined && { licenses: [{ expression: licence }] }),
      ...(purl !== undefined && { purl }),
      "bom-ref": purl ?? `${name}@${version}`,
    })),
  ];
  const purl = `pkg:deb/${product.name}@${encodeURIComponent(product.version)}?arch=${product.architecture}`;
  const list = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      timestamp: new Date(product.date * 1000).toISOString(),
      component: {
        type: "application",
        name: product.name,
        version: product.version,
        licenses: [{ expression: "MIT" }],
        purl,
        "bom-ref": purl,
      },
    },
    components,
    dependencies: [{ ref: purl, dependsOn: components.map((component) => component["bom-ref"]) }],
  };
  return `${JSON.stringify(list, undefined, 2)}\n`;
}

function npmUrl(name: string, version: string): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}
