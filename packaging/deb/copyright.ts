import type { BundledPackage } from "./bundled-packages.ts";

/** `copyright` in Debian's machine-readable form: our licence, and the whole text of every bundled package's. */
export function copyrightFile(licence: string, packages: readonly BundledPackage[]): string {
  const ours = stanza("*", "2026 the authors of latebind", "Expat", licence);
  const theirs = packages.map(({ name, version, licence, licenceText }) =>
    stanza(
      `usr/lib/latebind/*\nComment: ${name} ${version} is part of it.`,
      copyrightLine(licenceText) ?? `the authors of ${name}`,
      licenceName(licence, name),
      licence === "Apache-2.0" ? apache : licenceText,
    ),
  );
  return [
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: latebind\n",
    ours,
    ...theirs,
  ].join("\n");
}

/** Debian has the text on every system, and wants it named and not repeated. */
const apache = `Licensed under the Apache License, Version 2.0, whose text is in
/usr/share/common-licenses/Apache-2.0 on Debian systems.`;

/** Each text is a licence of its own name: those of one kind differ in whom they name. */
function licenceName(spdx: string, name: string): string {
  return `${spdx === "MIT" ? "Expat" : spdx}-${name.replaceAll(/[^a-z0-9]+/gi, "-").replace(/^-/, "")}`;
}

function stanza(files: string, copyright: string, name: string, text: string): string {
  return `Files: ${files}\nCopyright: ${copyright}\nLicense: ${name}\n${indented(text)}\n`;
}

function copyrightLine(text: string): string | undefined {
  return /copyright (?:\(c\)|©)\s*(.+)/i.exec(text)?.[1]?.trim();
}

/** Control files mark an empty line by a dot and continue a field by a space. */
function indented(text: string): string {
  return text
    .trim()
    .split("\n")
    .map((line) => (line.trim() === "" ? " ." : ` ${line.trimEnd().replaceAll("\t", "  ")}`))
    .join("\n");
}
