import { configTemplate } from "../../src/config/template.ts";

/**
 * The template as a package brings it: with the ID scope waiting for its `#` to go as well, so that a gateway nobody has configured
 * waits and does not knock at a door that is not there.
 */
export function conffile(): string {
  const template = configTemplate();
  const line = /^id_scope = /gm;
  if (template.match(line)?.length !== 1)
    throw new Error("the template has no line with the ID scope to comment out");
  return template.replace(line, "#id_scope = ");
}
