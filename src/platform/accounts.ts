import { readIfPresent } from "./files.ts";

/**
 * The number of a user or group, by name or by number as text; undefined where the name is unknown.
 *
 * Reads `/etc/passwd` and `/etc/group` only: accounts of a directory service are not seen; give their numbers.
 * @see passwd(5), group(5): name, password, number, …, separated by colons
 */
export async function findAccount(kind: "user" | "group", name: string): Promise<number | undefined> {
  if (/^\d{1,10}$/.test(name)) return Number(name);
  const table = await readIfPresent(kind === "user" ? "/etc/passwd" : "/etc/group");
  const entry = table
    ?.toString("utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .find(([entryName]) => entryName === name);
  const id = entry?.[2];
  return id !== undefined && /^\d+$/.test(id) ? Number(id) : undefined;
}
