import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { afterAll, describe, expect, it } from "vitest";
import { startCloud } from "./cloud.ts";
import { textMatching } from "./matchers.ts";

const main = fileURLToPath(new URL("main.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "cloud-main-"));
afterAll(() => rmSync(folder, { recursive: true }));

function start(...words: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [main, ...words]);
}

type Lines = AsyncIterator<string, unknown>;

function linesOf(child: ChildProcessWithoutNullStreams): Lines {
  return createInterface({ input: child.stdout })[Symbol.asyncIterator]();
}

async function nextLine(lines: Lines): Promise<string> {
  const { value } = await lines.next();
  return String(value);
}

/** Everything that stands before the first event. */
async function readHead(lines: Lines): Promise<string> {
  const head: string[] = [];
  while (head.at(-1)?.includes("Ctrl-C") !== true) head.push(await nextLine(lines));
  return head.join("\n");
}

function adminUrlIn(head: string): string {
  return /^Admin API +(.+)$/m.exec(head)?.[1] ?? "";
}

async function cutDps(adminUrl: string): Promise<void> {
  await fetch(`${adminUrl}/endpoints/dps/line`, { method: "PUT", body: '{"up":false}' });
}

describe("npm run cloud complains without a stack, and ends,", () => {
  const wrong = join(folder, "wrong.toml");
  writeFileSync(wrong, '[enrollments.gateway-1]\nhub = "moon"\ncolour = "red"\n');

  it.each([
    ["about an option", ["--port", "70000"], /^error: option '--port <number>' .*no port number/],
    ["about a network that is not loopback", ["--network", "10.0.0"], /not like 127\.31\.7/],
    ["about an unknown option", ["--moon"], /^error: unknown option '--moon'/],
    ["about a hub's name", ["--hub", "Moon"], /^a hub's name is/],
    [
      "about everything in a file",
      ["--file", wrong],
      /^.*wrong.toml cannot be used:\n {2}enrollments.gateway-1.colour: .*\n {2}enrollments.gateway-1.hub: there is no hub moon$/,
    ],
  ])("%s", async (_, words, complaint) => {
    const child = start(...words);
    const [printed, said] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    expect(printed).toBe("");
    expect(said.trim()).toMatch(complaint);
    expect(child.exitCode).toBe(1);
  });

  it("about a network that is taken", async () => {
    await using other = await startCloud();
    const child = start("--network", other.network);
    const [said] = await Promise.all([text(child.stderr), text(child.stdout), once(child, "close")]);
    expect(said).toBe(
      `listen EADDRINUSE: address already in use ${other.network}.1:8883: something listens there already\n`,
    );
    expect(child.exitCode).toBe(1);
  });
});

describe("npm run cloud", () => {
  it.each(["SIGINT", "SIGTERM"] as const)(
    "prints what a device needs, and %s leaves nothing behind",
    async (signal) => {
      const child = start("--quiet", "--scope", "0ne00TEST", "--hub", "plant");
      const printed = await readHead(linesOf(child));
      const caPath = /^CA +(.+)$/m.exec(printed)?.[1] ?? "";
      expect(readFileSync(caPath, "utf8")).toContain("BEGIN CERTIFICATE");
      const closed = once(child, "close");
      child.kill(signal);
      await closed;
      expect(child.exitCode).toBe(0);
      expect(printed).toMatch(/^ID scope +0ne00TEST$/m);
      expect(printed).toMatch(/^Hub +127\.\d+\.\d+\.2:8883 \(plant\)$/m);
      expect(existsSync(dirname(caPath))).toBe(false);
    },
  );

  it("ends when npm is told to, and when nobody reads any more", async () => {
    const root = fileURLToPath(new URL("../..", import.meta.url));
    const viaNpm = spawn("npm", ["run", "--silent", "cloud"], { cwd: root });
    const adminUrl = adminUrlIn(await readHead(linesOf(viaNpm)));
    expect((await fetch(`${adminUrl}/clock`)).ok).toBe(true);
    const closed = once(viaNpm, "close");
    viaNpm.kill("SIGTERM");
    await closed;
    await expect(fetch(`${adminUrl}/clock`)).rejects.toThrow("fetch failed");

    const unread = start();
    const url = adminUrlIn(await readHead(linesOf(unread)));
    unread.stdout.destroy();
    const exited = once(unread, "exit");
    await cutDps(url);
    await exited;
    expect(unread.exitCode).toBe(0);
  });

  it("says each event in words, or in JSON behind a line with the addresses", async () => {
    const words = start();
    const said = linesOf(words);
    await cutDps(adminUrlIn(await readHead(said)));
    expect(await nextLine(said)).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}dps {10}line is down$/);
    const bothClosed = [once(words, "close")];
    words.kill();

    const json = start("--json");
    bothClosed.push(once(json, "close"));
    const events = linesOf(json);
    const about = v.parse(v.looseObject({ adminUrl: v.string() }), JSON.parse(await nextLine(events)));
    expect(about).toMatchObject({ idScope: textMatching(/^0ne/), endpoints: [{ name: "dps" }, {}, {}] });
    await cutDps(about.adminUrl);
    const event: unknown = JSON.parse(await nextLine(events));
    expect(event).toMatchObject({ seq: 1, endpoint: "dps", kind: "line", up: false });
    json.kill();
    await Promise.all(bothClosed);
  });
});
