import * as v from "valibot";
import type { AdminRoute } from "./admin-routes.ts";
import { caAdminRoutes } from "./ca-admin-routes.ts";
import { parse } from "./enrollment-spec.ts";
import type { Levers } from "./levers.ts";

export const policySettings = v.strictObject({ validityDays: v.optional(v.number()) });
export const linkSettings = {
  latencyMs: v.optional(v.pipe(v.number(), v.minValue(0))),
  isAuthorized: v.optional(v.boolean()),
};
const linkChange = v.strictObject(linkSettings);

/** Beside the enrollments: uploaded CAs, credential policies, how DPS sees its hubs. */
export function dpsAdminRoutes(levers: Levers): readonly AdminRoute[] {
  const { caCertificates, credentialPolicies, linkedHubs } = levers;
  return [
    ...caAdminRoutes(
      "",
      () => caCertificates,
      () => Date.parse(levers.clock().now),
    ),
    { method: "GET", path: "/credential-policies", run: () => credentialPolicies.list() },
    {
      method: "PUT",
      path: "/credential-policies/:name",
      run: async ({ parameters, body }) =>
        credentialPolicies.put(nameIn(parameters), parse(policySettings, body ?? {}).validityDays),
    },
    {
      method: "GET",
      path: "/hubs/:name/link",
      run: ({ parameters }) => linkedHubs.link(nameIn(parameters)),
    },
    {
      method: "PATCH",
      path: "/hubs/:name/link",
      run: ({ parameters, body }) => linkedHubs.setLink(nameIn(parameters), parse(linkChange, body)),
    },
  ];
}

function nameIn(parameters: Readonly<Record<string, string>>): string {
  return parameters["name"] ?? "";
}
