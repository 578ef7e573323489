import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Applier, Outcome } from "../../src/appliers/applier.ts";
import { createHandlerApplier } from "../../src/appliers/handler.ts";
import type { HandlerRule } from "../../src/config/config.ts";
import { apply, describeApplierContract, plan } from "../contract/applier.ts";
import { TemporaryFolder } from "../platform/temporary-folder.ts";

const isRoot = userInfo().uid === 0;
if (!isRoot) console.warn("skipped: only root can lay down a handler that latebind runs");

let folder: string;

beforeEach(() => {
  const temporary = new TemporaryFolder();
  onTestFinished(() => temporary[Symbol.dispose]());
  folder = temporary.path;
  mkdirSync(join(folder, "etc"));
  mkdirSync(join(folder, "usr"));
});

function write(script: string, name = "etc/network", mode = 0o755): string {
  const file = join(folder, name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, mode);
  return file;
}

function ruleOf(handler: string, timeoutMs = 1_000): HandlerRule {
  return { property: "net", kind: "handler", handler, timeoutMs, after: [], mend: false, privileged: false };
}

function create(timeoutMs = 10_000): Applier {
  const rule = ruleOf("network", timeoutMs);
  return createHandlerApplier(rule, [join(folder, "etc"), join(folder, "usr")]);
}

const read = (name: string): string => readFileSync(join(folder, name), "utf8");

function messageOf(outcome: Outcome): string {
  if (outcome.status !== "failed") throw new Error(`it is ${outcome.status}`);
  return outcome.message;
}

