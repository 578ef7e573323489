import { randomBytes } from "node:crypto";
import { getEventListeners } from "node:events";
import { beforeAll, describe, expect, test } from "vitest";
import { openMqttLink } from "../../src/mqtt/mqtt-js-link.ts";
import { Secret } from "../../src/platform/secret.ts";
import { openOverMqtt, type DpsConnection } from "../../src/provisioning/over-mqtt.ts";
import { register } from "../../src/provisioning/register.ts";
import type { Assigned } from "../../src/provisioning/wire.ts";
import { createAuthority, type CertificateAuthority, type ServerCredentials } from "../cloud/certificates.ts";
import { failureOf } from "../failure-of.ts";
import { ManualClock } from "../manual-clock.ts";
import {
  accept,
  connack,
  publish,
  publishId,
  RawServer,
  readPublish,
  subscribeId,
  type Peer,
  type Reaction,
} from "../mqtt/raw-server.ts";

/* What a service may do that the local cloud never would. */

const never = new AbortController().signal;
let authority: CertificateAuthority;
let good: ServerCredentials;

beforeAll(async () => {
  authority = await createAuthority("dps tests");
  good = await authority.issueServer("127.0.0.1", ["dps.test"]);
});

function at(server: RawServer): DpsConnection {
  return {
    endpoint: server.host,
    port: server.port,
    trustedRoots: authority.caPem,
    registrationId: "gw-1",
    username: "scope/registrations/gw-1/api-version=2021-06-01",
    password: new Secret(randomBytes(8).toString("hex")),
  };
}

interface Request {
  readonly topic: string;
  readonly rid: string;
  readonly text: string;
}

/** Acknowledges everything, and leaves the answers to the test. */
function dps(answer: (request: Request, peer: Peer, count: number) => void): Reaction {
  let count = 0;
  return (packet, peer) => {
    accept(packet, peer);
    if (packet.name !== "publish") return;
    count += 1;
    const { topic, text } = readPublish(packet);
    answer({ topic, text, rid: /\$rid=([^&]+)/.exec(topic)?.[1] ?? "" }, peer, count);
  };
}

const answers = "$dps/registrations/res";
const assigned = JSON.stringify({
  operationId: "op",
  status: "assigned",
  registrationState: { status: "assigned", assignedHub: "hub.net", deviceId: "gw-1" },
});
const assigning = '{"operationId":"op","status":"assigning"}';

/** The whole conversation; whenever the agent waits, the clock runs. */
async function converse(server: RawServer, signal: AbortSignal = never): Promise<Assigned> {
  const clock = new ManualClock();
  await using transport = await openOverMqtt(openMqttLink, at(server), signal);
  const work = register(transport, clock, signal);
  const state = { isDone: false };
  const watched = work.finally(() => {
    state.isDone = true;
  });
  watched.catch(() => {});
  while (!state.isDone) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (clock.sleeping > 0) clock.advance(clock.nextIn() ?? 0);
  }
  return await watched;
}

describe("a CONNECT that DPS refuses", () => {
  test.each([
    [1, "provisioning/protocol-refused", "operator", /MQTT version/],
    [2, "provisioning/not-accepted", "operator", /Compare id_scope with the portal.*clock/],
    [3, "provisioning/unavailable", "retry", /is busy/],
    [4, "provisioning/not-accepted", "operator", /Compare id_scope with the portal.*clock/],
    [5, "provisioning/not-accepted", "operator", /Compare id_scope with the portal.*clock/],
    [77, "provisioning/connack-unknown", "retry", /CONNACK 77/],
  ])("with %i is %s (%s)", async (returnCode, code, remedy, says) => {
    await using server = await RawServer.listen(good, (_, peer) => peer.send(...connack(returnCode)));
    const error = await failureOf(openOverMqtt(openMqttLink, at(server), never));
    expect(error).toMatchObject({ code, remedy });
    expect(error.message).toMatch(says);
  });
});

describe("opening", () => {
  test("fails where the response filter is refused, and closes the line", async () => {
    await using server = await RawServer.listen(good, (packet, peer) => {
      if (packet.name === "subscribe") peer.send(0x90, 3, ...subscribeId(packet), 0x80);
      else accept(packet, peer);
    });
    const error = await failureOf(openOverMqtt(openMqttLink, at(server), never));
    expect(error).toMatchObject({ code: "mqtt/subscription-refused", remedy: "operator" });
    await server.until(() => server.open === 0);
    expect(server.packets).toEqual(["connect", "subscribe", "disconnect"]);
  });

  test("asks nothing before the filter is granted", async () => {
    let hasGranted = false;
    const early: string[] = [];
    await using server = await RawServer.listen(good, (packet, peer) => {
      if (packet.name === "subscribe") {
        setTimeout(() => {
          hasGranted = true;
          accept(packet, peer);
        }, 50);
        return;
      }
      accept(packet, peer);
      if (packet.name !== "publish") return;
      if (!hasGranted) early.push("publish");
      const rid = /\$rid=([^&]+)/.exec(readPublish(packet).topic)?.[1] ?? "";
      peer.send(...publish(`${answers}/200/?$rid=${rid}`, assigned));
    });
    expect(await converse(server)).toMatchObject({ hub: "hub.net" });
    expect(early).toEqual([]);
  });
});

