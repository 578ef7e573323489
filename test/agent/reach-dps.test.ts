import { join } from "node:path";
import { expect, test } from "vitest";
import { canReachDps } from "../../src/agent/reach-dps.ts";
import { loadConfig } from "../../src/config/load.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { Gateway } from "./gateway.ts";

const never = new AbortController().signal;

async function isReached(cloud: Cloud): Promise<boolean> {
  await using gateway = new Gateway(cloud);
  const file = join(gateway.folder, "etc", "config.toml");
  const loaded = await loadConfig({ file, stateDirectory: gateway.stateDirectory });
  if (loaded.status === "invalid") throw new Error(JSON.stringify(loaded.problems));
  return await canReachDps(loaded.config, { trustedRoots: cloud.caPem }, never);
}

test("DPS is not reached where nothing gets through, or somebody else answers", async () => {
  await using cloud = await startCloud();
  const everywhere = { when: { at: "connection" }, times: "always" } as const;
  cloud.faults.add({ ...everywhere, do: { act: "drop", how: "reset" } });
  expect(await isReached(cloud)).toBe(false);
  cloud.faults.clear();
  cloud.faults.add({ ...everywhere, do: { act: "portal", portal: "tls" } });
  expect(await isReached(cloud)).toBe(false);
});

test("DPS is reached where 8883 is blocked and 443 is not, and where nothing is", async () => {
  await using cloud = await startCloud();
  cloud.faults.add({
    when: { at: "connection", port: 8883 },
    do: { act: "drop", how: "reset" },
    times: "always",
  });
  expect(await isReached(cloud)).toBe(true);
  cloud.faults.clear();
  expect(await isReached(cloud)).toBe(true);
});
