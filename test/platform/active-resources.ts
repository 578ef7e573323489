/** How many timers, sockets, child processes (`Timeout`, `TCPSocketWrap`, `ProcessWrap`, …) keep this process alive. */
export function activeResources(name: "Timeout" | "TCPSocketWrap" | "ProcessWrap"): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === name).length;
}
