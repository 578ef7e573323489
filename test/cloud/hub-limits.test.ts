import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCloud, type Cloud } from "./cloud.ts";
import type { JsonObject } from "./json.ts";
import { twinTopics } from "./test-device.ts";
import { connectNew } from "./test-hub-device.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud();
});
afterAll(async () => cloud[Symbol.asyncDispose]());

const kb = 1024;

/** So many objects, one in the other. */
function deep(levels: number): JsonObject {
  return levels === 1 ? { a: 1 } : { a: deep(levels - 1) };
}

/** Keys and values of exactly so many bytes together, in pieces of at most 4 KB. */
function sized(bytes: number): JsonObject {
  const pieces: Record<string, string> = {};
  for (let left = bytes; left > 0; left -= 4 * kb) {
    pieces[`k${String(left).padStart(6, "0")}`] = "v".repeat(Math.min(left, 4 * kb) - 7);
  }
  return pieces;
}

/** What a section must take, and must not. */
const limits: readonly (readonly [name: string, allowed: JsonObject, forbidden: JsonObject])[] = [
  ["a key of 1 KB", { ["k".repeat(kb)]: 1 }, { ["k".repeat(kb + 1)]: 1 }],
  ["a key of 1 KB in UTF-8", { ["é".repeat(kb / 2)]: 1 }, { ["é".repeat(kb / 2 + 1)]: 1 }],
  ["the characters of a key: dot", { "a-b_c": 1 }, { "a.b": 1 }],
  ["the characters of a key: dollar", { "a€b": 1 }, { a$b: 1 }],
  ["the characters of a key: space", { "a\u00A0b": 1 }, { "a b": 1 }],
  ["the characters of a key: C0 controls", { "a!b": 1 }, { "a\u001Fb": 1 }],
  ["the characters of a key: delete and C1 controls", { "a~b": 1 }, { "a\u009Fb": 1 }],
  ["the characters of a key within", { a: [{ b: 1 }] }, { a: [{ "b.c": 1 }] }],
  ["a string of 4 KB", { a: "s".repeat(4 * kb) }, { a: "s".repeat(4 * kb + 1) }],
  ["a string of 4 KB in UTF-8", { a: "é".repeat(2 * kb) }, { a: `${"é".repeat(2 * kb)}s` }],
  ["a string of 4 KB in a list", { a: ["s".repeat(4 * kb)] }, { a: ["s".repeat(4 * kb + 1)] }],
  ["the largest integer", { a: 4_503_599_627_370_495 }, { a: 4_503_599_627_370_496 }],
  ["the smallest integer", { a: -4_503_599_627_370_496 }, { a: -4_503_599_627_370_497 }],
  // The documentation's example has ten objects, one in the other, below the section itself.
  ["ten levels", deep(11), deep(12)],
  ["lists among the levels", { a: [[1]] }, { a: [deep(10)] }],
];

/** Numbers count 8 bytes and booleans 4, whatever they look like; brackets count nothing. */
const sizes: readonly (readonly [name: string, rest: JsonObject, restBytes: number])[] = [
  ["texts", { t: "12345678" }, 9],
  ["numbers", { t: 1 }, 9],
  ["booleans", { t: false, u: true }, 10],
  ["lists and objects", { t: [{ u: 1 }, "12345678"] }, 18],
];

describe.each(["desired", "reported", "tags"] as const)("in %s", (place) => {
  const most = place === "tags" ? 8 * kb : 32 * kb;
  let count = 0;

  function put(id: string, content: JsonObject): "taken" | "refused" {
    const hub = cloud.levers.hub("test");
    if (place === "reported") {
      return hub.patchReported(id, content).status === "merged" ? "taken" : "refused";
    }
    try {
      hub.patchTwin(id, { [place]: content });
      return "taken";
    } catch {
      return "refused";
    }
  }

  /** Does a new device's section take it? What was refused must have changed nothing. */
  function takes(content: JsonObject): boolean {
    count += 1;
    const id = `${place}-${count}`;
    cloud.levers.putDevice("test", id, {});
    const before = cloud.levers.twin("test", id);
    const isTaken = put(id, content) === "taken";
    expect(cloud.levers.twin("test", id).etag === before.etag).toBe(!isTaken);
    return isTaken;
  }

  it.each(limits)("%s is the limit", (_name, allowed, forbidden) => {
    expect(takes(forbidden)).toBe(false);
    expect(takes(allowed)).toBe(true);
  });

  it.each(sizes)("the size counts %s", (_name, rest, restBytes) => {
    expect(takes({ ...sized(most - restBytes + 1), ...rest })).toBe(false);
    expect(takes({ ...sized(most - restBytes), ...rest })).toBe(true);
  });

  it("the size is that of the result, not of the patch", () => {
    const id = `${place}-growing`;
    cloud.levers.putDevice("test", id, {});
    expect(put(id, sized(most))).toBe("taken");
    expect(put(id, { x: 1 })).toBe("refused");
    const [first = ""] = Object.keys(sized(most));
    expect(put(id, { [first]: null, x: 1 })).toBe("taken");
  });
});

it("$version and $metadata at the top are dropped, and forbidden below", async () => {
  await using device = await connectNew(cloud, "metadata");
  await device.client.subscribeAsync(twinTopics.answers, { qos: 1 });
  expect((await device.ask(twinTopics.patch, '{"$version":9,"$metadata":{},"a":1}')).status).toBe(204);
  expect((await device.ask(twinTopics.patch, '{"a":{"$version":9}}')).status).toBe(400);
  expect(cloud.levers.twin("test", "metadata").reported).toEqual({ properties: { a: 1 }, version: 2 });
});

describe("telemetry of 256 KB", () => {
  // System names do not count, system values do.
  const bag = "$.ct=text&name=value";
  const bagBytes = "text".length + "name".length + "value".length;

  it("is taken", async () => {
    await using device = await connectNew(cloud, "talker");
    const body = "b".repeat(256 * kb - bagBytes);
    await device.client.publishAsync(`devices/talker/messages/events/${bag}`, body, { qos: 1 });
    await cloud.waitFor((event) => event.kind === "telemetry" && event.clientId === "talker");
    expect(cloud.levers.telemetry("test", "talker")[0]?.body).toHaveLength(body.length);
  });

  it.each([
    ["by the body", "devices/shouter/messages/events/", 256 * kb + 1],
    ["with its properties", `devices/shouter/messages/events/${bag}`, 256 * kb - bagBytes + 1],
    ["on another topic", twinTopics.patch.replace("{rid}", "1"), 256 * kb + 1],
  ])("and one byte, %s, costs the connection", async (_name, topic, bytes) => {
    await using device = await connectNew(cloud, "shouter");
    device.client.publish(topic, "b".repeat(bytes), { qos: 1 }, () => {});
    await device.closed;
    expect(cloud.levers.telemetry("test", "shouter")).toEqual([]);
  });
});
