import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { SmallDisk, whyNoMount } from "../platform/small-disk.ts";
import { Gateway } from "./gateway.ts";

/* The state directory is a disk that does not take what it is given. Everything is real. */

if (whyNoMount !== undefined) console.log(`skipped: disks in trouble: ${whyNoMount}`);

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ assigningAnswers: 0, pollAfterSeconds: 0 });
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

function enroll(gateway: Gateway): void {
  cloud.levers.enrollments.put({
    registrationId: gateway.registrationId,
    primaryKey: gateway.key,
    hub: "test",
    initialTwin: { desired: { site: { name: "Hall 7" } } },
  });
}

function want(gateway: Gateway, name: string, hub = "test"): void {
  cloud.levers.patchTwin(hub, gateway.registrationId, { desired: { site: { name } } });
}

async function applied(gateway: Gateway, name: string): Promise<void> {
  const isThere = () => JSON.stringify(siteOf(gateway)) === JSON.stringify({ name });
  await gateway.until(() => isThere() && gateway.health.at(-1)?.at === "connected", `${name} is applied`);
}

function siteOf(gateway: Gateway): unknown {
  try {
    return gateway.site();
  } catch {
    return undefined;
  }
}

const troubles = [
  {
    name: "full",
    code: "ENOSPC",
    trouble: (disk: SmallDisk) => disk.fill(),
    mend: (disk: SmallDisk) => disk.free(),
  },
  {
    name: "out of inodes",
    code: "ENOSPC",
    trouble: (disk: SmallDisk) => disk.exhaustInodes(),
    mend: (disk: SmallDisk) => disk.free(),
  },
  {
    name: "read-only",
    code: "EROFS",
    trouble: (disk: SmallDisk) => disk.setReadOnly(true),
    mend: (disk: SmallDisk) => disk.setReadOnly(false),
  },
];

test.skipIf(whyNoMount !== undefined).for(troubles)(
  "a disk that is $name: the agent works on from memory, status says so, and it writes again once it can",
  async ({ code, trouble, mend }) => {
    await using gateway = new Gateway(cloud);
    using disk = new SmallDisk(gateway.stateDirectory);
    enroll(gateway);
    await gateway.start();
    await gateway.connected();
    const before = readdirSync(disk.path);

    trouble(disk);
    want(gateway, "Hall 8");
    await applied(gateway, "Hall 8");
    expect(gateway.status).toMatch(
      new RegExp(
        `^connected to .*; warning: cannot write .*device\\.[ab]\\.json \\(${code}\\)\\. Check free space, mode and owner of .*; until then a restart forgets what changed \\[platform/state-not-written\\]$`,
      ),
    );

    // A restart finds the assignment that was written last, and the twin makes up for the rest.
    await gateway.stop();
    const asked = gateway.events("provisioning.started").length;
    await gateway.start();
    await applied(gateway, "Hall 8");
    expect(gateway.events("provisioning.started")).toHaveLength(asked);
    expect(gateway.events("platform.state-damaged")).toEqual([]);

    mend(disk);
    want(gateway, "Hall 9");
    await applied(gateway, "Hall 9");
    await gateway.until(() => !gateway.status.includes("warning"), "the warning is gone");
    expect(gateway.events("agent.state-written").length).toBeGreaterThan(0);
    expect(readdirSync(disk.path).toSorted()).toEqual(
      expect.arrayContaining(before.filter((name) => name.startsWith("assignment."))),
    );
    expect(readdirSync(disk.path).filter((name) => name.includes("tmp-"))).toEqual([]);
    expect(stored(disk, "device")).toContain("Hall 9");
  },
);

test.skipIf(whyNoMount !== undefined)(
  "a disk that is full from the first start on: the device finds its hub and works, and asks DPS again after a restart",
  async () => {
    await using gateway = new Gateway(cloud);
    using disk = new SmallDisk(gateway.stateDirectory);
    disk.fill();
    enroll(gateway);
    await gateway.start();
    await applied(gateway, "Hall 7");
    expect(gateway.status).toMatch(/warning: cannot write .*assignment\.a\.json \(ENOSPC\)/);
    await gateway.stop();
    gateway.health.length = 0;
    await gateway.start();
    await applied(gateway, "Hall 7");
    expect(gateway.events("provisioning.started")).toHaveLength(2);
  },
);

test.skipIf(whyNoMount !== undefined)(
  "a move to another hub on a full disk is made from memory, and the old assignment is never lost",
  async () => {
    await using gateway = new Gateway(cloud);
    using disk = new SmallDisk(gateway.stateDirectory);
    enroll(gateway);
    await gateway.start();
    await gateway.connected();
    disk.fill();
    cloud.levers.moveEnrollment(gateway.registrationId, "production");
    cloud.levers.deleteDevice("test", gateway.registrationId);
    const production = cloud.hub("production").host;
    await gateway.until(() => gateway.status.startsWith(`connected to ${production}`), "it moved");
    expect(stored(disk, "assignment")).toContain(cloud.hub("test").host);
    expect(stored(disk, "assignment")).not.toContain(production);

    disk.free();
    want(gateway, "Hall 10", "production");
    await applied(gateway, "Hall 10");
    await gateway.until(() => !gateway.status.includes("warning"), "all is written");
    expect(stored(disk, "assignment")).toContain(production);
    const asked = gateway.events("provisioning.started").length;
    await gateway.stop();
    gateway.health.length = 0;
    await gateway.start();
    await applied(gateway, "Hall 10");
    expect(gateway.status).toContain(`connected to ${production}`);
    expect(gateway.events("provisioning.started")).toHaveLength(asked);
  },
);

test("a state directory that cannot even be made: the agent works all the same and says so", async () => {
  await using gateway = new Gateway(cloud, { stateDirectory: "/dev/null/state" });
  enroll(gateway);
  await gateway.start();
  await applied(gateway, "Hall 7");
  expect(gateway.status).toMatch(/warning: cannot write \/dev\/null\/state\/.*\(ENOTDIR\)/);
});

/** Every byte of the files with this name. */
function stored(disk: SmallDisk, name: string): string {
  return readdirSync(disk.path)
    .filter((file) => file.startsWith(`${name}.`))
    .map((file) => readFileSync(join(disk.path, file), "utf8"))
    .join("\n");
}