describe("answers", () => {
  test("to a request of somebody else are ignored", async () => {
    await using server = await RawServer.listen(
      good,
      dps(({ rid }, peer) => {
        const foreign = assigned.replace("hub.net", "foreign.net");
        peer.send(...publish(`${answers}/200/?$rid=1`, foreign));
        peer.send(...publish(`${answers}/401/?$rid=${rid}x`, "{}"));
        peer.send(...publish(`${answers}/200/?$rid=`, foreign));
        peer.send(...publish(`${answers}/200/?$rid=${rid}`, assigned));
      }),
    );
    expect(await converse(server)).toMatchObject({ hub: "hub.net" });
  });

  test("to an earlier request of the same conversation are ignored", async () => {
    const rids: string[] = [];
    await using server = await RawServer.listen(
      good,
      dps(({ rid }, peer, count) => {
        rids.push(rid);
        if (count === 1) peer.send(...publish(`${answers}/202/?$rid=${rid}&retry-after=2`, assigning));
        else {
          peer.send(...publish(`${answers}/401/?$rid=${rids[0]}`, "{}"));
          peer.send(...publish(`${answers}/200/?$rid=${rid}`, assigned));
        }
      }),
    );
    expect(await converse(server)).toMatchObject({ hub: "hub.net" });
    expect(new Set(rids).size).toBe(2);
  });

  test("never bear the identifier of another conversation", async () => {
    const rids: string[] = [];
    await using server = await RawServer.listen(
      good,
      dps(({ rid }, peer) => {
        rids.push(rid);
        peer.send(...publish(`${answers}/200/?$rid=${rid}`, assigned));
      }),
    );
    for (let round = 0; round < 3; round += 1) await converse(server);
    expect(new Set(rids).size).toBe(3);
  });

  test("may overtake the PUBACK of their request", async () => {
    await using server = await RawServer.listen(good, (packet, peer) => {
      if (packet.name !== "publish") {
        accept(packet, peer);
        return;
      }
      const rid = /\$rid=([^&]+)/.exec(readPublish(packet).topic)?.[1] ?? "";
      peer.send(...publish(`${answers}/200/?$rid=${rid}`, assigned));
      setTimeout(() => peer.send(0x40, 2, ...publishId(packet)), 20);
    });
    expect(await converse(server)).toMatchObject({ hub: "hub.net" });
  });

  test.each([
    ["empty", ""],
    ["cut off", assigned.slice(0, -5)],
    ["of another kind", "[1,2]"],
    ["no text", "\u0000\u0001"],
  ])("that are %s end the conversation as malformed, not in a hang", async (_, body) => {
    await using server = await RawServer.listen(
      good,
      dps(({ rid }, peer) => peer.send(...publish(`${answers}/200/?$rid=${rid}`, body))),
    );
    expect(await failureOf(converse(server))).toMatchObject({
      code: "provisioning/malformed-answer",
      remedy: "retry",
    });
    await server.until(() => server.open === 0);
  });

  test("that forgot the operation start it once more on the same line", async () => {
    const topics: string[] = [];
    await using server = await RawServer.listen(
      good,
      dps(({ topic, rid }, peer, count) => {
        topics.push(topic.split("/")[2] ?? "");
        const reply = (status: number, body: string) =>
          peer.send(...publish(`${answers}/${status}/?$rid=${rid}`, body));
        if (count === 2) reply(404, '{"errorCode":404203,"message":"Operation not found."}');
        else if (count === 4) reply(200, assigned);
        else reply(202, assigning);
      }),
    );
    expect(await converse(server)).toMatchObject({ hub: "hub.net" });
    expect(topics).toEqual(["PUT", "GET", "PUT", "GET"]);
    expect(server.peers).toHaveLength(1);
  });
});

describe("a line that drops", () => {
  test.each([1, 2])("at request %i ends the conversation at once", async (when) => {
    await using server = await RawServer.listen(
      good,
      dps(({ rid }, peer, count) => {
        if (count === when) peer.reset();
        else peer.send(...publish(`${answers}/202/?$rid=${rid}`, assigning));
      }),
    );
    expect(await failureOf(converse(server))).toMatchObject({
      code: "mqtt/connection-lost",
      remedy: "retry",
    });
  });

  test("between two polls is told at the next one", async () => {
    await using server = await RawServer.listen(
      good,
      dps(({ rid }, peer) => {
        peer.send(...publish(`${answers}/202/?$rid=${rid}`, assigning));
        setTimeout(() => peer.reset(), 1);
      }),
    );
    expect((await failureOf(converse(server))).code).toBe("mqtt/connection-lost");
  });
});

test("an abort in the middle ends with its reason, says DISCONNECT and leaves no listener", async () => {
  const stop = new AbortController();
  const reason = new Error("stop");
  await using server = await RawServer.listen(
    good,
    dps(() => stop.abort(reason)),
  );
  await expect(converse(server, stop.signal)).rejects.toBe(reason);
  await server.until(() => server.open === 0);
  expect(server.packets.at(-1)).toBe("disconnect");
  expect(getEventListeners(stop.signal, "abort")).toEqual([]);
});