describe.skipIf(!isRoot)("a handler", () => {
  describe("keeps the contract", () => {
    describeApplierContract(async () => {
      write(`v=$(cat); [ "$v" = '"bad"' ] && exit 65; printf %s "$v" > ${folder}/state`);
      return {
        create,
        legal: [{ mtu: 1500 }, { mtu: 9000 }],
        // Legal values are the handler's own business: `parse` takes all.
        illegal: [],
        observe: async () => (existsSync(join(folder, "state")) ? read("state") : undefined),
      };
    });
  });

  test("gets the value on standard input, and the rest in an environment that is otherwise bare", async () => {
    write(`cat > ${folder}/stdin; env -0 | sort -z | tr '\\0' '\\n' > ${folder}/env; pwd > ${folder}/pwd`);
    await apply(create(), { a: "ü" }, { version: 7, previous: { a: 1 } });
    expect([read("stdin"), read("pwd")]).toEqual(['{"a":"ü"}\n', "/\n"]);
    expect(
      read("env")
        .trim()
        .split("\n")
        .filter((line) => !/^(_|OLDPWD|PWD|SHLVL)=/.test(line)),
    ).toEqual([
      'LATEBIND_PREVIOUS={"a":1}',
      "LATEBIND_PROPERTY=net",
      "LATEBIND_REASON=desired",
      "LATEBIND_VERSION=7",
      "LC_ALL=C",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
  });

  test("is not told a previous value that Linux would not take, and runs all the same", async () => {
    write(`printf %s "$LATEBIND_PREVIOUS" | wc -c > ${folder}/length`);
    for (const [count, told] of [
      [120 * 1024 - 2, 120 * 1024],
      [120 * 1024 - 1, 0],
      [200 * 1024, 0],
    ] as const) {
      const outcome = await apply(create(), 1, { version: 7, previous: "x".repeat(count) });
      expect(outcome).toMatchObject({ status: "applied" });
      expect(Number(read("length"))).toBe(told);
    }
  });

  test.each<[string, string, Outcome]>([
    ["0", "exit 0", { status: "applied", changed: ["ran HANDLER"] }],
    ["0 with what it changed", `echo '{"changed":["eth0"]}'`, { status: "applied", changed: ["eth0"] }],
    ["10", "exit 10", { status: "unchanged" }],
    [
      "65",
      "echo 'no such link' >&2; exit 65",
      { status: "rejected", problems: ["net: not legal: no such link"] },
    ],
    [
      "65 with its problems",
      `echo '{"problems":["net.mtu: at most 9000"]}'; exit 65`,
      { status: "rejected", problems: ["net.mtu: at most 9000"] },
    ],
    [
      "75",
      "echo 'dpkg is locked' >&2; exit 75",
      {
        status: "failed",
        code: "appliers/handler-busy",
        message: "HANDLER asks to be called later: dpkg is locked",
        changed: [],
      },
    ],
    [
      "3",
      `echo 'last line' >&2; exit 3`,
      {
        status: "failed",
        code: "appliers/handler-failed",
        message: "HANDLER exited with 3: last line",
        changed: ["HANDLER"],
      },
    ],
  ])("answers with exit code %s", async (_, script, expected) => {
    const file = write(script);
    const outcome = await apply(create(), 1);
    expect(JSON.parse(JSON.stringify(outcome).replaceAll(file, "HANDLER"))).toEqual(expected);
  });

  test.each(["echo done", "echo '[1]'", `echo '{"changed":"eth0"}'`, "head -c 100000 /dev/zero"])(
    "that writes something else to standard output is told so: %s",
    async (script) => {
      write(script);
      expect(await apply(create(), 1)).toMatchObject({ status: "failed", code: "appliers/handler-output" });
    },
  );

  test("that fails is called once more with the value that was in force", async () => {
    write(`v=$(cat); echo "$LATEBIND_REASON $v" >> ${folder}/log; [ "$v" = 1 ]`);
    expect(await apply(create(), 2, { version: 2, previous: 1 })).toMatchObject({
      status: "failed",
      code: "appliers/handler-failed",
      changed: [],
    });
    expect(read("log")).toBe("desired 2\nroll-back 1\n");
  });

  test("that fails with the old value too is told as a change, and nothing is known to be in force", async () => {
    const file = write("exit 1");
    expect(await apply(create(), 2, { version: 2, previous: 1 })).toMatchObject({
      changed: [`${file} failed with the previous value too`],
    });
  });

  test("that asks for later has touched nothing and is not rolled back", async () => {
    write(`echo called >> ${folder}/log; exit 75`);
    await apply(create(), 2, { version: 2, previous: 1 });
    expect(read("log")).toBe("called\n");
  });

  test("of the operator comes before the one of a package", async () => {
    write("exit 10");
    write("exit 0", "usr/network");
    expect(await apply(create(), 1)).toEqual({ status: "unchanged" });
  });

  test("is ended when the signal is aborted, with what it started", async () => {
    write(`sleep 60 & echo $! > ${folder}/pid; wait`);
    const controller = new AbortController();
    const applier = create();
    const work = applier.execute(await plan(applier, 1), controller.signal);
    await expect.poll(() => existsSync(join(folder, "pid")) && read("pid").endsWith("\n")).toBe(true);
    controller.abort(new Error("stop"));
    await expect(work).rejects.toThrow("was stopped");
    expect(isRunning(read("pid").trim())).toBe(false);
  });
});

describe.skipIf(!isRoot)("a handler that is not root's alone does not run", () => {
  test.each<[string, (file: string) => void, string]>([
    ["others may write", (file) => chmodSync(file, 0o757), "may be written by others"],
    ["its group may write", (file) => chmodSync(file, 0o775), "may be written by others"],
    ["it belongs to another user", (file) => chownSync(file, 1, 0), "belongs to user 1"],
    ["it may not be executed", (file) => chmodSync(file, 0o644), "may not be executed"],
    [
      "others may write in its folder",
      () => chmodSync(join(folder, "etc"), 0o777),
      "where others than root may write",
    ],
    ["its folder belongs to another user", () => chownSync(join(folder, "etc"), 1, 0), "belongs to user 1"],
    ["others may write above its folder", () => chmodSync(folder, 0o777), "where others than root may write"],
  ])("%s", async (_, spoil, because) => {
    const file = write(`touch ${folder}/ran`);
    spoil(file);
    const outcome = await apply(create(), 1);
    expect(outcome).toMatchObject({ status: "failed", code: "appliers/handler-refused", changed: [] });
    expect(messageOf(outcome)).toContain(because);
    expect(existsSync(join(folder, "ran"))).toBe(false);
  });

  test("it is a symbolic link, though to a good one", async () => {
    write(`touch ${folder}/ran`, "good");
    symlinkSync(join(folder, "good"), join(folder, "etc", "network"));
    expect(messageOf(await apply(create(), 1))).toContain("is a symbolic link");
    expect(existsSync(join(folder, "ran"))).toBe(false);
  });

  test("its folder is a symbolic link", async () => {
    write("exit 0", "usr/network");
    const rule = ruleOf("network");
    symlinkSync(join(folder, "usr"), join(folder, "alias"));
    const applier = createHandlerApplier(rule, [join(folder, "alias")]);
    expect(messageOf(await apply(applier, 1))).toContain("which is a symbolic link");
  });

  test("it is a folder or a pipe, and neither holds us up", async () => {
    mkdirSync(join(folder, "etc", "network"));
    expect(messageOf(await apply(create(), 1))).toContain("is not a regular file");
    const rule = ruleOf("pipe");
    execFileSync("/usr/bin/mkfifo", [join(folder, "etc", "pipe")]);
    const applier = createHandlerApplier(rule, [join(folder, "etc")]);
    expect(messageOf(await apply(applier, 1))).toContain("is not a regular file");
  });

  test("one that is refused does not give way to the one of a package", async () => {
    write("exit 0", "etc/network", 0o777);
    write("exit 0", "usr/network");
    expect(await apply(create(), 1)).toMatchObject({ code: "appliers/handler-refused" });
  });

  test("it is not there", async () => {
    const outcome = await apply(create(), 1);
    expect(outcome).toMatchObject({ status: "failed", code: "appliers/handler-missing", changed: [] });
  });
});

describe.skipIf(!isRoot)("a handler that goes wild", () => {
  test.each([
    ["never ends", "exec sleep 600"],
    ["does not hear SIGTERM", "trap '' TERM; while :; do sleep 600; done"],
  ])(
    "and %s is ended after its timeout",
    async (_, script) => {
      write(script);
      expect(await apply(create(300), 1)).toMatchObject({
        status: "failed",
        code: "platform/command-timeout",
      });
    },
    15_000,
  );

  test("and floods a gigabyte costs no memory", async () => {
    write("head -c 1000000000 /dev/zero; head -c 1000000000 /dev/zero >&2");
    const before = process.memoryUsage().rss;
    expect(await apply(create(60_000), 1)).toMatchObject({ code: "appliers/handler-output" });
    expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
  }, 60_000);

  test("and leaves processes behind: they are ended with it", async () => {
    write(`for i in 1 2 3; do sleep 600 & echo $! >> ${folder}/pids; done`);
    expect(await apply(create(), 1)).toMatchObject({ status: "applied" });
    const pids = read("pids").trim().split("\n");
    expect(pids).toHaveLength(3);
    await expect.poll(() => pids.filter(isRunning)).toEqual([]);
  });

  test("and does not read its input is no trouble", async () => {
    write("exit 0");
    expect(await apply(create(), "x".repeat(30_000))).toMatchObject({ status: "applied" });
  });
});

/** One that has ended stays as a zombie where the machine's first process does not collect it. */
function isRunning(pid: string): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
