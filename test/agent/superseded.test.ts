import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { Gateway } from "./gateway.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ pollAfterSeconds: 0, assigningAnswers: 0 });
});
afterAll(async () => cloud[Symbol.asyncDispose]());

/** A gateway with a property `slow` whose command takes a minute for the text "slow". */
function gatewayWith(folder: TemporaryFolder, more = ""): Gateway {
  const file = folder.join("slow.txt");
  const script = `echo "$(cat ${file})" >> ${folder.join("began")}; grep -q slow ${file} && exec sleep 60; exit 0`;
  const command = JSON.stringify(["/bin/sh", "-c", script]);
  const rule = `[[apply]]\nproperty = "slow"\nfile = "${file}"\nformat = "text"\ncommand = ${command}\ntimeout = "2m"\n${more}`;
  const gateway = new Gateway(cloud, { more: rule });
  const { registrationId, key: primaryKey } = gateway;
  cloud.levers.enrollments.put({ registrationId, hub: "test", primaryKey });
  return gateway;
}

function reportedOf(gateway: Gateway, name: string): unknown {
  return cloud.levers.twin("test", gateway.registrationId).reported.properties[name];
}

describe("a newer version", () => {
  test("calls off by signal what it wants otherwise, and only the last value is answered", async () => {
    using folder = new TemporaryFolder();
    await using gateway = gatewayWith(folder);
    await gateway.start();
    await gateway.connected();
    const patch = (desired: Readonly<Record<string, string>>) =>
      void cloud.levers.patchTwin("test", gateway.registrationId, { desired });
    patch({ slow: "slow\n" });
    await expect.poll(() => existsSync(folder.join("began"))).toBe(true);
    patch({ slow: "slow too\n" });
    await expect.poll(() => readFileSync(folder.join("began"), "utf8")).toBe("slow\nslow too\n");
    patch({ slow: "fast\n" });
    await expect
      .poll(() => reportedOf(gateway, "slow"), { timeout: 5_000 })
      .toMatchObject({ value: "fast\n", ac: 200 });
    expect(readFileSync(folder.join("slow.txt"), "utf8")).toBe("fast\n");
    expect(gateway.events("twin.applied")).toHaveLength(1);
    expect(gateway.events("twin.failed")).toHaveLength(0);
  });

  test("lets finish what it does not want otherwise", async () => {
    using folder = new TemporaryFolder();
    await using gateway = gatewayWith(folder);
    await gateway.start();
    await gateway.connected();
    const { registrationId } = gateway;
    writeFileSync(folder.join("slow.txt"), "");
    cloud.levers.patchTwin("test", registrationId, { desired: { slow: "quick\n", site: { a: 1 } } });
    cloud.levers.patchTwin("test", registrationId, { desired: { site: { a: 2 } } });
    const { version } = cloud.levers.twin("test", registrationId).desired;
    await expect
      .poll(() => reportedOf(gateway, "slow"))
      .toMatchObject({ value: "quick\n", ac: 200, av: version });
    expect(readFileSync(folder.join("began"), "utf8")).toBe("quick\n");
    expect(gateway.site()).toEqual({ a: 2 });
  });
});

describe("somebody else's change", () => {
  test("is found on request, told, and put right where the rule says so", async () => {
    using folder = new TemporaryFolder();
    const rules = ["false", "true"].map(
      (mend) =>
        `[[apply]]\nproperty = "drift_${mend}"\nfile = "${folder.join(`${mend}.json`)}"\ndrift_check = "7d"\nmend = ${mend}\n`,
    );
    await using gateway = gatewayWith(folder, rules.join(""));
    const { registrationId } = gateway;
    await gateway.start();
    await gateway.connected();
    cloud.levers.patchTwin("test", registrationId, { desired: { drift_false: 1, drift_true: 1 } });
    await expect.poll(() => reportedOf(gateway, "drift_true")).toMatchObject({ ac: 200 });
    for (const name of ["false", "true"]) writeFileSync(join(folder.path, `${name}.json`), "edited\n");
    gateway.inputs.tell({ kind: "apply-now" });
    await expect.poll(() => reportedOf(gateway, "drift_false")).toMatchObject({ ac: 500 });
    const told = reportedOf(gateway, "drift_false");
    expect(JSON.stringify(told)).toContain("appliers/drifted: changed by somebody else");
    expect(told).not.toHaveProperty("value");
    expect(reportedOf(gateway, "drift_true")).toMatchObject({ value: 1, ac: 200 });
    expect(readFileSync(folder.join("true.json"), "utf8")).toBe("1\n");
    expect(readFileSync(folder.join("false.json"), "utf8")).toBe("edited\n");
  });
});
