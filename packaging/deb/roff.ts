/** Pieces of manual pages in man(7). */

/**
 * A whole page.
 * @param date seconds since 1970, for the footer.
 */
export function manPage(
  name: string,
  section: number,
  title: string,
  date: number,
  parts: readonly string[],
): string {
  const day = new Date(date * 1000).toISOString().slice(0, 10);
  const header = `.TH ${name} ${section} ${day} latebind "${title}"\n.nh\n.ad l\n`;
  // What follows a heading begins a paragraph anyway.
  return `${header}${parts.join("")}`.replaceAll(/^(\.S[HS] .*\n)\.PP\n/gm, "$1");
}

export function heading(text: string): string {
  return `.SH ${quoted(text.toUpperCase())}\n`;
}

export function subheading(text: string): string {
  return `.SS ${quoted(text)}\n`;
}

export function paragraph(text: string): string {
  return `.PP\n${plain(text)}\n`;
}

/** A word in bold and what it means. Lines of `meaning` that start with `.` are macros. */
export function entry(term: string, ...meaning: readonly string[]): string {
  return `.TP\n.B ${quoted(term)}\n${meaning.join("\n")}\n`;
}

/** Lines as they are: commands and files. */
export function literal(text: string): string {
  return `.PP\n.nf\n.RS 4\n${plain(text)}\n.RE\n.fi\n`;
}

/** A dash stays the one that can be copied into a shell; a dot or quote at the start of a line is no macro. */
export function plain(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/^(?=[.'])/gm, "\\&");
}

function quoted(text: string): string {
  return `"${plain(text).replaceAll('"', "\\(dq")}"`;
}
