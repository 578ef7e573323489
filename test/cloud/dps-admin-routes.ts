import * as v from "valibot";
import type { AdminRoute } from "./admin-routes.ts";
import { parse } from "./enrollment-spec.ts";
import type { Levers } from "./levers.ts";

const bodies = {
  caCertificate: v.strictObject({ certificate: v.string(), isVerified: v.optional(v.boolean()) }),
  proof: v.strictObject({ certificate: v.string() }),
  policy: v.strictObject({ validityDays: v.optional(v.number()) }),
  link: v.strictObject({
    latencyMs: v.optional(v.pipe(v.number(), v.minValue(0))),
    isAuthorized: v.optional(v.boolean()),
  }),
};

/** Beside the enrollments: uploaded CAs, credential policies, how DPS sees its hubs. */
export function dpsAdminRoutes(levers: Levers): readonly AdminRoute[] {
  const { caCertificates, credentialPolicies, linkedHubs } = levers;
  const authority = "/ca-certificates/:name";
  return [
    { method: "GET", path: "/ca-certificates", run: () => caCertificates.list() },
    { method: "GET", path: authority, run: ({ parameters }) => caCertificates.get(nameIn(parameters)) },
    {
      method: "PUT",
      path: authority,
      run: ({ parameters, body }) => {
        const { certificate, isVerified } = parse(bodies.caCertificate, body);
        return caCertificates.put(nameIn(parameters), certificate, isVerified);
      },
    },
    { method: "DELETE", path: authority, run: ({ parameters }) => caCertificates.delete(nameIn(parameters)) },
    {
      method: "POST",
      path: `${authority}/verification-code`,
      run: ({ parameters }) => ({
        verificationCode: caCertificates.createVerificationCode(nameIn(parameters)),
      }),
    },
    {
      method: "POST",
      path: `${authority}/verify`,
      run: ({ parameters, body }) =>
        levers.verifyCaCertificate(nameIn(parameters), parse(bodies.proof, body).certificate),
    },
    { method: "GET", path: "/credential-policies", run: () => credentialPolicies.list() },
    {
      method: "PUT",
      path: "/credential-policies/:name",
      run: async ({ parameters, body }) =>
        credentialPolicies.put(nameIn(parameters), parse(bodies.policy, body ?? {}).validityDays),
    },
    {
      method: "GET",
      path: "/hubs/:name/link",
      run: ({ parameters }) => linkedHubs.link(nameIn(parameters)),
    },
    {
      method: "PATCH",
      path: "/hubs/:name/link",
      run: ({ parameters, body }) => linkedHubs.setLink(nameIn(parameters), parse(bodies.link, body)),
    },
  ];
}

function nameIn(parameters: Readonly<Record<string, string>>): string {
  return parameters["name"] ?? "";
}
