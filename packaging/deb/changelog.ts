/** A changelog as Debian's tools read it. @param date seconds since 1970. */
export function debianChangelog(name: string, version: string, date: number, change: string): string {
  const when = new Date(date * 1000).toUTCString().replace("GMT", "+0000");
  return `${name} (${version}) stable; urgency=medium\n\n  * ${change}\n\n -- latebind maintainers <maintainers@latebind.invalid>  ${when}\n`;
}
