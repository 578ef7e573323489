import * as v from "valibot";
import type { AdminRequest, AdminRoute } from "./admin-routes.ts";
import { caAdminRoutes } from "./ca-admin-routes.ts";
import { CloudError } from "./cloud-error.ts";
import { parse } from "./enrollment-spec.ts";
import { deviceSpec } from "./hub-device-spec.ts";
import type { Hub } from "./hub.ts";
import { issuanceChange } from "./hub-issuance-settings.ts";
import { messageSpec, type CloudMessage } from "./hub-messages.ts";
import { methodCall } from "./hub-methods.ts";
import { throttleChange } from "./hub-throttle.ts";
import type { JsonObject } from "./json.ts";
import type { Levers } from "./levers.ts";

const jsonObject = v.custom<JsonObject>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "a JSON object",
);
const bodies = {
  hub: v.strictObject({ name: v.string() }),
  device: v.strictObject({ enabled: v.boolean() }),
  key: v.strictObject({ which: v.picklist(["primary", "secondary"]), key: v.optional(v.string()) }),
  twin: v.strictObject({ desired: v.optional(jsonObject), tags: v.optional(jsonObject) }),
};
const one = "/hubs/:hub/devices/:deviceId";

/** Hubs: their devices, twins, methods, messages, throttling and certificates. Writes to a device or twin mind `If-Match`. */
export function hubAdminRoutes(levers: Levers): readonly AdminRoute[] {
  const hubOf = ({ parameters }: AdminRequest): Hub => levers.hub(parameters["hub"] ?? "");
  return [
    { method: "GET", path: "/hubs", run: () => levers.endpoints().filter(({ name }) => name !== "dps") },
    { method: "POST", path: "/hubs", run: async ({ body }) => levers.addHub(parse(bodies.hub, body).name) },
    ...deviceRoutes(levers),
    ...twinRoutes(levers),
    ...messageRoutes(hubOf),
    ...caAdminRoutes(
      "/hubs/:hub",
      (request) => hubOf(request).caCertificates,
      () => Date.parse(levers.clock().now),
    ),
    { method: "GET", path: "/hubs/:hub/throttle", run: (request) => hubOf(request).throttle.settings() },
    {
      method: "PATCH",
      path: "/hubs/:hub/throttle",
      run: (request) => hubOf(request).throttle.change(parse(throttleChange, request.body ?? {})),
    },
    {
      method: "GET",
      path: "/hubs/:hub/certificate-issuance",
      run: (request) => hubOf(request).issuance.settings.get(),
    },
    {
      method: "PATCH",
      path: "/hubs/:hub/certificate-issuance",
      run: (request) => hubOf(request).issuance.settings.change(parse(issuanceChange, request.body ?? {})),
    },
  ];
}

function deviceRoutes(levers: Levers): readonly AdminRoute[] {
  const match = (request: AdminRequest): void => {
    const [hub, deviceId] = placeOf(request);
    requireMatch(request.ifMatch, levers.hub(hub).find(deviceId)?.etag);
  };
  /** For what changes a device: only where it is still as the operator saw it. */
  const whenMatched =
    (run: (request: AdminRequest) => unknown) =>
    (request: AdminRequest): unknown => {
      match(request);
      return run(request);
    };
  return [
    {
      method: "GET",
      path: "/hubs/:hub/devices",
      run: ({ parameters }) => levers.devices(parameters["hub"] ?? ""),
    },
    { method: "GET", path: one, run: (request) => levers.device(...placeOf(request)) },
    {
      method: "PUT",
      path: one,
      run: whenMatched((request) =>
        levers.putDevice(...placeOf(request), parse(deviceSpec, request.body ?? {})),
      ),
    },
    {
      method: "DELETE",
      path: one,
      run: whenMatched((request) => levers.deleteDevice(...placeOf(request))),
    },
    {
      method: "PATCH",
      path: one,
      run: whenMatched((request) =>
        levers.setDeviceEnabled(...placeOf(request), parse(bodies.device, request.body).enabled),
      ),
    },
    {
      method: "POST",
      path: `${one}/rotate-key`,
      run: whenMatched((request) => {
        const { which, key } = parse(bodies.key, request.body);
        return levers.rotateKey(...placeOf(request), which, key);
      }),
    },
    { method: "POST", path: `${one}/drop`, run: (request) => levers.dropConnection(...placeOf(request)) },
    { method: "GET", path: `${one}/telemetry`, run: (request) => levers.telemetry(...placeOf(request)) },
  ];
}

function twinRoutes(levers: Levers): readonly AdminRoute[] {
  return [
    { method: "GET", path: `${one}/twin`, run: (request) => levers.twin(...placeOf(request)) },
    {
      method: "PATCH",
      path: `${one}/twin`,
      run: (request) => {
        const { desired, tags } = parse(bodies.twin, request.body);
        requireMatch(request.ifMatch, levers.twin(...placeOf(request)).etag);
        return levers.patchTwin(...placeOf(request), {
          ...(desired === undefined ? {} : { desired }),
          ...(tags === undefined ? {} : { tags }),
        });
      },
    },
  ];
}

function messageRoutes(hubOf: (request: AdminRequest) => Hub): readonly AdminRoute[] {
  const deviceOf = (request: AdminRequest): string => hubOf(request).device(placeOf(request)[1]).deviceId;
  return [
    {
      method: "POST",
      path: `${one}/methods`,
      run: async (request) =>
        hubOf(request).methods.call(deviceOf(request), parse(methodCall, request.body ?? {})),
    },
    {
      method: "POST",
      path: `${one}/messages`,
      run: (request) =>
        render(hubOf(request).messages.send(deviceOf(request), parse(messageSpec, request.body ?? {}))),
    },
    {
      method: "GET",
      path: `${one}/messages`,
      run: (request) => hubOf(request).messages.waiting(deviceOf(request)).map(render),
    },
    {
      method: "DELETE",
      path: `${one}/messages`,
      run: (request) => ({ totalMessagesPurged: hubOf(request).messages.purge(deviceOf(request)) }),
    },
    { method: "GET", path: "/hubs/:hub/feedback", run: (request) => hubOf(request).messages.feedback() },
  ];
}

/** RFC 9110 13.1.1: `*` wants that there is one; quotes around an etag may be missing. */
function requireMatch(ifMatch: string | undefined, etag: string | undefined): void {
  if (ifMatch === undefined) return;
  const wanted = ifMatch.replace(/^"(.*)"$/, "$1");
  if (etag === undefined || (wanted !== "*" && wanted !== etag)) {
    throw new CloudError(412, "If-Match: it has changed meanwhile", 412_001);
  }
}

function render({ body, ...message }: CloudMessage): unknown {
  return { ...message, bodyBase64: body.toString("base64") };
}

function placeOf({ parameters }: AdminRequest): [hub: string, deviceId: string] {
  return [parameters["hub"] ?? "", parameters["deviceId"] ?? ""];
}
