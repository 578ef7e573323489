/**
 * Stands for something that is not in the bundle: it may be imported, passed around and asked for its members, but
 * whoever calls it or makes one learns that a part is missing and where to bring it back.
 */
export function absent(name: string): unknown {
  const refuse = (): never => {
    throw new Error(`${name} is not in the bundle; take it off the list in packaging/left-out.ts`);
  };
  // A function that is not an arrow has a prototype, so `instanceof` works: nothing is an instance of it.
  const stand = new Proxy(function () {}, {
    apply: refuse,
    construct: refuse,
    get: (target, key) =>
      Reflect.has(target, key) || typeof key === "symbol" ? Reflect.get(target, key) : stand,
  });
  return stand;
}
