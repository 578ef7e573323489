import { execFile } from "node:child_process";
import { chmodSync, chownSync, existsSync, readFileSync } from "node:fs";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { userInfo } from "node:os";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { HelperMachine } from "./helper-machine.ts";

const isRoot = userInfo().uid === 0;
if (!isRoot) console.warn("skipped: the privileged helper runs as root");
const activate = "/usr/bin/systemd-socket-activate";
if (!existsSync(activate)) console.warn(`skipped: ${activate} is missing`);

const rules =
  '[[apply]]\nproperty = "net"\nhandler = "net"\ntimeout = "1s"\nprivileged = true\n[[apply]]\nproperty = "site"\nfile = "DIR/targets/site.json"\nprivileged = true\n';
const site = (value: unknown) => ({ do: "apply", property: "site", version: 1, value });
const net = { do: "apply", property: "net", version: 1, value: 1 };
const applied = { status: "done", outcome: { status: "applied" } };

async function machine(): Promise<HelperMachine> {
  const made = new HelperMachine(rules);
  onTestFinished(async () => made[Symbol.asyncDispose]());
  await made.start();
  return made;
}

function connect(path: string): Socket {
  const socket = createConnection(path).on("error", () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function closed(socket: Socket): Promise<void> {
  const { promise, resolve: done } = Promise.withResolvers<undefined>();
  socket.once("close", () => done(undefined));
  if (socket.destroyed) done(undefined);
  await promise;
}

describe.skipIf(!isRoot)("a malicious client on the helper's socket", () => {
  test("that sends a byte at a time is shut out after five seconds, and others are served meanwhile", async () => {
    const made = await machine();
    const slow = connect(made.socket);
    const drip = setInterval(() => slow.write("x"), 200);
    onTestFinished(() => clearInterval(drip));
    expect(await made.request(site(1))).toMatchObject(applied);
    await closed(slow);
    expect(made.recording.events).toContainEqual(
      expect.objectContaining({ event: "helper.refused", because: "too slow" }),
    );
  });

  test("that sends megabytes without an end is shut out", async () => {
    const made = await machine();
    expect(await made.raw(Buffer.alloc(8 * 1024 * 1024, "x"))).toBe("");
    expect(made.recording.events).toMatchObject([{ event: "helper.refused", because: "too large" }]);
    expect(await made.request(site(1))).toMatchObject(applied);
  });

  test("that sends 65 KiB is shut out: the hub sends no value of that size", async () => {
    const made = await machine();
    expect(await made.raw(`${JSON.stringify(site("x".repeat(65 * 1024)))}\n`)).toBe("");
    expect(made.recording.events).toMatchObject([{ event: "helper.refused", because: "too large" }]);
    expect(await made.request(site("x".repeat(32 * 1024)))).toMatchObject(applied);
  });

  test("does not make the log long by the name of a property", async () => {
    const made = await machine();
    await made.request({ ...net, property: "x".repeat(60_000) });
    expect(made.recording.names()).toEqual(["helper.refused"]);
    expect(made.recording.lines.join("").length).toBeLessThan(1_000);
  });

  test("that opens hundreds of connections does not keep the helper from anybody for longer than they are open", async () => {
    const made = await machine();
    const sockets = Array.from({ length: 300 }, () => connect(made.socket));
    await made.recording.until("helper.refused");
    // 16 are let in, and end after five seconds; the others are shut out at once.
    await Promise.all(sockets.slice(16).map(closed));
    for (const socket of sockets) socket.destroy();
    await expect.poll(async () => made.request(site(1)).catch(() => undefined)).toMatchObject(applied);
  });

  test("that goes away at once, or in the middle, is no trouble", async () => {
    const made = await machine();
    for (const bytes of ["", "{", '{"do":']) {
      const socket = connect(made.socket);
      socket.write(bytes);
      socket.destroy();
    }
    expect(await made.request(site(1))).toMatchObject(applied);
  });

  test("that sends a second question behind the first gets one answer", async () => {
    const made = await machine();
    made.writeHandler("net", "echo ran >> DIR/state/log");
    const text = await made.raw(`${JSON.stringify(net)}\n${JSON.stringify(net)}\n`);
    expect(text.trim().split("\n")).toHaveLength(1);
    expect(readFileSync(made.folder.join("state", "log"), "utf8")).toBe("ran\n");
  });

  test("that floods behind its question is answered and not heard", async () => {
    const made = await machine();
    const text = await made.raw(
      Buffer.concat([Buffer.from(`${JSON.stringify(site(1))}\n`), Buffer.alloc(4 * 1024 * 1024)]),
    );
    expect(JSON.parse(text)).toMatchObject(applied);
  });

  test("does not get more than the property has: 32 kB of nested JSON is written as JSON or refused", async () => {
    const made = await machine();
    const deep = `${'{"a":'.repeat(60)}1${"}".repeat(60)}`;
    expect(await made.ask(`{"do":"apply","property":"site","version":1,"value":${deep}}`)).toMatchObject(
      applied,
    );
    const wide = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`k${index}`, [index]]));
    expect(await made.request(site(wide))).toMatchObject(applied);
  });
});

