import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { startCloud } from "./cloud.ts";
import { readDescriptionFile } from "./description-file.ts";
import { parseDescription } from "./description-spec.ts";
import { connectToHub, provision, twinTopics } from "./test-device.ts";
import { connectClient } from "./test-dps-client.ts";
import { createRoot } from "./test-pki.ts";

const folder = mkdtempSync(join(tmpdir(), "cloud-description-"));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** Problems of a description, one a line. */
function problemsOf(run: () => unknown): readonly string[] {
  try {
    run();
    return [];
  } catch (error) {
    return error instanceof Error ? error.message.split("\n") : [String(error)];
  }
}

describe("a description is refused", () => {
  it("with every problem at once, each behind its path", () => {
    const problems = problemsOf(() =>
      parseDescription({
        colour: "blue",
        network: "10.0.0",
        pace: { pollAfterSeconds: -1 },
        hubs: { plant: { latencyMs: "near", throttle: { connectsPerSecond: 1.5 } } },
        enrollments: {
          "gateway-1": { hub: "plan", credentialPolicy: "none", reprovisionPolicy: "sometimes" },
          "gateway.": {},
        },
        enrollmentGroups: {
          fleet: { hubs: ["plant", "moon"], attestation: { type: "x509", caReferences: ["ours"] } },
        },
        faults: [
          { endpoint: "test", when: { at: "connection" }, do: { act: "connack", returnCode: 3 } },
          { when: { at: "packet", packet: "hello" }, do: { act: "swallow" } },
        ],
        proxies: [{ answer: 200 }],
      }),
    );
    expect(problems.map((problem) => problem.split(": ")[0])).toEqual([
      "network",
      "pace.pollAfterSeconds",
      "hubs.plant.latencyMs",
      "hubs.plant.throttle.connectsPerSecond",
      "enrollments.gateway-1.reprovisionPolicy",
      "enrollments.gateway.",
      "faults.0",
      "faults.1.when.packet",
      "proxies.0.answer",
      "colour",
      "enrollments.gateway-1.hub",
      "enrollments.gateway-1.credentialPolicy",
      "enrollmentGroups.fleet.hubs.1",
      "enrollmentGroups.fleet.attestation.caReferences.0",
      "faults.0.endpoint",
    ]);
    expect(problems).toContain("enrollments.gateway-1.hub: there is no hub plan");
  });

  it.each([
    ["no table", "no table"],
    ["a list", [1]],
    ["hubs without names", { hubs: ["plant"] }],
    ["no enrollment", { enrollments: { "gateway-1": "yes" } }],
    ["no list of faults", { faults: { when: { at: "connection" } } }],
  ])("for %s, without falling over it", (_, input) => {
    expect(problemsOf(() => parseDescription(input))).not.toEqual([]);
  });

  it("by the cloud where only doing it shows what is wrong, and then nothing is left running", async () => {
    const { certPem } = await (await createRoot("Root")).leaf("no CA");
    const start = startCloud({
      network: "127.43.43",
      adminPort: 0,
      description: {
        hubs: { plant: { devices: { "a b": {} }, caCertificates: { ours: { certificate: certPem } } } },
        caCertificates: { "ours!": { certificate: certPem } },
        credentialPolicies: { factory: { validityDays: 1 } },
      },
    });
    await expect(start).rejects.toMatchObject({
      message: [
        "credentialPolicies.factory: validityDays is a whole number from 7 to 90",
        "caCertificates.ours!: a CA certificate's name is 1 to 64 of A-Z a-z 0-9 - . _",
        "hubs.plant.caCertificates.ours: certificate: not that of a CA",
        "hubs.plant.devices.a b: a device ID is 1 to 128 of A-Z a-z 0-9 - . + % _ # * ? ! ( ) , : = @ $ '",
      ].join("\n"),
    });
    await using again = await startCloud({ network: "127.43.43" });
    expect(again.network).toBe("127.43.43");
  });

  it("for a hub whose name is none", async () => {
    await expect(startCloud({ description: { hubs: { DPS: {} } } })).rejects.toThrow("a hub's name");
  });
});

