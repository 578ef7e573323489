import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openWorkshop, type GatewaySettings, type Workshop } from "./azure-gateway.ts";
import { startSwtpm } from "./start-swtpm.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
}, 180_000);
afterAll(async () => workshop[Symbol.asyncDispose]());

function settings(registrationId: string, tpmPort: number): GatewaySettings {
  return { registrationId, dpsTransport: "http", hubTransport: "mqtt", credential: { tpmPort } };
}

describe("Azure's TPM client with a software TPM", () => {
  test("that another device was enrolled with is refused", async () => {
    await using tpm = await startSwtpm();
    await using other = await startSwtpm();
    await using stranger = await workshop.start(settings("stranger", other.port));
    const { endorsementKey: strangersKey } = await stranger.until("tpm");
    await using gateway = await workshop.start(settings("tpm-gateway", tpm.port));
    const { endorsementKey } = await gateway.until("tpm");
    expect(endorsementKey).not.toBe(strangersKey);
    workshop.cloud.levers.enrollments.put({
      registrationId: "tpm-gateway",
      attestation: { type: "tpm", endorsementKey: String(strangersKey) },
    });
    gateway.say("go on");
    expect(await gateway.until("failed")).toMatchObject({ event: "failed" });
    expect(await gateway.exitCode).toBe(1);
  });

  test("takes both keys in, provisions over HTTPS and lives at its hub with the second", async () => {
    const { cloud } = workshop;
    await using tpm = await startSwtpm();
    await using gateway = await workshop.start(settings("tpm-gateway", tpm.port));
    const { endorsementKey } = await gateway.until("tpm");
    cloud.levers.enrollments.put({
      registrationId: "tpm-gateway",
      attestation: { type: "tpm", endorsementKey: String(endorsementKey) },
      initialTwin: { desired: { site: "Hall 7" } },
    });
    gateway.say("go on");
    expect(await gateway.until("assigned")).toMatchObject({
      hub: cloud.hub("test").host,
      deviceId: "tpm-gateway",
    });
    expect(await gateway.until("twin")).toMatchObject({ desired: { site: "Hall 7" } });
    await gateway.until("ready");
    const hub = cloud.levers.hub("test");
    const call = { methodName: "restart", payload: { inSeconds: 5 }, connectTimeoutInSeconds: 5 };
    expect(await hub.methods.call("tpm-gateway", call)).toMatchObject({ status: 202 });
    hub.messages.send("tpm-gateway", { body: "goodbye" });
    await gateway.until("closed");
    expect(await gateway.exitCode).toBe(0);
    expect(cloud.levers.twin("test", "tpm-gateway").reported.properties).toEqual({ rack: 7 });
  });
});
