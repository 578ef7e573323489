import { getEventListeners } from "node:events";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { openSession, type HubConnection, type Session } from "../../src/hub/session.ts";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import { Secret } from "../../src/platform/secret.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { failureOf } from "../failure-of.ts";
import {
  accept,
  connack,
  publish,
  RawServer,
  readPublish,
  subscribeId,
  type Peer,
  type Reaction,
} from "../mqtt/raw-server.ts";

/* What a hub may do that the local cloud never would. */

const never = new AbortController().signal;
const reason = new Error("stop");
let authority: CertificateAuthority;
let good: ServerCredentials;

beforeAll(async () => {
  authority = await createAuthority("hub tests");
  good = await authority.issueServer("127.0.0.1", ["hub.test"]);
});

async function open(server: RawServer, signal: AbortSignal = never): Promise<Session> {
  const to: HubConnection = {
    hub: server.host,
    port: server.port,
    trustedRoots: authority.caPem,
    deviceId: "gw-1",
    username: "user",
    password: new Secret("token"),
    keepAliveMs: 60_000,
  };
  return openSession(openMqttLink, to, signal);
}

interface Request {
  readonly topic: string;
  readonly rid: string;
  readonly text: string;
}

/** Acknowledges everything, and leaves the answers to the test. */
function hub(answer: (request: Request, peer: Peer) => void = () => {}): Reaction {
  return (packet, peer) => {
    accept(packet, peer);
    if (packet.name !== "publish") return;
    const { topic, text } = readPublish(packet);
    answer({ topic, text, rid: /\$rid=([^&]+)/.exec(topic)?.[1] ?? "" }, peer);
  };
}

const respond = (peer: Peer, status: number, rid: string, text = "", more = ""): void =>
  peer.send(...publish(`$iothub/twin/res/${status}/?$rid=${rid}${more}`, text));
const push = (peer: Peer, version: number): void =>
  peer.send(
    ...publish(`$iothub/twin/PATCH/properties/desired/?$version=${version}`, `{"$version":${version}}`),
  );

describe("opening", () => {
  test.each([
    [5, "hub/refused", "reprovision"],
    [3, "hub/busy", "retry"],
    [77, "hub/connack-unknown", "retry"],
  ])("is refused with %i: %s (%s)", async (returnCode, code, remedy) => {
    await using server = await RawServer.listen(good, (_, peer) => peer.send(...connack(returnCode)));
    expect(await failureOf(open(server))).toMatchObject({ code, remedy });
    await server.until(() => server.open === 0);
  });

  test("fails where the twin's filters are refused, and closes the line", async () => {
    await using server = await RawServer.listen(good, (packet, peer) => {
      if (packet.name === "subscribe") peer.send(0x90, 4, ...subscribeId(packet), 0x80, 0x80);
      else accept(packet, peer);
    });
    expect((await failureOf(open(server))).code).toBe("mqtt/subscription-refused");
    await server.until(() => server.open === 0);
    expect(server.packets).toEqual(["connect", "subscribe", "disconnect"]);
  });

  test("aborted while it subscribes leaves no line", async () => {
    const stop = new AbortController();
    await using server = await RawServer.listen(good, (packet, peer) => {
      if (packet.name === "subscribe") stop.abort(reason);
      else accept(packet, peer);
    });
    await expect(open(server, stop.signal)).rejects.toBe(reason);
    await server.until(() => server.open === 0);
    expect(getEventListeners(stop.signal, "abort")).toEqual([]);
  });
});

