import { readFileSync } from "node:fs";

/** Why this process may not listen on port 443; undefined where it may. Azure's clients know no other port for HTTPS. */
export function whyNotPort443(): string | undefined {
  const first = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
  if (process.getuid?.() === 0 || first <= 443) return undefined;
  return `only root may listen on port 443 here; as root: sysctl net.ipv4.ip_unprivileged_port_start=443`;
}
