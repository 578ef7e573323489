import { randomBytes } from "node:crypto";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { Gateway } from "./gateway.ts";
import { buildPackages, type Packages } from "./packages.ts";

const folder = new TemporaryFolder();
let packages: Packages;

beforeAll(async () => {
  packages = await buildPackages(folder.path);
});

afterAll(() => {
  folder[Symbol.dispose]();
});

const identitySchema = v.object({ registrationId: v.string(), endorsementKey: v.string() });
const acknowledgement = v.object({ ac: v.number(), ad: v.optional(v.string()) });

/** Every feature in its sandbox, nothing switched off. */
describe.each(["bookworm", "trixie"] as const)("with the sandbox on, on Debian %s", (release) => {
  let gateway: Gateway;
  const run = async (script: string) => gateway.machine.run(script);
  const restarted = async () =>
    gateway.connected(async () => run("systemctl daemon-reload; systemctl restart latebind"));
  const dropIn = async (name: string, text: string) =>
    gateway.machine.write(`/etc/systemd/system/latebind.service.d/${name}.conf`, `[Service]\n${text}\n`);

  /** Waits until the twin says how `property` went. @returns the acknowledgement. */
  const acknowledged = async (property: string, isSo: (ac: number) => boolean) => {
    const deadline = Date.now() + 20_000;
    for (;;) {
      const { reported } = gateway.cloud.levers.twin("test", "gw-0042");
      const found = v.safeParse(acknowledgement, reported.properties[property]);
      if (found.success && isSo(found.output.ac)) return found.output;
      if (Date.now() > deadline) throw new Error(`${property}: ${JSON.stringify(reported.properties)}`);
      await gateway.cloud
        .waitFor((event) => event.kind === "twin-patch", 1_000, gateway.cloud.journal.lastSeq)
        .catch(() => {});
    }
  };

  beforeAll(async () => {
    gateway = await Gateway.boot(release);
    await gateway.commission(packages);
  });

  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
  });

  it("a file is refused where no drop-in allows its folder, and says so; and written where one does", async () => {
    await run("install -d -o latebind /etc/my-app");
    await gateway.machine.write(
      "/etc/latebind/config.d/apply.toml",
      '[[apply]]\nproperty = "site"\nfile = "/etc/my-app/site.json"\n',
    );
    await restarted();
    const refused = await acknowledged("site", (ac) => ac === 500);
    expect(refused.ad).toMatch(/read-only|EROFS/);
    await dropIn("paths", "ReadWritePaths=/etc/my-app");
    await restarted();
    await acknowledged("site", (ac) => ac === 200);
    expect(JSON.parse(await run("cat /etc/my-app/site.json"))).toEqual({ name: "plant 7" });
  });

  it("a handler runs, without any right of root's, and cannot run what it wrote itself", async () => {
    const handler = `#!/bin/sh
cat > /var/lib/latebind/handler-input
touch /usr/handler-was-here 2>/dev/null && exit 1
cp /usr/bin/true /var/lib/latebind/true && /var/lib/latebind/true 2>/dev/null && exit 1
id -un > /var/lib/latebind/handler-user
`;
    await gateway.machine.write("/etc/latebind/handlers/led", handler, 0o755);
    await run("chown -R root:root /etc/latebind/handlers");
    await gateway.machine.write(
      "/etc/latebind/config.d/handler.toml",
      '[[apply]]\nproperty = "led"\nhandler = "led"\n',
    );
    gateway.cloud.levers.patchTwin("test", "gw-0042", { desired: { led: { on: true } } });
    await restarted();
    await acknowledged("led", (ac) => ac === 200);
    expect(JSON.parse(await run("cat /var/lib/latebind/handler-input"))).toEqual({ on: true });
    expect(await run("cat /var/lib/latebind/handler-user")).toBe("latebind");
  });

  it("the helper does as root what the configuration names, where its drop-in allows it, and ends when idle", async () => {
    await run("install -d /etc/root-app");
    await gateway.machine.write(
      "/etc/latebind/config.d/root.toml",
      `[[apply]]
property = "rooted"
file = "/etc/root-app/rooted.json"
mode = "0600"
privileged = true
[[apply]]
property = "who"
handler = "who"
privileged = true
`,
    );
    await gateway.machine.write(
      "/etc/latebind/handlers/who",
      "#!/bin/sh\nid -un > /etc/root-app/who\n",
      0o755,
    );
    gateway.cloud.levers.patchTwin("test", "gw-0042", { desired: { rooted: { depth: 3 }, who: 1 } });
    await restarted();
    expect((await acknowledged("rooted", (ac) => ac === 500)).ad).toMatch(/read-only|EROFS/);
    await run(`mkdir -p /etc/systemd/system/latebind-apply.service.d
      sed 's/^#ReadWritePaths=.*/ReadWritePaths=\\/etc\\/root-app/' /usr/share/doc/latebind/examples/latebind-apply.conf \
        > /etc/systemd/system/latebind-apply.service.d/local.conf
      systemctl daemon-reload; systemctl stop latebind-apply.service`);
    await restarted();
    await acknowledged("rooted", (ac) => ac === 200);
    await acknowledged("who", (ac) => ac === 200);
    expect(
      await run("stat -c '%U %a' /etc/root-app/rooted.json; cat /etc/root-app/rooted.json /etc/root-app/who"),
    ).toMatch(/^root 600\n\{\s*"depth": 3\s*\}\s*root$/);
    const stranger = await gateway.machine.try(
      "runuser -u nobody -- perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un(\"/run/latebind-apply.sock\")) or exit 7'",
    );
    expect(stranger.exitCode).toBe(7);
    await gateway.machine.until(
      "systemctl is-active latebind-apply.service",
      (state) => state === "inactive",
      90_000,
    );
  });

  it("a key in a PKCS#11 token (SoftHSM) signs for DPS and hub", async () => {
    const key = randomBytes(32);
    gateway.cloud.levers.enrollments.put({ registrationId: "gw-token", primaryKey: key.toString("base64") });
    await gateway.machine.write("/root/key.b64", key.toString("base64"));
    await gateway.machine.write(
      "/etc/latebind/softhsm2.conf",
      "directories.tokendir = /var/lib/latebind/tokens\nobjectstore.backend = file\n",
    );
    const module = "/usr/lib/softhsm/libsofthsm2.so";
    await run(`base64 -d /root/key.b64 > /root/key.bin; install -d -o latebind -m 0700 /var/lib/latebind/tokens
      export SOFTHSM2_CONF=/etc/latebind/softhsm2.conf; set -e
      softhsm2-util --init-token --free --label gateway --pin 1234 --so-pin 12345678
      pkcs11-tool --module ${module} --token-label gateway --login --pin 1234 --write-object /root/key.bin \\
        --type secrkey --label device --id 01 --usage-sign --sensitive --private
      chown -R latebind /var/lib/latebind/tokens
      echo 1234 > /etc/latebind/pin; chown latebind /etc/latebind/pin; chmod 0600 /etc/latebind/pin; rm /root/key.*`);
    await dropIn("token", "Environment=SOFTHSM2_CONF=/etc/latebind/softhsm2.conf");
    await gateway.machine.write(
      "/etc/latebind/config.d/token.toml",
      `registration_id = "gw-token"\nkey = "pkcs11:token=gateway;object=device?module-path=${module}&pin-source=file:pin"\n`,
    );
    const { kind, ...connect } = await restarted();
    expect({ kind, ...connect }).toMatchObject({ kind: "connect", clientId: "gw-token" });
    await run("rm /etc/latebind/config.d/token.toml /etc/systemd/system/latebind.service.d/token.conf");
  });

  it("a member of the group latebind asks the running agent, and nobody else", async () => {
    await run("useradd --groups latebind member; useradd stranger");
    expect(await run("stat -c '%a %U:%G' /run/latebind/control.sock")).toBe("660 latebind:latebind");
    expect(await run("runuser -u member -- latebind status")).toContain("connected to");
    const refused = await gateway.machine.try("runuser -u stranger -- latebind status");
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain("group");
  });

  it("a TPM is the identity by the README's commands, and purging the packages leaves it as it was", async () => {
    await gateway.machine.write(
      "/etc/latebind/config.d/tpm.toml",
      '[tpm]\ntcti = "swtpm:path=/run/tpm/socket"\n',
    );
    await run(`mkdir /var/lib/tpm-test /run/tpm; systemd-run --unit=swtpm --quiet swtpm socket --tpm2 --tpmstate dir=/var/lib/tpm-test \\
      --server type=unixio,path=/run/tpm/socket,mode=0666 --ctrl type=unixio,path=/run/tpm/socket.ctrl --flags not-need-init,startup-clear`);
    const handles = "TPM2TOOLS_TCTI=swtpm:path=/run/tpm/socket tpm2_getcap handles-persistent";
    await gateway.machine.until(`${handles} && echo up`, (answer) => answer.endsWith("up"));
    await run("chmod 0666 /run/tpm/socket.ctrl");
    await gateway.followReadme(/^printf .*tpm2:/);
    const identity = v.parse(identitySchema, JSON.parse(await run("latebind identity --json")));
    gateway.cloud.levers.enrollments.put({
      registrationId: identity.registrationId,
      attestation: { type: "tpm", endorsementKey: identity.endorsementKey },
    });
    const connect = await gateway.connected(async () => gateway.followReadme(/^systemctl restart latebind/));
    expect(connect).toMatchObject({ clientId: identity.registrationId });
    const before = await run(handles);
    await run("apt-get purge -y latebind latebind-runtime 2>&1");
    expect(await run(handles)).toBe(before);
  });
});