describe("requests", () => {
  test("case 56: at the same time get each its own answer and version, whatever the order", async () => {
    const waiting: { request: Request; peer: Peer }[] = [];
    await using server = await RawServer.listen(
      good,
      hub((request, peer) => {
        waiting.push({ request, peer });
        if (waiting.length < 3) return;
        for (const { request: asked } of waiting.toReversed()) {
          if (asked.topic.includes("GET")) respond(peer, 200, asked.rid, '{"desired":{"$version":4}}');
          else if (asked.text.includes("bad"))
            respond(peer, 400, asked.rid, '{"errorCode":400004,"message":"bad key"}');
          else respond(peer, 204, asked.rid, "", "&$version=2");
        }
      }),
    );
    await using session = await open(server);
    const [twin, refused, accepted] = await Promise.allSettled([
      session.twin(never),
      session.report({ bad: true }, never),
      session.report({ good: true }, never),
    ]);
    expect(twin).toEqual({ status: "fulfilled", value: { desired: { $version: 4 } } });
    expect(refused).toMatchObject({
      status: "rejected",
      reason: { code: "hub/twin-refused", remedy: "operator" },
    });
    // Case 56: the answer's version reaches the caller.
    expect(accepted).toEqual({ status: "fulfilled", value: 2 });
  });

  test.each([
    [400, "hub/twin-refused"],
    [404, "hub/twin-denied"],
    [429, "hub/throttled"],
    [500, "hub/unavailable"],
  ])(
    "row 55: refused with %i are %s and carry the hub's words; the session lives on",
    async (status, code) => {
      await using server = await RawServer.listen(
        good,
        hub(({ rid, topic }, peer) => {
          if (topic.includes("GET")) respond(peer, 200, rid, "{}");
          else respond(peer, status, rid, '{"message":"the hub\'s words"}', "&retry-after=9");
        }),
      );
      await using session = await open(server);
      const error = await failureOf(session.report({ a: 1 }, never));
      expect(error.code).toBe(code);
      expect(error.message).toContain("the hub's words");
      expect(session.lost.aborted).toBe(false);
      expect(await session.twin(never)).toEqual({});
    },
  );

  test.each(["", "no JSON", "[1", '{"message":7}'])(
    "refused with the body %j are refused all the same",
    async (body) => {
      await using server = await RawServer.listen(
        good,
        hub(({ rid }, peer) => respond(peer, 400, rid, body)),
      );
      await using session = await open(server);
      expect((await failureOf(session.report({}, never))).code).toBe("hub/twin-refused");
    },
  );

  test("case 53: never bear an identifier of an earlier session, so that a late answer finds nobody", async () => {
    const rids: string[] = [];
    await using server = await RawServer.listen(
      good,
      hub(({ rid }, peer) => {
        for (const stale of rids) respond(peer, 200, stale, '{"stale":true}');
        rids.push(rid);
        respond(peer, 200, rid, '{"fresh":true}');
      }),
    );
    for (let round = 0; round < 3; round += 1) {
      await using session = await open(server);
      expect(await session.twin(never)).toEqual({ fresh: true });
      expect(await session.twin(never)).toEqual({ fresh: true });
    }
    expect(new Set(rids).size).toBe(6);
  });

  test("case 53: that wait when the line drops end with its loss", async () => {
    await using server = await RawServer.listen(
      good,
      hub((_, peer) => peer.reset()),
    );
    await using session = await open(server);
    expect((await failureOf(session.twin(never))).code).toBe("mqtt/connection-lost");
    expect(session.lost.aborted).toBe(true);
    expect(await failureOf(session.report({}, never))).toBe(session.lost.reason);
  });

  test("that are given up leave no listener on the session", async () => {
    const stop = new AbortController();
    await using server = await RawServer.listen(
      good,
      hub(() => stop.abort(reason)),
    );
    await using session = await open(server);
    await expect(session.twin(stop.signal)).rejects.toBe(reason);
    expect(getEventListeners(session.lost, "abort")).toEqual([]);
    expect(getEventListeners(stop.signal, "abort")).toEqual([]);
  });
});

