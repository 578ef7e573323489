import type { ApplyRule } from "../config/config.ts";
import type { Applier } from "./applier.ts";
import { createFileApplier } from "./file.ts";
import { createHandlerApplier } from "./handler.ts";
import { withSchema } from "./with-schema.ts";

/** What rules need beside themselves. */
export interface ApplierSurroundings {
  /** Where handlers are looked for, in this order. */
  readonly handlerFolders: readonly string[];
}

/** The applier that a rule of the configuration asks for. */
export function createApplier(rule: ApplyRule, around: ApplierSurroundings): Applier {
  const applier = createBare(rule, around);
  return rule.schema === undefined ? applier : withSchema(applier, rule.property, rule.schema);
}

function createBare(rule: ApplyRule, around: ApplierSurroundings): Applier {
  switch (rule.kind) {
    case "file":
      return createFileApplier(rule);
    case "handler":
      return createHandlerApplier(rule, around.handlerFolders);
  }
}
