import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

/** The order of the rooms: a room may import from platform, from itself, and the types of rooms before it. */
const order = [
  "platform",
  "config",
  "identity",
  "mqtt",
  "provisioning",
  "hub",
  "twin",
  "appliers",
  "report",
  "agent",
  "control",
  "cli",
];
/** These see everything, because putting parts together is what they are for. */
const overseers = new Set(["agent", "control", "cli", "main"]);
/** Who may touch the process, the clocks and the operating system; the rest is handed what it needs. */
const outsideWorld = new Set(["platform", "mqtt", "control", "main"]);
const worldly = /from "node:(fs|fs\/promises|child_process|net|tls|http|https|dgram|timers\/promises)"/;
const ambient = /\b(process\.|Date\.now\(|setTimeout\(|setInterval\()/;

const root = resolve(import.meta.dirname, "..");

interface SourceFile {
  readonly path: string;
  readonly room: string;
  readonly code: string;
}

function sources(folder: string): readonly SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.includes("node_modules"))
    .map((name) => {
      const path = join(folder, name);
      return { path, room: roomOf(path), code: withoutComments(readFileSync(join(root, path), "utf8")) };
    });
}

function roomOf(path: string): string {
  const [, first = "", ...rest] = path.split("/");
  return rest.length === 0 ? first.replace(/\.ts$/, "") : first;
}

function withoutComments(code: string): string {
  return code.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*$/gm, "");
}

/** Every import of a project file: where from, where to, and whether it is of types only. */
function imports(file: SourceFile): readonly { readonly to: string; readonly isTypeOnly: boolean }[] {
  const pattern = /(?:import|export)\s+(type\s)?([^;"']*?\sfrom\s)?["'](\.[^"']+)["']/g;
  return [...file.code.matchAll(pattern)].map(([, type, , target = ""]) => ({
    to: relative(root, resolve(root, dirname(file.path), target)),
    isTypeOnly: type !== undefined,
  }));
}

const src = sources("src");

test("there is something to check", () => {
  expect(src.length).toBeGreaterThan(50);
  expect(src.flatMap(imports).length).toBeGreaterThan(100);
});

test("imports point one way: to platform, to the own room, or to the types of rooms before", () => {
  const wrong = src
    .filter(({ room }) => !overseers.has(room))
    .flatMap((file) =>
      imports(file).flatMap(({ to, isTypeOnly }) => {
        const target = roomOf(to);
        if (target === file.room || target === "platform") return [];
        const isBefore = order.indexOf(target) < order.indexOf(file.room) && order.includes(target);
        return isBefore && isTypeOnly ? [] : [`${file.path} imports ${isTypeOnly ? "types of " : ""}${to}`];
      }),
    );
  expect(wrong).toEqual([]);
});

test("every room is one of the plan's", () => {
  expect(
    [...new Set(src.map(({ room }) => room))].filter((room) => room !== "main" && !order.includes(room)),
  ).toEqual([]);
});

test("appliers know neither hub nor mqtt, identity knows nothing of the services", () => {
  const forbidden: Readonly<Record<string, readonly string[]>> = {
    appliers: ["hub", "mqtt", "provisioning"],
    identity: ["provisioning", "hub", "mqtt"],
  };
  const wrong = src.flatMap((file) =>
    imports(file)
      .filter(({ to }) => forbidden[file.room]?.includes(roomOf(to)) === true)
      .map(({ to }) => `${file.path} imports ${to}`),
  );
  expect(wrong).toEqual([]);
});

test("the outside world is touched in platform, mqtt, control and main only", () => {
  const wrong = src
    .filter(({ path, room, code }) => {
      // HTTPS is the whole business of these files.
      const isTransport = ["over-https.ts", "server-time.ts"].includes(path.replace("src/provisioning/", ""));
      return !outsideWorld.has(room) && ((worldly.test(code) && !isTransport) || ambient.test(code));
    })
    .map(({ path }) => path);
  expect(wrong).toEqual([]);
});

test("the strings of the wire stand in the two wire.ts only", () => {
  const wrong = src
    .filter(
      ({ path, code }) =>
        !path.endsWith("/wire.ts") && /\$dps\/|\$iothub\/|registrations\/|\/devices\//.test(code),
    )
    .map(({ path }) => path);
  expect(wrong).toEqual([]);
});

test("the agent and the local cloud share no code", () => {
  const crossing = [
    ...src.flatMap((file) =>
      imports(file)
        .filter(({ to }) => to.startsWith("test/"))
        .map(({ to }) => `${file.path} -> ${to}`),
    ),
    ...sources("test/cloud").flatMap((file) =>
      imports(file)
        .filter(({ to }) => to.startsWith("src/"))
        .map(({ to }) => `${file.path} -> ${to}`),
    ),
  ];
  expect(crossing).toEqual([]);
});

test("no file is a barrel or a drawer for odds and ends", () => {
  const names = /(^|\/)(index|utils?|helpers?|common|manager|misc)\.ts$/;
  expect(src.filter(({ path }) => names.test(path)).map(({ path }) => path)).toEqual([]);
});
