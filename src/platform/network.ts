import { readFileSync } from "node:fs";

/**
 * Names the network that the device is in, by its way out: `eth0 via 192.168.1.1`. Two networks may have the same name; what the
 * kernel knows of the gateway beyond its address comes and goes.
 *
 * Reads what the kernel has in /proc/net (proc_net(5)): costs no process and wakes nobody.
 */
export function describeNetwork(root = "/proc/net"): string {
  const route = defaultRoute4(read(root, "route")) ?? defaultRoute6(read(root, "ipv6_route"));
  if (route === undefined) return "no way out";
  const { device, gateway } = route;
  return gateway === undefined ? `${device} without a gateway` : `${device} via ${gateway}`;
}

interface Route {
  readonly device: string;
  readonly gateway?: string;
  readonly metric: number;
}

/** `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers in hexadecimal, addresses in the machine's byte order. */
function defaultRoute4(table: string): Route | undefined {
  return best(
    rows(table).flatMap(([device = "", destination, gateway = "", , , , metric, mask]) => {
      if (destination !== "00000000" || mask !== "00000000") return [];
      const address = Buffer.from(gateway, "hex").toReversed().join(".");
      return [{ device, ...(address !== "0.0.0.0" && { gateway: address }), metric: Number(metric) }];
    }),
  );
}

/** `destination length source length next-hop metric refcnt use flags device`, all in hexadecimal. */
function defaultRoute6(table: string): Route | undefined {
  return best(
    rows(table).flatMap(([destination = "", length, , , nextHop = "", metric = "", , , , device = ""]) => {
      const isDefault = /^0+$/.test(destination) && length === "00" && device !== "lo";
      const isDirect = /^0+$/.test(nextHop);
      const gateway = nextHop.replaceAll(/(.{4})(?!$)/g, "$1:");
      return isDefault
        ? [{ device, ...(!isDirect && { gateway }), metric: Number.parseInt(metric, 16) }]
        : [];
    }),
  );
}

function best(routes: readonly Route[]): Route | undefined {
  return routes.toSorted((one, other) => one.metric - other.metric)[0];
}

function rows(table: string): readonly (readonly string[])[] {
  return table.split("\n").map((line) => line.trim().split(/\s+/));
}

/** Absent where the kernel has no such protocol. */
function read(root: string, name: string): string {
  try {
    return readFileSync(`${root}/${name}`, "utf8");
  } catch {
    return "";
  }
}
