import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.ts";
import { formatProblem } from "../../src/config/problem.ts";
import { configSources } from "../../src/config/sources.ts";
import { configFolder, problemsOf } from "./config-folder.ts";

const scope = 'id_scope = "0ne000A0B1C"\n';
const withoutMessages = { messages: { timeoutMs: 30_000 }, telemetry: {} };

async function load(files: string | Readonly<Record<string, string>>): Promise<Config> {
  await using folder = await configFolder(files);
  const loaded = await folder.load();
  if (loaded.status === "invalid") throw new Error(loaded.problems.map(formatProblem).join("\n"));
  return loaded.config;
}

describe("a file that cannot serve is a problem and not an exception", () => {
  it("a missing main file tells the smallest legal one", async () => {
    await expect(problemsOf({})).resolves.toEqual([
      'config.toml: expected the configuration file, found no such file. Fix: create it; one line is enough: id_scope = "0ne00XXXXXX". The command "latebind config template" prints every setting.',
    ]);
  });

  it("a folder in its place, and bytes that are not UTF-8", async () => {
    await expect(problemsOf({ "config.toml/file": "" })).resolves.toEqual([
      "config.toml: cannot be read (EISDIR). Fix: see that it is a readable file.",
    ]);
    await expect(problemsOf({ "config.toml": Uint8Array.of(0x61, 0xff) })).resolves.toEqual([
      "config.toml: expected UTF-8 text, found other bytes. Fix: save the file as UTF-8.",
    ]);
  });

  it("a file closed to the service user names the user and the mode", async () => {
    await using folder = await configFolder(scope);
    const file = join(folder.path, "config.toml");
    await chmod(folder.path, 0o755);
    await chmod(file, 0o600);
    const loaded = await asNobody(() => folder.load());
    expect(loaded.status === "invalid" && loaded.problems.map(formatProblem)).toEqual([
      `${file}: cannot be read by the user nobody (mode 0600). Fix: as root, let the user read it: chgrp nobody ${file}; chmod g+r ${file}.`,
    ]);
  });

  it("a broken drop-in does not hide the faults of other files, nor make up missing keys", async () => {
    const lines = await problemsOf({ "config.toml": "[hub", "config.d/5.toml": "[hub]\nkeep_alive = 5" });
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^config\.toml:1:5: not valid TOML/);
    expect(lines[1]).toMatch(/^config\.d\/5\.toml:2: hub\.keep_alive: /);
  });
});

