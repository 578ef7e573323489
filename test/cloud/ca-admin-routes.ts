import * as v from "valibot";
import type { AdminRequest, AdminRoute } from "./admin-routes.ts";
import type { CaCertificates } from "./ca-certificates.ts";
import { parse } from "./enrollment-spec.ts";

export const caUpload = v.strictObject({ certificate: v.string(), isVerified: v.optional(v.boolean()) });
const proof = v.strictObject({ certificate: v.string() });

/** Uploading a CA certificate and proving possession of its key, the same for DPS and for hubs. */
export function caAdminRoutes(
  prefix: "" | "/hubs/:hub",
  certificatesOf: (request: AdminRequest) => CaCertificates,
  now: () => number,
): readonly AdminRoute[] {
  const all = `${prefix}/ca-certificates`;
  const one = `${all}/:name`;
  return [
    { method: "GET", path: all, run: (request) => certificatesOf(request).list() },
    { method: "GET", path: one, run: (request) => certificatesOf(request).get(nameIn(request)) },
    {
      method: "PUT",
      path: one,
      run: (request) => {
        const { certificate, isVerified } = parse(caUpload, request.body);
        return certificatesOf(request).put(nameIn(request), certificate, isVerified);
      },
    },
    { method: "DELETE", path: one, run: (request) => certificatesOf(request).delete(nameIn(request)) },
    {
      method: "POST",
      path: `${one}/verification-code`,
      run: (request) => ({
        verificationCode: certificatesOf(request).createVerificationCode(nameIn(request)),
      }),
    },
    {
      method: "POST",
      path: `${one}/verify`,
      run: (request) =>
        certificatesOf(request).verify(nameIn(request), parse(proof, request.body).certificate, now()),
    },
  ];
}

function nameIn({ parameters }: AdminRequest): string {
  return parameters["name"] ?? "";
}
