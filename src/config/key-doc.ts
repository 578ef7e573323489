import * as v from "valibot";

/** What a person is told about one key, in the template, in the manual and when the value is wrong. */
export interface KeyDoc {
  /** What it is for and why the default is what it is. */
  readonly help: string;
  /** Completes "expected …". Tables need no words of their own. */
  readonly expected?: string;
  /** A value as it is written in TOML, for keys without a default. */
  readonly example?: string;
  /** The same, for a key that takes the place of another one that the template shows. */
  readonly alternative?: string;
  /** Completes "Fix: …", for a value that is wrong in no particular way. Keys with a default need none. */
  readonly fix?: string;
  /** Completes "Fix: …" where a mandatory key is missing. */
  readonly missing?: string;
  /** Recognises particular mistakes. What it returns takes the place of the general words. */
  readonly explain?: (value: unknown) => Partial<Diagnosis> | undefined;
}

/** Completes "expected …, found …. Fix: …." */
export interface Diagnosis {
  readonly expected: string;
  readonly found: string;
  readonly fix: string;
}

/** A schema as far as walking needs it: a table has entries, a list has an item, a key has neither. */
interface Shape {
  readonly entries?: Readonly<Record<string, v.GenericSchema>>;
  readonly item?: v.GenericSchema;
}

/** Attaches its documentation to a schema. */
export function documented<const S extends v.GenericSchema>(schema: S, doc: KeyDoc) {
  return v.pipe(schema, v.metadata({ doc }));
}

/** The documentation of a schema; every key has one. */
export function docOf(schema: v.GenericSchema): KeyDoc {
  const { doc } = v.getMetadata(schema) as { readonly doc?: KeyDoc };
  if (doc === undefined) throw new TypeError(`a ${schema.type} of the configuration has no documentation`);
  return doc;
}

/** The default as it is written in TOML, or undefined where there is none. JSON spells texts and numbers as TOML does. */
export function defaultOf(schema: v.GenericSchema): string | undefined {
  const value: unknown = v.getDefault(schema);
  const isWritten = ["string", "number", "boolean"].includes(typeof value);
  return isWritten ? JSON.stringify(value) : undefined;
}

/** The schema one step down; undefined where nothing of that name is known. */
export function schemaBelow(schema: v.GenericSchema, step: string | number): v.GenericSchema | undefined {
  const { entries, item } = shapeOf(schema);
  if (typeof step === "number") return item;
  return entries !== undefined && Object.hasOwn(entries, step) ? entries[step] : undefined;
}

/** What is inside a schema, seen through `optional`. */
export function shapeOf(schema: v.GenericSchema): Shape {
  const shape = schema as v.GenericSchema & Shape & { readonly wrapped?: v.GenericSchema };
  return shape.wrapped === undefined ? shape : shapeOf(shape.wrapped);
}
