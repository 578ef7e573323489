/** Enough for a reason, and small beside the hub's limit of 4 KiB for a string. */
const maxLength = 512;

/** One line of at most 512 characters that is valid Unicode and has no control characters. */
export function plainText(text: string): string {
  const line = text
    .toWellFormed()
    .replaceAll(/\p{Cc}+/gu, " ")
    .trim();
  if (line.length <= maxLength) return line;
  // A pair cut in two becomes one replacement character, which is as long as the half.
  return `${line.slice(0, maxLength - 1).toWellFormed()}…`;
}
