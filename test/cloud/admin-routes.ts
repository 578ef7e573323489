import * as v from "valibot";
import { CloudError } from "./cloud-error.ts";
import { dpsAdminRoutes } from "./dps-admin-routes.ts";
import { faultAdminRoutes } from "./fault-admin-routes.ts";
import type { FaultDesk } from "./fault-desk.ts";
import { proxyAdminRoutes, type FaultProxies } from "./fault-proxies.ts";
import {
  parse,
  parseEnrollment,
  parseEnrollmentChange,
  parseGroup,
  parseGroupChange,
} from "./enrollment-spec.ts";
import { hubAdminRoutes } from "./hub-admin-routes.ts";
import type { Journal } from "./journal.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
import type { Levers } from "./levers.ts";

export interface AdminSubject {
  readonly about: { readonly idScope: string; readonly caPem: string; readonly network: string };
  readonly levers: Levers;
  readonly faults: FaultDesk;
  readonly proxies: FaultProxies;
  readonly journal: Journal;
}

export interface AdminRequest {
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: JsonValue | undefined;
  /** The header, as it was sent. */
  readonly ifMatch: string | undefined;
}

export interface AdminRoute {
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  /** Undefined becomes 204. */
  readonly run: (request: AdminRequest) => unknown;
}

const bodies = {
  hubChoice: v.strictObject({ hub: v.string() }),
  line: v.strictObject({ up: v.boolean() }),
  clock: v.strictObject({ offsetMs: v.pipe(v.number(), v.integer()) }),
};

/** Path by path what the admin API can do. */
export function adminRoutes(subject: AdminSubject): readonly AdminRoute[] {
  const routes = [
    ...cloudRoutes(subject),
    ...enrollmentRoutes(subject.levers),
    ...dpsAdminRoutes(subject.levers),
    ...hubAdminRoutes(subject.levers),
    ...faultAdminRoutes(subject.faults),
    ...proxyAdminRoutes(subject.proxies),
  ];
  const index: AdminRoute = {
    method: "GET",
    path: "/",
    run: () => ({
      ...subject.about,
      endpoints: subject.levers.endpoints(),
      routes: routes.map(({ method, path }) => `${method} ${path}`),
    }),
  };
  return [index, ...routes];
}

function cloudRoutes({ levers, journal }: AdminSubject): readonly AdminRoute[] {
  return [
    {
      method: "GET",
      path: "/journal",
      run: ({ query }) => journal.events(readNumber(query, "after")),
    },
    { method: "GET", path: "/endpoints", run: () => levers.endpoints() },
    {
      method: "PUT",
      path: "/endpoints/:endpoint/line",
      run: async ({ parameters, body }) => {
        const endpoint = get(parameters, "endpoint");
        await levers.setLine(endpoint, parse(bodies.line, body).up);
        return levers.endpoint(endpoint);
      },
    },
    { method: "GET", path: "/clock", run: () => levers.clock() },
    {
      method: "PUT",
      path: "/clock",
      run: ({ body }) => {
        levers.setClockOffset(parse(bodies.clock, body).offsetMs);
        return levers.clock();
      },
    },
    { method: "GET", path: "/pace", run: () => levers.pace() },
    { method: "PATCH", path: "/pace", run: ({ body }) => levers.setPace(requireObject(body)) },
  ];
}

function enrollmentRoutes(levers: Levers): readonly AdminRoute[] {
  const { enrollments } = levers;
  const one = "/enrollments/:registrationId";
  const group = "/enrollment-groups/:groupId";
  return [
    { method: "GET", path: "/enrollments", run: () => enrollments.list() },
    { method: "GET", path: one, run: (request) => enrollments.get(idOf(request)) },
    {
      method: "PUT",
      path: one,
      run: (request) =>
        enrollments.put(parseEnrollment({ ...requireObject(request.body), registrationId: idOf(request) })),
    },
    {
      method: "PATCH",
      path: one,
      run: (request) => enrollments.change(idOf(request), parseEnrollmentChange(request.body)),
    },
    { method: "DELETE", path: one, run: (request) => enrollments.delete(idOf(request)) },
    {
      method: "POST",
      path: `${one}/move`,
      run: (request) => levers.moveEnrollment(idOf(request), parse(bodies.hubChoice, request.body).hub),
    },
    { method: "GET", path: "/enrollment-groups", run: () => enrollments.groups() },
    { method: "GET", path: group, run: (request) => enrollments.group(groupOf(request)) },
    {
      method: "PUT",
      path: group,
      run: (request) =>
        enrollments.putGroup(parseGroup({ ...requireObject(request.body), groupId: groupOf(request) })),
    },
    {
      method: "PATCH",
      path: group,
      run: (request) => enrollments.changeGroup(groupOf(request), parseGroupChange(request.body)),
    },
    { method: "DELETE", path: group, run: (request) => enrollments.deleteGroup(groupOf(request)) },
    { method: "GET", path: "/registrations", run: () => levers.registrations() },
    {
      method: "DELETE",
      path: "/registrations/:registrationId",
      run: (request) => levers.forgetRegistration(idOf(request)),
    },
  ];
}

function idOf({ parameters }: AdminRequest): string {
  return get(parameters, "registrationId");
}

function groupOf({ parameters }: AdminRequest): string {
  return get(parameters, "groupId");
}

function get(parameters: Readonly<Record<string, string>>, name: string): string {
  return parameters[name] ?? "";
}

function requireObject(body: JsonValue | undefined): JsonObject {
  if (body === undefined) return {};
  if (!isJsonObject(body)) throw new CloudError(400, "the body is not a JSON object");
  return body;
}

function readNumber(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? "0";
  if (!/^\d+$/.test(text)) throw new CloudError(400, `${name}: not a whole number`);
  return Number(text);
}
