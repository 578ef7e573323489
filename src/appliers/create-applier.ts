import type { ApplyRule } from "../config/config.ts";
import type { Applier } from "./applier.ts";
import { createFileApplier } from "./file.ts";
import { createHandlerApplier } from "./handler.ts";
import { createPrivilegedApplier, type AskHelper } from "./privileged.ts";
import { createUnitApplier } from "./unit.ts";
import { withSchema } from "./with-schema.ts";

/** What rules need beside themselves. */
export interface ApplierSurroundings {
  /** Where handlers are looked for, in this order. */
  readonly handlerFolders: readonly string[];
  /** Absolute path; Debian's own where absent. */
  readonly systemctl?: string;
  /** Where given, rules with `privileged` go that way. */
  readonly askHelper?: AskHelper;
}

/** The appliers that the rules of the configuration ask for, each after those it names; else in the order of the rules. */
export function createRuleAppliers(
  rules: readonly ApplyRule[],
  around: ApplierSurroundings,
): ReadonlyMap<string, Applier> {
  const byName = new Map(rules.map((rule) => [rule.property, rule]));
  const appliers = new Map<string, Applier>();
  const add = (rule: ApplyRule, way: ReadonlySet<string>): void => {
    // The configuration has no circles; one that came otherwise ends here.
    if (appliers.has(rule.property) || way.has(rule.property)) return;
    for (const name of rule.after) {
      const earlier = byName.get(name);
      if (earlier !== undefined) add(earlier, new Set([...way, rule.property]));
    }
    appliers.set(rule.property, createApplier(rule, around));
  };
  for (const rule of rules) add(rule, new Set());
  return appliers;
}

/** The applier that a rule of the configuration asks for. */
export function createApplier(rule: ApplyRule, around: ApplierSurroundings): Applier {
  const { property, schema, privileged, timeoutMs } = rule;
  const plain = createBare(rule, around);
  const judged = schema === undefined ? plain : withSchema(plain, property, schema);
  const applier =
    privileged && around.askHelper !== undefined
      ? createPrivilegedApplier(judged, property, timeoutMs, around.askHelper)
      : judged;
  return {
    ...applier,
    isMended: rule.mend,
    ...(rule.confirmMs !== undefined && { confirmMs: rule.confirmMs }),
    ...(rule.driftCheckMs !== undefined && { driftCheckMs: rule.driftCheckMs }),
  };
}

function createBare(rule: ApplyRule, around: ApplierSurroundings): Applier {
  switch (rule.kind) {
    case "file":
      return createFileApplier(rule);
    case "handler":
      return createHandlerApplier(rule, around.handlerFolders);
    case "units":
      return createUnitApplier(rule, around.systemctl ?? "/usr/bin/systemctl");
  }
}
