/**
 * The known name that a person most likely meant, or undefined where none is near.
 *
 * Case, `-` and the order of words do not count: `idScope`, `ID-SCOPE` and `scope_id` are all `id_scope`.
 */
export function nearestName(found: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((name) => ({ name, distance: distanceInAnyOrder(wordsOf(found), wordsOf(name)) }))
    .toSorted((a, b) => a.distance - b.distance);
  const [best] = ranked;
  if (best === undefined) return undefined;
  // A third of the name may be wrong: `endpiont` is `endpoint`, `ip` is not `id`.
  return best.distance <= Math.floor(best.name.length / 3) ? best.name : undefined;
}

function wordsOf(name: string): readonly string[] {
  return name
    .replaceAll(/([a-z])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .split(/[_\- ]+/);
}

function distanceInAnyOrder(a: readonly string[], b: readonly string[]): number {
  const asWritten = editDistance(a.join(""), b.join(""));
  return Math.min(asWritten, editDistance(a.toSorted().join(""), b.toSorted().join("")));
}

/** Levenshtein's distance, two rows at a time. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [row, letter] of a.split("").entries()) {
    const current = [row + 1];
    for (let column = 1; column <= b.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (letter === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
