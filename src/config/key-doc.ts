import * as v from "valibot";

/** What a person is told about one key, in the template, in the manual and when the value is wrong. */
export interface KeyDoc {
  /** One or two sentences: what it is for and why the default is what it is. */
  readonly help: string;
  /** Completes "expected …". */
  readonly expected: string;
  /** Completes "Fix: …", for a value that is wrong in no particular way. */
  readonly fix: string;
  /** The right-hand side as it is written in TOML; the default where there is one. */
  readonly example: string;
  /** Recognises particular mistakes. What it returns takes the place of the general words. */
  readonly explain?: (value: unknown) => Partial<Diagnosis> | undefined;
  /** Completes "Fix: …" where the key is missing. */
  readonly missing?: string;
}

export interface Diagnosis {
  readonly expected: string;
  readonly found: string;
  readonly fix: string;
}

/** A schema as far as it matters for walking: tables have entries, lists have an item, optional ones wrap another. */
interface WalkableSchema {
  readonly entries?: Readonly<Record<string, v.GenericSchema>>;
  readonly item?: v.GenericSchema;
  readonly wrapped?: v.GenericSchema;
}

/** Attaches its documentation to a schema. */
export function documented<const S extends v.GenericSchema>(schema: S, doc: KeyDoc) {
  return v.pipe(schema, v.metadata({ doc }));
}

/** The documentation of a schema; every key has one. */
export function docOf(schema: v.GenericSchema): KeyDoc | undefined {
  const metadata = v.getMetadata(schema) as { readonly doc?: KeyDoc };
  return metadata.doc;
}

/** The schema one step down, looking through `optional`; undefined where the schema knows nothing of that name. */
export function schemaBelow(schema: v.GenericSchema, step: string | number): v.GenericSchema | undefined {
  const { entries, item } = shapeOf(schema);
  if (typeof step === "number") return item;
  return entries !== undefined && Object.hasOwn(entries, step) ? entries[step] : undefined;
}

export function shapeOf(schema: v.GenericSchema): WalkableSchema {
  const shape = schema as v.GenericSchema & WalkableSchema;
  return shape.wrapped === undefined ? shape : shapeOf(shape.wrapped);
}