describe.skipIf(!isRoot)("a handler of root's that goes wild", () => {
  test.each([
    ["never ends", "exec sleep 600", "platform/command-timeout"],
    ["does not hear SIGTERM", "trap '' TERM; while :; do sleep 600; done", "platform/command-timeout"],
    ["floods without end", "exec cat /dev/zero", "platform/command-timeout"],
    [
      "forks without end",
      "for i in 1 2 3 4 5 6 7 8 9; do sleep 600 & done; wait",
      "platform/command-timeout",
    ],
  ])(
    "and %s is ended, told, and followed by the next question",
    async (_, script, code) => {
      const made = await machine();
      made.writeHandler("net", script);
      expect(await made.request(net)).toMatchObject({ outcome: { status: "failed", code } });
      expect(made.recording.events).toContainEqual(
        expect.objectContaining({ event: "helper.answered", code }),
      );
      expect(await made.request(site(1))).toMatchObject(applied);
    },
    30_000,
  );
});

describe.skipIf(!isRoot)("a local user", () => {
  test("cannot connect, not even one of the agent's group; the agent's own user can", async () => {
    const made = await machine();
    const agent = { latebind: 12_345, root: 0 };
    const unit = readFileSync(resolve(import.meta.dirname, "../../systemd/latebind-apply.socket"), "utf8");
    const setting = (name: string) => new RegExp(`^${name}=(.+)$`, "m").exec(unit)?.[1] ?? "";
    const idOf = (name: string) => (name === "latebind" ? agent.latebind : agent.root);
    chmodSync(made.folder.path, 0o755);
    chownSync(made.socket, idOf(setting("SocketUser")), idOf(setting("SocketGroup")));
    chmodSync(made.socket, Number.parseInt(setting("SocketMode"), 8));
    const script = `require("node:net").connect(${JSON.stringify(made.socket)}).on("connect",()=>{console.log("in");process.exit()}).on("error",(e)=>{console.log(e.code);process.exit()})`;
    const as = async (user: number, ...options: readonly string[]) => {
      const args = [`--reuid=${user}`, "--regid=65534", ...options, "/usr/bin/env", "node", "-e", script];
      const { stdout } = await promisify(execFile)("/usr/bin/setpriv", args);
      return stdout.trim();
    };
    expect(await as(65_534, "--clear-groups")).toBe("EACCES");
    expect(await as(65_534, `--groups=${agent.latebind}`)).toBe("EACCES");
    expect(await as(agent.latebind, "--clear-groups")).toBe("in");
  });
});

test.skipIf(!isRoot || !existsSync(activate))(
  "systemd starts the helper with the first question",
  async () => {
    await using made = new HelperMachine(rules);
    const main = resolve(import.meta.dirname, "../../src/main.ts");
    const socket = made.folder.join("systemd.sock");
    const command = [process.execPath, main, "apply-helper", "--config", made.sources.file];
    const args = ["-l", socket, "-E", `STATE_DIRECTORY=${made.sources.stateDirectory}`, ...command];
    const child = execFile(activate, args);
    onTestFinished(() => void child.kill("SIGKILL"));
    await expect.poll(() => existsSync(socket)).toBe(true);
    const answer = await new Promise<string>((done) => {
      const client = connect(socket).on("data", (chunk) => done(chunk.toString("utf8")));
      client.write(`${JSON.stringify(site({ a: 1 }))}\n`);
    });
    expect(JSON.parse(answer)).toMatchObject(applied);
    expect(readFileSync(made.folder.join("targets", "site.json"), "utf8")).toBe('{\n  "a": 1\n}\n');
    child.kill("SIGTERM");
    expect(await new Promise((done) => void child.once("exit", (code) => done(code)))).toBe(0);
  },
);

test.skipIf(!isRoot || !existsSync(activate))(
  "without a state directory of its own the helper does not start, and says why",
  async () => {
    await using made = new HelperMachine(rules);
    const main = resolve(import.meta.dirname, "../../src/main.ts");
    const socket = made.folder.join("systemd.sock");
    const command = [process.execPath, main, "apply-helper", "--config", made.sources.file];
    const child = execFile(activate, ["-l", socket, ...command]);
    onTestFinished(() => void child.kill("SIGKILL"));
    let said = "";
    child.stdout?.on("data", (text) => {
      said += String(text);
    });
    await expect.poll(() => existsSync(socket)).toBe(true);
    const ended = once(child, "exit");
    connect(socket);
    expect(await ended).toEqual([1, null]);
    expect(said).toContain("STATE_DIRECTORY is not set");
  },
);

test("without systemd it does not start, and says why", async () => {
  const main = resolve(import.meta.dirname, "../../src/main.ts");
  const outcome: unknown = await promisify(execFile)(process.execPath, [main, "apply-helper"]).catch(
    (error: unknown) => error,
  );
  expect(outcome).toMatchObject({ code: 1 });
  expect(JSON.stringify(outcome)).toContain("for latebind-apply.socket to start");
});
