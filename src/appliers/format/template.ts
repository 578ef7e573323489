import mustache from "mustache";
import { isJsonObject, type Json } from "../../platform/json.ts";
import type { Parsed } from "../applier.ts";

/**
 * Fills a mustache template: `{{a.b}}` is the member `b` of the member `a` of the value, `{{.}}` the value itself, sections repeat or leave out.
 *
 * A file is no web page, so nothing is escaped. For that reason control characters are refused in what is filled in, line feeds
 * too: a value must not add lines that the template does not have. A name without a value is a problem and not an empty text.
 */
export function renderTemplate(template: string, property: string, value: Json): Parsed<string> {
  // Mustache looks names up in each item of a list, and null has none.
  if (hasNull(value))
    return { status: "rejected", problems: [`${property}: null is not allowed in a template`] };
  const writer = new StrictWriter(property);
  const text = writer.render(template, withoutPrototypes(value), undefined, { escape: String });
  return writer.problems.length > 0
    ? { status: "rejected", problems: [...new Set(writer.problems)] }
    : { status: "parsed", value: text };
}

/** Mustache would find, and call, what every object inherits. */
function withoutPrototypes(value: Json): unknown {
  if (Array.isArray(value)) return value.map(withoutPrototypes);
  if (!isJsonObject(value)) return value;
  const members = Object.entries(value).map(([key, member]) => [key, withoutPrototypes(member)] as const);
  return Object.setPrototypeOf(Object.fromEntries(members), null);
}

function hasNull(value: Json): boolean {
  return value === null || (typeof value === "object" && Object.values(value).some(hasNull));
}

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const unsafe = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]/;

class StrictWriter extends mustache.Writer {
  readonly problems: string[] = [];
  readonly #property: string;

  constructor(property: string) {
    super();
    this.#property = property;
  }

  override escapedValue(token: string[], context: mustache.Context): string {
    return this.#valueOf(token, context);
  }

  override unescapedValue(token: string[], context: mustache.Context): string {
    return this.#valueOf(token, context);
  }

  #valueOf([, name = ""]: readonly string[], context: mustache.Context): string {
    const value: unknown = context.lookup(name);
    const path = name === "." ? this.#property : `${this.#property}.${name}`;
    if (typeof value === "number" || typeof value === "boolean") return String(value);
    if (typeof value !== "string") {
      this.problems.push(`${path}: the template wants a text, a number or true/false here`);
      return "";
    }
    if (!value.isWellFormed() || unsafe.test(value))
      this.problems.push(`${path}: line feeds and control characters are not allowed in a template`);
    return value;
  }
}
