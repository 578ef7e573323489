import { isJsonObject, parseJson } from "./json.ts";
import { decodeBase64 } from "./sas-token.ts";

/** 4 to 36 letters, digits and dashes, no dash at either end. */
const requestId = /^[A-Za-z0-9][A-Za-z0-9-]{2,34}[A-Za-z0-9]$/;
const longestCsr = 8 * 1024;

export type IssueRequest =
  | { readonly status: "read"; readonly csr: string; readonly replace?: string }
  | { readonly status: "refused"; readonly kind: "invalid" | "notJson"; readonly because: string };

/**
 * Reads the body of `issueCertificate`: `id` (the device's own), `csr` (at most 8 KiB of base64), and `replace` (`*` or the
 * ID of a pending request), nothing else. What is inside the CSR is looked at later.
 */
export function readIssueRequest(deviceId: string, rid: string, body: string): IssueRequest {
  if (!requestId.test(rid)) return refuse("the request ID has an invalid format");
  if (body === "") return refuse("the payload is missing");
  const request = parseJson(body);
  if (request === undefined) return refuse("the payload is not JSON", "notJson");
  if (!isJsonObject(request)) return refuse("the payload is not a JSON object");
  const { id, csr, replace, ...rest } = request;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) return refuse(`the payload contains the unknown field "${unknown}"`);
  if (typeof id !== "string" || id === "") return refuse("'id' is invalid or missing");
  if (id !== deviceId) return refuse("'id' does not match the authenticated device ID");
  if (typeof csr !== "string" || csr === "") return refuse("'csr' is invalid or missing");
  if (csr.length > longestCsr) return refuse("'csr' is longer than 8 KB");
  if (decodeBase64(csr) === undefined) return refuse("'csr' is not base64");
  if (replace === undefined) return { status: "read", csr };
  if (typeof replace !== "string" || (replace !== "*" && !requestId.test(replace))) {
    return refuse("'replace' has an invalid format");
  }
  return { status: "read", csr, replace };
}

function refuse(because: string, kind: "invalid" | "notJson" = "invalid"): IssueRequest {
  return { status: "refused", kind, because };
}
