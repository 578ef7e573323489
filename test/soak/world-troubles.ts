import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SmallDisk } from "../platform/small-disk.ts";
import type { Scene, Trouble } from "./trouble.ts";

/* What happens to clouds, machines and people without any fault on the wire. */

const hubs = ["test", "production"] as const;

/** The hub that has the device at present. */
export function homeOf({
  cloud,
  gateway,
}: Pick<Scene, "cloud" | "gateway">): "test" | "production" | undefined {
  return hubs.find((hub) =>
    cloud.levers.devices(hub).some(({ deviceId }) => deviceId === gateway.registrationId),
  );
}

function atHome(scene: Scene, act: (hub: "test" | "production", deviceId: string) => void): void {
  const hub = homeOf(scene);
  if (hub !== undefined) act(hub, scene.gateway.registrationId);
}

export const cloudTroubles: readonly Trouble[] = [
  {
    name: "an endpoint is away",
    layer: "cloud",
    strike: async ({ cloud, pick }) => {
      const endpoint = pick(["dps", ...hubs]);
      await cloud.levers.setLine(endpoint, false);
      return async () => cloud.levers.setLine(endpoint, true);
    },
  },
  {
    name: "the hub drops the device",
    layer: "cloud",
    strike: (scene) => {
      atHome(scene, (hub, deviceId) => cloud(scene).dropConnection(hub, deviceId));
      return undefined;
    },
  },
  {
    name: "the device is deleted",
    layer: "cloud",
    strike: (scene) => {
      atHome(scene, (hub, deviceId) => cloud(scene).deleteDevice(hub, deviceId));
      return undefined;
    },
  },
  {
    name: "the device is disabled",
    layer: "cloud",
    strike: (scene) => {
      atHome(scene, (hub, deviceId) => cloud(scene).setDeviceEnabled(hub, deviceId, false));
      return () => {
        atHome(scene, (hub, deviceId) => cloud(scene).setDeviceEnabled(hub, deviceId, true));
      };
    },
  },
  {
    name: "the device has another key in the hub",
    layer: "cloud",
    strike: (scene) => {
      atHome(scene, (hub, deviceId) => cloud(scene).rotateKey(hub, deviceId, "primary"));
      return undefined;
    },
  },
  {
    name: "the enrollment moves",
    layer: "cloud",
    strike: (scene) => {
      const { registrationId } = scene.gateway;
      cloud(scene).moveEnrollment(registrationId, scene.pick(hubs));
      atHome(scene, (hub, deviceId) => cloud(scene).deleteDevice(hub, deviceId));
      return undefined;
    },
  },
  {
    name: "the enrollment is disabled",
    layer: "cloud",
    strike: ({ cloud: { levers }, gateway: { registrationId } }) => {
      levers.enrollments.change(registrationId, { enabled: false });
      return () => {
        levers.enrollments.change(registrationId, { enabled: true });
      };
    },
  },
];

function cloud({ cloud: { levers } }: Scene): Scene["cloud"]["levers"] {
  return levers;
}

export const operatorTroubles: readonly Trouble[] = [
  {
    name: "somebody asks for DPS",
    layer: "operator",
    strike: ({ gateway }) => {
      gateway.inputs.tell({ kind: "reprovision", because: "the soak" });
      return undefined;
    },
  },
  {
    name: "another network",
    layer: "operator",
    strike: ({ gateway, pick }) => {
      gateway.inputs.tell({ kind: pick(["network-changed", "resumed", "clock-changed", "restart"]) });
      return undefined;
    },
  },
  {
    name: "a restart",
    layer: "operator",
    strike: async ({ gateway }) => {
      await gateway.stop();
      await gateway.start();
      return undefined;
    },
  },
];

/** @param disk where the state is; absent where nobody may mount one. */
export function machineTroubles(disk: SmallDisk | undefined): readonly Trouble[] {
  const always: readonly Trouble[] = [fileAway("the key is gone", "device.key"), wrongRoots];
  return disk === undefined ? always : [...always, ...diskTroubles(disk)];
}

function fileAway(name: string, file: string): Trouble {
  return {
    name,
    layer: "machine",
    strike: ({ gateway }) => {
      const path = join(gateway.folder, "etc", file);
      const away = `${path}.away`;
      try {
        renameSync(path, away);
      } catch {
        // It is away already.
        return undefined;
      }
      return () => renameSync(away, path);
    },
  };
}

const wrongRoots: Trouble = {
  name: "a trust bundle of somebody else",
  layer: "machine",
  strike: ({ gateway, cloud: { caPem } }) => {
    const path = join(gateway.folder, "etc", "ca.pem");
    const foreign = readFileSync("/etc/ssl/certs/ca-certificates.crt", "utf8");
    writeFileSync(path, foreign.slice(0, foreign.indexOf("-----END CERTIFICATE-----") + 26));
    return () => {
      writeFileSync(path, caPem);
    };
  },
};

function diskTroubles(disk: SmallDisk): readonly Trouble[] {
  const free = () => disk.free();
  return [
    {
      name: "a full disk",
      layer: "machine",
      strike: () => {
        disk.fill();
        return free;
      },
    },
    {
      name: "no inodes",
      layer: "machine",
      strike: () => {
        disk.exhaustInodes();
        return free;
      },
    },
  ];
}
