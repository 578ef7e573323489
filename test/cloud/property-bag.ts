/** Reads `a=1&b=x%20y`, the properties in a telemetry topic. A damaged escape stays as it was sent. */
export function parsePropertyBag(text: string): Readonly<Record<string, string>> {
  const properties: Record<string, string> = {};
  // A trailing slash is how some devices end a topic without properties.
  for (const pair of text.replace(/\/$/, "").split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    const key = at < 0 ? pair : pair.slice(0, at);
    properties[decoded(key)] = at < 0 ? "" : decoded(pair.slice(at + 1));
  }
  return properties;
}

/** Writes `a=1&b=x%20y`. A null is a bare key, an empty text a key with `=`. */
export function renderPropertyBag(properties: Readonly<Record<string, string | null>>): string {
  return Object.entries(properties)
    .map(([key, value]) =>
      value === null ? encodeURIComponent(key) : `${encodeURIComponent(key)}=${encodeURIComponent(value)}`,
    )
    .join("&");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