describe("a description file is refused, by its name,", () => {
  it.each([
    ["when it is not there", join(folder, "missing.toml"), "ENOENT"],
    ["when it is neither TOML nor JSON", fileOf("cloud.yaml", "a: 1"), "neither in .toml nor in .json"],
    ["with the line of a mistake in TOML", fileOf("mistake.toml", "a = 1\nb = = 2\n"), "line 2, column"],
    ["with a mistake in JSON", fileOf("mistake.json", "{"), "JSON"],
    ["with a problem's path", fileOf("wrong.toml", "[hubs.plant]\nlatency = 1\n"), "hubs.plant.latency: "],
    [
      "with each file that cannot be read",
      fileOf("ca.toml", '[caCertificates.ours]\ncertificate = { file = "none.pem" }\n'),
      "caCertificates.ours.certificate: ENOENT",
    ],
  ])("%s", (_, path, words) => {
    const problems = problemsOf(() => readDescriptionFile(path));
    expect(problems[0]).toBe(`${path} cannot be used:`);
    expect(problems[1]).toContain(words);
  });
});

describe("a described cloud", () => {
  it("is what the example says", async () => {
    const description = readDescriptionFile(fileURLToPath(new URL("example.toml", import.meta.url)));
    await using cloud = await startCloud({ description: { ...description, pace: { pollAfterSeconds: 0 } } });
    expect(cloud.idScope).toBe("0ne00EXAMPLE");
    expect(cloud.levers.endpoints().map(({ name }) => name)).toEqual(["dps", "plant", "field"]);
    const { primaryKey } = cloud.levers.enrollments.get("gateway-1");
    expect(await provision(cloud, "gateway-1", primaryKey)).toMatchObject({ status: 429 });
    expect(await provision(cloud, "gateway-1", primaryKey)).toMatchObject({
      body: { registrationState: { assignedHub: cloud.hub("plant").host } },
    });
    expect(cloud.levers.twin("plant", "gateway-1")).toMatchObject({
      desired: { properties: { telemetryEverySeconds: 10 } },
      tags: { site: "north" },
    });
    const { primaryKey: otherKey } = cloud.levers.enrollments.get("gateway-2");
    expect(await provision(cloud, "gateway-2", otherKey)).toMatchObject({ body: { status: "disabled" } });
    await using byHand = await connectToHub(cloud, "plant", "by-hand", "dGhpcyBpcyBub3QgYSBzZWNyZXQ=");
    await byHand.client.subscribeAsync(twinTopics.answers);
    expect(await byHand.ask(twinTopics.get)).toMatchObject({ status: 200 });
  });

  it("takes certificates from files beside it, and leaves alone what belongs to the device", async () => {
    const root = await createRoot("Maker");
    fileOf("root.pem", root.certPem);
    const path = fileOf(
      "factory.json",
      JSON.stringify({
        caCertificates: { ours: { certificate: { file: "root.pem" }, isVerified: true } },
        enrollmentGroups: {
          fleet: {
            attestation: { type: "x509", caReferences: ["ours"] },
            initialTwin: { desired: { config: { file: "a.txt" } } },
          },
        },
      }),
    );
    await using cloud = await startCloud({ pollAfterSeconds: 0, description: readDescriptionFile(path) });
    const { chainPem, keyPem } = await root.leaf("gateway-7");
    await using device = await connectClient(cloud, "HTTPS", "gateway-7", {
      cert: chainPem,
      certKey: keyPem,
    });
    expect(await device.provision()).toMatchObject({ body: { status: "assigned" } });
    expect(cloud.levers.twin("test", "gateway-7").desired.properties).toEqual({ config: { file: "a.txt" } });
  });

  it("yields to other options, and hubs that these name count as there", async () => {
    const description = {
      idScope: "0ne00FILE",
      hubs: { plant: { isAuthorized: false } },
      enrollments: { "gateway-1": { hub: "field" } },
    };
    await using cloud = await startCloud({ description, idScope: "0ne00OPTION", hubs: ["field"] });
    expect(cloud.idScope).toBe("0ne00OPTION");
    expect(cloud.levers.endpoints().map(({ name }) => name)).toEqual(["dps", "field", "plant"]);
    expect(cloud.levers.linkedHubs.link("plant")).toEqual({ latencyMs: 20, isAuthorized: false });
  });
});