/** Root reads everything, so the loading is done as nobody (65534 on Debian) where the tests run as root. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

async function loadTpm(more: string): Promise<Config> {
  return load(`id_scope = "0ne000A0B1C"\nkey = "tpm2:"\n[provisioning]\n${more}`);
}

describe("a legal configuration", () => {
  it("needs one line; everything else has its default", async () => {
    await using folder = await configFolder(scope);
    await expect(folder.load()).resolves.toEqual({
      status: "valid",
      files: [join(folder.path, "config.toml")],
      warnings: [],
      config: {
        idScope: "0ne000A0B1C",
        key: { scheme: "file", locations: [{ path: join(folder.path, "device.key"), isCredential: false }] },
        provisioning: {
          endpoint: "global.azure-devices-provisioning.net",
          transport: "auto",
          port: 8883,
          webSocketPort: 443,
          apiVersion: "2021-06-01",
        },
        hub: {
          transport: "auto",
          webSocketPort: 443,
          port: 8883,
          apiVersion: "2021-04-12",
          keepAliveMs: 180_000,
          leastKeepAliveMs: 30_000,
          tokenLifetimeMs: 3_600_000,
          refusalRetryMs: 30_000,
          startSpreadMs: 10_000,
        },
        tls: { trustBundle: "/etc/ssl/certs/ca-certificates.crt" },
        tpm: {
          tcti: "device:/dev/tpmrm0",
          ekTemplate: "tcg",
          ekHandle: "0x81010001",
          srkHandle: "0x81000001",
        },
        log: { level: "notice" },
        ...withoutMessages,
        apply: [],
      },
    });
  });

  it("speaks with DPS over HTTPS where the key is a TPM's, whatever else is set", async () => {
    expect((await loadTpm("")).provisioning).toMatchObject({ transport: "https", port: 443 });
    expect((await loadTpm('transport = "mqtt"')).provisioning).toMatchObject({
      transport: "https",
      port: 443,
    });
    expect((await loadTpm("port = 8443")).provisioning).toMatchObject({ transport: "https", port: 8443 });
  });

  it("carries every setting in the agent's own units", async () => {
    const config = await load(`
      id_scope = "0ne000A0B1C"
      registration_id = "Plant-7:gw.3"
      key = "file:///run/secrets/gw.key"
      hub.keep_alive = "1m30s"
      [provisioning]
      endpoint = "dps.example"
      port = 18883
      api_version = "2025-07-01-preview"
      payload.site = ["a", { b = 1.5, c = true }]
      [tls]
      trust_bundle = "/opt/roots.pem"
      [tpm]
      tcti = "swtpm:path=/run/tpm"
      ek_template = "azure-sdk"
      ek_handle = "0x81010002"
      srk_handle = "0x8100000A"
      owner_auth = "file:/run/owner"
      [log]
      level = "debug"
      [[apply]]
      property = "network"
      file = "/opt/network.env"
      format = "env"
      mode = "640"
      owner = "app:adm"
      command = ["/bin/systemctl", "restart", "app"]
      timeout = "2m"
      [[apply]]
      property = "größe"
      file = "/etc/latebind-app/size.json"
      owner = "1000"`);
    expect(config).toEqual({
      idScope: "0ne000A0B1C",
      registrationId: "Plant-7:gw.3",
      key: { scheme: "file", locations: [{ path: "/run/secrets/gw.key", isCredential: false }] },
      provisioning: {
        endpoint: "dps.example",
        transport: "auto",
        port: 18_883,
        webSocketPort: 443,
        apiVersion: "2025-07-01-preview",
        payload: { site: ["a", { b: 1.5, c: true }] },
      },
      hub: {
        transport: "auto",
        webSocketPort: 443,
        port: 8883,
        apiVersion: "2021-04-12",
        keepAliveMs: 90_000,
        leastKeepAliveMs: 30_000,
        tokenLifetimeMs: 3_600_000,
        refusalRetryMs: 30_000,
        startSpreadMs: 10_000,
      },
      tls: { trustBundle: "/opt/roots.pem" },
      tpm: {
        tcti: "swtpm:path=/run/tpm",
        ekTemplate: "azure-sdk",
        ekHandle: "0x81010002",
        srkHandle: "0x8100000a",
        ownerAuth: [{ path: "/run/owner", isCredential: false }],
      },
      log: { level: "debug" },
      ...withoutMessages,
      apply: [
        {
          property: "network",
          kind: "file",
          after: [],
          mend: false,
          privileged: false,
          file: "/opt/network.env",
          format: "env",
          mode: 0o640,
          owner: { user: "app", group: "adm" },
          command: ["/bin/systemctl", "restart", "app"],
          timeoutMs: 120_000,
        },
        {
          property: "größe",
          kind: "file",
          after: [],
          mend: false,
          privileged: false,
          file: "/etc/latebind-app/size.json",
          format: "json",
          mode: 0o644,
          owner: { user: "1000" },
          timeoutMs: 30_000,
        },
      ],
    });
  });

  it("may start with the byte order mark of a Windows editor and have its line ends", async () => {
    const config = await load('\uFEFFid_scope = "0ne000A0B1C"\r\n[log]\r\nlevel = "info"\r\n');
    expect(config.log.level).toBe("info");
  });

  it("offers a systemd credential before the file beside the configuration", async () => {
    await using folder = await configFolder(`${scope}key = "file:gw.key"`);
    const loaded = await folder.load({ credentialsDirectory: "/run/credentials/latebind.service" });
    expect(loaded.status === "valid" && loaded.config.key).toEqual({
      scheme: "file",
      locations: [
        { path: "/run/credentials/latebind.service/gw.key", isCredential: true },
        { path: join(folder.path, "gw.key"), isCredential: false },
      ],
    });
  });

  it("looks for the PIN of a token where it looks for key files", async () => {
    const uri = "pkcs11:token=gw;object=device?module-path=/usr/lib/hsm.so&pin-source=file:pin";
    await using folder = await configFolder(`${scope}key = "${uri}"`);
    const loaded = await folder.load({ credentialsDirectory: "/run/credentials/latebind.service" });
    expect(loaded.status === "valid" && loaded.config.key).toEqual({
      scheme: "pkcs11",
      modulePath: "/usr/lib/hsm.so",
      token: { label: "gw" },
      object: { label: "device" },
      pin: [
        { path: "/run/credentials/latebind.service/pin", isCredential: true },
        { path: join(folder.path, "pin"), isCredential: false },
      ],
    });
  });
});

describe("drop-ins", () => {
  it("are laid over the main file in the order of their names, key by key", async () => {
    const config = await load({
      "config.toml": `${scope}[hub]\nkeep_alive = "1m"\nport = 1\n[provisioning]\npayload = { a = 1, b = 1 }\n[[apply]]\nproperty = "a"\nfile = "/opt/a"`,
      "config.d/20-late.toml": '[hub]\nkeep_alive = "3m"\n[[apply]]\nproperty = "c"\nfile = "/opt/c"',
      "config.d/10-early.toml":
        '[hub]\nkeep_alive = "2m"\n[provisioning]\npayload = { b = 2 }\n[[apply]]\nproperty = "b"\nfile = "/opt/b"',
    });
    expect(config.hub).toMatchObject({ keepAliveMs: 180_000, port: 1 });
    expect(config.provisioning.payload).toEqual({ a: 1, b: 2 });
    expect(config.apply.map((rule) => rule.property)).toEqual(["a", "b", "c"]);
  });

  it("cannot name a property again; both places are told, counted within their own files", async () => {
    const lines = await problemsOf({
      "config.toml": `${scope}[[apply]]\nproperty = "x"\nfile = "/opt/x"\n[[apply]]\nproperty = "a"\nfile = "/opt/a"`,
      "config.d/10.toml": '[[apply]]\nproperty = "a"\nfile = "/opt/b"\nmode = "9"',
    });
    expect(lines).toEqual([
      'config.d/10.toml:2: apply[0].property: expected each property once, found "a" again after config.toml:6. Fix: keep one of the two [[apply]] tables.',
      'config.d/10.toml:4: apply[0].mode: expected octal digits in quotes, such as "0640", found "9". Fix: change it, or delete the line to get "0644".',
    ]);
  });

  it("cannot turn a value into a table behind the operator's back", async () => {
    const lines = await problemsOf({
      "config.toml": `${scope}hub = 5`,
      "config.d/6.toml": "[hub]\nport = 1",
    });
    expect(lines).toEqual([
      "config.d/6.toml:1: hub: is a table here but a single value at config.toml:2. Fix: write it the same way in both files.",
    ]);
  });

  it("mend a value of the main file", async () => {
    const config = await load({ "config.toml": 'id_scope = "?"', "config.d/scope.toml": scope });
    expect(config.idScope).toBe("0ne000A0B1C");
  });
});

describe("warnings", () => {
  it("tell of files that are not read, of files that everybody may write, and of the template's example", async () => {
    await using folder = await configFolder({
      "config.toml": 'id_scope = "0ne00XXXXXX"',
      "config.d/hub.toml.bak": "x",
      "config.d/.hub.toml.swp": "x",
    });
    await chmod(join(folder.path, "config.toml"), 0o646);
    const { status, warnings } = await folder.load();
    expect(status).toBe("valid");
    expect(warnings.map((warning) => formatProblem(warning).replaceAll(`${folder.path}/`, ""))).toEqual([
      "config.toml: expected a file that only its owner may write, found mode 0646. Fix: run: chmod o-w config.toml.",
      "config.d/hub.toml.bak: not read: drop-ins end in .toml. Fix: rename the file, or move it out of the folder.",
      "config.toml:1: id_scope: this is the example of the template and not the ID scope of a service. Fix: copy the ID scope from the overview page of your Device Provisioning Service in the Azure portal.",
    ]);
  });
});

describe("the sources of a process", () => {
  it("are the package's folders, unless systemd names others", () => {
    expect(configSources("/etc/latebind/config.toml", {})).toEqual({
      file: "/etc/latebind/config.toml",
      stateDirectory: "/var/lib/latebind",
    });
    const env = { CREDENTIALS_DIRECTORY: "/run/credentials/a", STATE_DIRECTORY: "/var/lib/a:/var/lib/b" };
    expect(configSources("/opt/c.toml", env)).toEqual({
      file: "/opt/c.toml",
      credentialsDirectory: "/run/credentials/a",
      stateDirectory: "/var/lib/a",
    });
  });
});
