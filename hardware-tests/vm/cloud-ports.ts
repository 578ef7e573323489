import { connect, createServer, type Server } from "node:net";
import { once } from "node:events";
import type { Cloud } from "../../test/cloud/cloud.ts";

/** A cloud on loopback that machines can reach. */
export interface CloudPorts extends AsyncDisposable {
  /** Shell that makes the cloud's addresses answer in a machine, after each of its starts too. */
  readonly setUp: string;
}

/**
 * Brings the endpoints of a cloud into machines, under the same loopback addresses that they have here and that their certificates
 * bear. A machine sees the loopback of its host as 10.0.2.2, and no other address of 127.0.0.0/8: so a port there stands for each.
 */
export async function openCloudPorts(cloud: Cloud, hubs: readonly string[]): Promise<CloudPorts> {
  const places = [cloud.dps, ...hubs.map((name) => cloud.hub(name))].flatMap(({ host, port, httpsPort }) => [
    { host, port },
    { host, port: httpsPort },
  ]);
  const servers: Server[] = [];
  const units: string[] = [];
  for (const [at, place] of places.entries()) {
    const server = createServer((socket) => {
      const beyond = connect(place);
      for (const [from, to] of [
        [socket, beyond],
        [beyond, socket],
      ] as const) {
        from.pipe(to);
        from.on("error", () => to.destroy());
      }
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    servers.push(server);
    units.push(socketUnit(`cloud-${at}`, `${place.host}:${place.port}`, portOf(server)));
  }
  return {
    setUp: units.join(" && "),
    async [Symbol.asyncDispose]() {
      for (const server of servers) server.close();
    },
  };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function socketUnit(name: string, listen: string, port: number): string {
  const socket = String.raw`[Socket]\nListenStream=${listen}\nNoDelay=true\n[Install]\nWantedBy=sockets.target\n`;
  const service = String.raw`[Service]\nTimeoutStopSec=2\nExecStart=/lib/systemd/systemd-socket-proxyd 10.0.2.2:${port}\n`;
  const folder = "/etc/systemd/system";
  return (
    `printf '${socket}' > ${folder}/${name}.socket && printf '${service}' > ${folder}/${name}.service && ` +
    `systemctl enable -q --now ${name}.socket`
  );
}
