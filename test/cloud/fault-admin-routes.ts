import type { AdminRoute } from "./admin-routes.ts";
import { CloudError } from "./cloud-error.ts";
import type { FaultDesk } from "./fault-desk.ts";
import { parseFaultRule } from "./fault-spec.ts";

/** What shall go wrong; POST takes one rule or a list of them. */
export function faultAdminRoutes(faults: FaultDesk): readonly AdminRoute[] {
  return [
    { method: "GET", path: "/faults", run: () => ({ seed: faults.seed, faults: faults.list() }) },
    {
      method: "POST",
      path: "/faults",
      run: ({ body }) => {
        // All are judged before the first is added: half a script would be a script of its own.
        const rules = (Array.isArray(body) ? body : [body]).map((rule) => parseFaultRule(rule));
        return rules.map((rule) => faults.add(rule));
      },
    },
    { method: "DELETE", path: "/faults", run: () => faults.clear() },
    {
      method: "DELETE",
      path: "/faults/:id",
      run: ({ parameters: { id = "" } }) => {
        if (!/^[0-9]+$/.test(id)) throw new CloudError(400, "id: not a number");
        faults.remove(Number(id));
      },
    },
  ];
}