/** Waits until so many requests have come and their PUBACKs have arrived: then the wait for an answer begins. */
async function asked(requests: readonly Request[], count: number): Promise<void> {
  while (requests.length < count) await new Promise((resolve) => setImmediate(resolve));
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe("a hub that acknowledges but never answers", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("row 56: is asked once more after 30 s, and given up after as long again", async () => {
    const requests: Request[] = [];
    await using server = await RawServer.listen(
      good,
      hub((request) => requests.push(request)),
    );
    const session = await open(server);
    const asking = failureOf(session.twin(never));
    await asked(requests, 1);
    vi.advanceTimersByTime(30_000);
    await asked(requests, 2);
    vi.advanceTimersByTime(30_000);
    expect(await asking).toMatchObject({ code: "hub/no-answer", remedy: "retry" });
    vi.useRealTimers();
    expect(requests).toHaveLength(2);
    expect(new Set(requests.map(({ rid }) => rid)).size).toBe(2);
    await session[Symbol.asyncDispose]();
  });

  test("row 56: and then does, to either try, is as good as one that did at once", async () => {
    const requests: Request[] = [];
    await using server = await RawServer.listen(
      good,
      hub((request, peer) => {
        requests.push(request);
        if (requests.length === 2) respond(peer, 204, requests[0]?.rid ?? "", "", "&$version=8");
      }),
    );
    const session = await open(server);
    const telling = session.report({ a: 1 }, never);
    await asked(requests, 1);
    vi.advanceTimersByTime(30_000);
    expect(await telling).toBe(8);
    expect(requests.map(({ text }) => text)).toEqual(['{"a":1}', '{"a":1}']);
    vi.useRealTimers();
    await session[Symbol.asyncDispose]();
  });
});

describe("desired patches", () => {
  test("come in order, also those that came before anybody asked", async () => {
    await using server = await RawServer.listen(good, hub());
    await using session = await open(server);
    const peer = await server.peer();
    push(peer, 2);
    push(peer, 3);
    const seen: unknown[] = [];
    while (seen.length < 2) seen.push(...(await session.desiredPatches(never)));
    const waiting = session.desiredPatches(never);
    push(peer, 4);
    seen.push(...(await waiting));
    expect(seen).toEqual([{ $version: 2 }, { $version: 3 }, { $version: 4 }]);
  });

  test("that are no JSON are handed on as such, and the next one still comes", async () => {
    await using server = await RawServer.listen(good, hub());
    await using session = await open(server);
    const peer = await server.peer();
    peer.send(...publish("$iothub/twin/PATCH/properties/desired/?$version=2", "{half"));
    expect(await session.desiredPatches(never)).toEqual([undefined]);
    push(peer, 3);
    expect(await session.desiredPatches(never)).toEqual([{ $version: 3 }]);
  });

  test("are not waited for after the line was lost", async () => {
    await using server = await RawServer.listen(good, hub());
    await using session = await open(server);
    const waiting = failureOf(session.desiredPatches(never));
    (await server.peer()).reset();
    expect((await waiting).code).toBe("mqtt/connection-lost");
    expect((await failureOf(session.desiredPatches(never))).code).toBe("mqtt/connection-lost");
  });

  test("that came just before the line was lost are not lost with it", async () => {
    await using server = await RawServer.listen(good, hub());
    await using session = await open(server);
    const peer = await server.peer();
    push(peer, 2);
    peer.socket.end();
    await new Promise<void>((resolve) => {
      session.lost.addEventListener("abort", () => resolve(), { once: true });
    });
    expect(await session.desiredPatches(never)).toEqual([{ $version: 2 }]);
  });

  test("waited for a thousand times in vain leave no listener behind, and still come", async () => {
    await using server = await RawServer.listen(good, hub());
    await using session = await open(server);
    const lasting = new AbortController();
    for (let round = 0; round < 1_000; round += 1) {
      const passing = new AbortController();
      const waiting = session.desiredPatches(AbortSignal.any([lasting.signal, passing.signal]));
      passing.abort(reason);
      await waiting.catch(() => {});
    }
    expect(getEventListeners(session.lost, "abort")).toEqual([]);
    push(await server.peer(), 2);
    expect(await session.desiredPatches(lasting.signal)).toEqual([{ $version: 2 }]);
  });
});
