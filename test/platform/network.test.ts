import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeNetwork } from "../../src/platform/network.ts";
import { NetworkWatch, type NetworkEvent, type NetworkState } from "../../src/platform/network-watch.ts";
import { ManualClock } from "../manual-clock.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const head =
  "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                \n";
const ethernet = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
const mobile = "wwan0\t00000000\t00000000\t0001\t0\t0\t700\t00000000\t0\t0\t0\n";
const local = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
const zeros = "0".repeat(32);
const six = `${zeros} 00 ${zeros} 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth1\n`;
const none = `${zeros} 00 ${zeros} 00 ${zeros} ffffffff 00000001 00000000 00200200       lo\n`;

describe("a network is named by its way out", () => {
  let folder: TemporaryFolder;
  beforeEach(() => {
    folder = new TemporaryFolder();
  });
  afterEach(() => {
    folder[Symbol.dispose]();
  });

  test.each([
    ["without any route", head, none, "no way out"],
    ["with a network of its own only", head + local, none, "no way out"],
    ["with a gateway", head + local + ethernet, none, "eth0 via 192.168.1.1"],
    ["with two, by the better one", head + mobile + ethernet, six, "eth0 via 192.168.1.1"],
    ["without a gateway, as a modem has it", head + mobile, none, "wwan0 without a gateway"],
    ["over IPv6", head, six + none, "eth1 via fd00:0000:0000:0000:0000:0000:0000:0001"],
  ])("%s", (_, route, route6, name) => {
    writeFileSync(folder.join("route"), route);
    writeFileSync(folder.join("ipv6_route"), route6);
    expect(describeNetwork(folder.path)).toBe(name);
  });

  test("where the kernel has no tables", () => {
    expect(describeNetwork(folder.path)).toBe("no way out");
  });

  test("on this machine", () => {
    expect(describeNetwork()).toMatch(/^(no way out|\S+ via \S+|\S+ without a gateway)$/);
  });
});

describe("a look at the network", () => {
  const home: NetworkState = {
    network: "eth0 via 10.0.0.1",
    addresses: ["eth0 10.0.0.7"],
    sleptMs: 5_000,
  };

  function eventsOf(...states: readonly NetworkState[]): readonly NetworkEvent[] {
    const events: NetworkEvent[] = [];
    const queue = [...states];
    const watch = new NetworkWatch(
      new ManualClock(),
      (event) => events.push(event),
      () => queue.shift() ?? home,
    );
    for (const _ of states) watch.look();
    return events;
  }

  test("finds nothing where nothing changed, and has nothing to compare with at first", () => {
    expect(eventsOf(home, { ...home, sleptMs: 5_900 }, home)).toEqual([]);
  });

  test.each([
    [{ network: "wwan0 without a gateway" }, "wwan0 without a gateway in place of eth0 via 10.0.0.1"],
    [{ network: "no way out", addresses: [] }, "no way out in place of eth0 via 10.0.0.1"],
    [{ addresses: ["eth0 10.0.0.9"] }, "10.0.0.9 on eth0 is new, 10.0.0.7 on eth0 is gone"],
  ])("finds %j", (change, because) => {
    expect(eventsOf(home, { ...home, ...change })).toEqual([{ kind: "network-changed", because }]);
  });

  test("finds that the machine slept, which says more than what changed besides", () => {
    const later = { ...home, network: "no way out", sleptMs: 65_000 };
    expect(eventsOf(home, later, later)).toEqual([
      { kind: "resumed", because: "the machine slept for 60 s" },
    ]);
  });
});
