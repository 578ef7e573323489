import {
  chmodSync,
  chownSync,
  existsSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { describe, expect, onTestFinished, test } from "vitest";
import { apply, describeApplierContract } from "../contract/applier.ts";
import { HelperMachine } from "./helper-machine.ts";

const isRoot = userInfo().uid === 0;
if (!isRoot) console.warn("skipped: the privileged helper runs as root");

const fileRule =
  '[[apply]]\nproperty = "site"\nfile = "DIR/targets/site.json"\nmode = "0600"\nprivileged = true\n';
const handlerRule =
  '[[apply]]\nproperty = "net"\nhandler = "net"\ntimeout = "2s"\nprivileged = true\nconfirm = "1m"\n';
const never = new AbortController().signal;

async function machine(rules: string = fileRule + handlerRule): Promise<HelperMachine> {
  const made = new HelperMachine(rules);
  onTestFinished(async () => made[Symbol.asyncDispose]());
  await made.start();
  return made;
}

const done = (outcome: object) => ({ status: "done", outcome });
const refusal = (because: string) =>
  done({
    status: "failed",
    code: "appliers/helper-refused",
    message: `the privileged helper refused: ${because}`,
    changed: [],
  });

describe.skipIf(!isRoot)("an applier that goes by the helper", () => {
  describe("keeps the contract with a file", () => {
    describeApplierContract(async () => {
      const made = await machine();
      const applier = await made.applier("site");
      const target = made.folder.join("targets", "site.json");
      return {
        create: () => applier,
        legal: [{ a: 1 }, { a: 2 }],
        illegal: [],
        observe: async () =>
          existsSync(target) ? [readFileSync(target, "utf8"), statSync(target).mode & 0o7777] : undefined,
      };
    });
  });

  describe("keeps the contract with a handler and a schema", () => {
    describeApplierContract(async () => {
      const made = await schemaMachine();
      made.writeHandler("net", "cat > DIR/state/net");
      const applier = await made.applier("net");
      return {
        create: () => applier,
        legal: [{ mtu: 1500 }, { mtu: 9000 }],
        illegal: [1, {}, { mtu: "x" }],
        observe: async () =>
          existsSync(made.folder.join("state", "net"))
            ? readFileSync(made.folder.join("state", "net"), "utf8")
            : undefined,
      };
    });
  });

  test("puts back what it kept itself: the agent does not say what", async () => {
    const made = await machine();
    made.writeHandler("net", `v=$(cat); echo "$LATEBIND_REASON $v $LATEBIND_PREVIOUS" >> DIR/state/log`);
    const applier = await made.applier("net");
    await apply(applier, "good");
    const kept = await applier.keep?.({ version: 2 }, never);
    expect(kept).toEqual({ status: "kept", kept: {} });
    await apply(applier, "bad", { version: 2, previous: "a lie" });
    expect(await applier.restore?.({ value: "another lie" }, { version: 2 }, never)).toMatchObject({
      status: "applied",
    });
    expect(readFileSync(made.folder.join("state", "log"), "utf8")).toBe(
      'desired "good" \ndesired "bad" "good"\nroll-back "good" \n',
    );
  });

  test("finds drift in a file that only root may read", async () => {
    const made = await machine();
    const applier = await made.applier("site");
    await apply(applier, { a: 1 });
    const parsed = await applier.parse({ a: 1 });
    if (parsed.status === "rejected") throw new Error("rejected");
    const steps = applier.plan(parsed.value, { version: 1 });
    expect(await applier.findDrift?.(steps, never)).toEqual([]);
    writeFileSync(made.folder.join("targets", "site.json"), "edited");
    expect(await applier.findDrift?.(steps, never)).toEqual([
      `${made.folder.join("targets", "site.json")} has another content`,
    ]);
  });

  test("says how to mend it when there is no helper", async () => {
    const made = new HelperMachine(fileRule);
    onTestFinished(async () => made[Symbol.asyncDispose]());
    const outcome = await apply(await made.applier("site"), 1);
    expect(outcome).toMatchObject({ code: "appliers/helper-unreachable", changed: [] });
    expect(JSON.stringify(outcome)).toContain("systemctl enable --now latebind-apply.socket");
  });

  test("calls the handler off when the agent does", async () => {
    const made = await machine();
    made.writeHandler("net", "echo $$ > DIR/state/pid; exec sleep 60");
    const applier = await made.applier("net");
    const controller = new AbortController();
    const parsed = await applier.parse(1);
    if (parsed.status === "rejected") throw new Error("rejected");
    const work = applier.execute(applier.plan(parsed.value, { version: 1 }), controller.signal);
    await expect.poll(() => existsSync(made.folder.join("state", "pid"))).toBe(true);
    controller.abort(new Error("superseded"));
    await expect(work).rejects.toThrow("superseded");
    await expect.poll(() => made.recording.names()).toContain("helper.called-off");
  });
});

async function schemaMachine(): Promise<HelperMachine> {
  const made = new HelperMachine("");
  onTestFinished(async () => made[Symbol.asyncDispose]());
  const schema = { type: "object", required: ["mtu"], properties: { mtu: { type: "integer" } } };
  writeFileSync(made.folder.join("etc", "net.json"), JSON.stringify(schema), { mode: 0o644 });
  made.writeConfig(`${handlerRule}schema = "DIR/etc/net.json"\n`);
  await made.start();
  return made;
}

describe.skipIf(!isRoot)("nothing runs where somebody else than root decides what it is", () => {
  const ask = { do: "apply", property: "net", version: 1, value: 1 };
  test.each<[string, (made: HelperMachine) => void, string]>([
    [
      "others may write the configuration",
      (made) => chmodSync(made.sources.file, 0o666),
      "may be written by others",
    ],
    [
      "the configuration is somebody else's",
      (made) => chownSync(made.sources.file, 1, 1),
      "belongs to user 1",
    ],
    [
      "others may write in its folder",
      (made) => chmodSync(made.folder.join("etc"), 0o777),
      "where others than root may write",
    ],
    [
      "the configuration is broken",
      (made) => made.writeConfig("nonsense = 1"),
      "the configuration has problems",
    ],
    [
      "no rule has the property",
      (made) => made.writeConfig(fileRule),
      "no rule of this property says privileged",
    ],
    [
      "the rule has no privileges",
      (made) => made.writeConfig(handlerRule.replace("privileged = true", "privileged = false")),
      "no rule of this property says privileged",
    ],
  ])("%s", async (_, spoil, because) => {
    const made = await machine();
    made.writeHandler("net", "touch DIR/state/ran");
    spoil(made);
    const answer = await made.request(ask);
    expect(JSON.stringify(answer)).toContain(because);
    expect(answer).toMatchObject(done({ code: "appliers/helper-refused", changed: [] }));
    expect(existsSync(made.folder.join("state", "ran"))).toBe(false);
    expect(made.recording.names()).toContain("helper.refused");
  });

  test("others may write in the folder of a target", async () => {
    const made = await machine();
    chmodSync(made.folder.join("targets"), 0o777);
    const answer = await made.request({ ...ask, property: "site" });
    expect(JSON.stringify(answer)).toContain("where others than root may write");
    expect(existsSync(made.folder.join("targets", "site.json"))).toBe(false);
  });

  test("a template or a schema is somebody else's", async () => {
    for (const setting of ["template", "schema"]) {
      const made = await machine();
      const file = made.folder.join("etc", "local");
      writeFileSync(file, "{}");
      made.writeConfig(`${fileRule}${setting} = "${file}"\n`);
      chownSync(file, 1, 1);
      expect(JSON.stringify(await made.request({ ...ask, property: "site", value: {} }))).toContain(
        "belongs to user 1",
      );
    }
  });

  test("the handler is a symbolic link, or others may write it", async () => {
    const made = await machine();
    const good = made.writeHandler("good", "touch DIR/state/ran");
    symlinkSync(good, made.folder.join("handlers", "net"));
    expect(await made.request(ask)).toMatchObject(done({ code: "appliers/handler-refused" }));
    chmodSync(good, 0o777);
    made.writeConfig(handlerRule.replace('handler = "net"', 'handler = "good"'));
    expect(await made.request(ask)).toMatchObject(done({ code: "appliers/handler-refused" }));
    expect(existsSync(made.folder.join("state", "ran"))).toBe(false);
  });
});

describe.skipIf(!isRoot)("the helper", () => {
  test("ends when nobody has asked for a while, and not before", async () => {
    const made = new HelperMachine(fileRule);
    onTestFinished(async () => made[Symbol.asyncDispose]());
    await made.start(300);
    expect(await made.request({ do: "apply", property: "site", version: 1, value: 1 })).toMatchObject(
      done({ status: "applied" }),
    );
    await made.ended();
    expect(made.recording.names()).toEqual(["helper.answered", "helper.idle"]);
  });

  test("says in the log what it did, without the value", async () => {
    const made = await machine();
    await made.request({ do: "apply", property: "site", version: 7, value: "a secret of the site" });
    expect(made.recording.events).toMatchObject([
      { event: "helper.answered", do: "apply", property: "site", version: 7, status: "applied" },
    ]);
    expect(made.recording.lines.join("")).not.toContain("a secret of the site");
  });

  test("answers one question after the other", async () => {
    const made = await machine();
    made.writeHandler("net", "echo in >> DIR/state/log; sleep 0.1; echo out >> DIR/state/log");
    await Promise.all(
      [1, 2, 3].map(async (value) => made.request({ do: "apply", property: "net", version: 1, value })),
    );
    expect(readFileSync(made.folder.join("state", "log"), "utf8")).toBe("in\nout\n".repeat(3));
  });
});

describe.skipIf(!isRoot)("a question that is none is refused and told", () => {
  test.each<[string, string]>([
    ["garbage", "\u0000\u0001garbage"],
    ["an empty line", ""],
    ["a list", "[]"],
    ["another deed", JSON.stringify({ do: "run", property: "net", version: 1, value: 1 })],
    [
      "a path beside",
      JSON.stringify({ do: "apply", property: "net", version: 1, value: 1, file: "/etc/passwd" }),
    ],
    [
      "a command beside",
      JSON.stringify({ do: "apply", property: "net", version: 1, value: 1, command: ["/bin/sh"] }),
    ],
    ["no version", JSON.stringify({ do: "apply", property: "net", value: 1 })],
    [
      "nested without end",
      `{"do":"apply","property":"net","version":1,"value":${"[".repeat(9_000)}${"]".repeat(9_000)}}`,
    ],
    [
      "a nested 32 kB",
      `{"do":"apply","property":"net","version":1,"value":${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}}`,
    ],
  ])("%s", async (_, line) => {
    const made = await machine();
    made.writeHandler("net", "touch DIR/state/ran");
    expect(await made.ask(line)).toEqual(refusal("the request is not one of the agent's"));
    expect(existsSync(made.folder.join("state", "ran"))).toBe(false);
    expect(made.recording.names()).toEqual(["helper.refused"]);
  });

  test.each([
    "../net",
    "/etc/passwd",
    "net/../net",
    "__proto__",
    "constructor",
    "net\n",
    "net\u0000",
    "",
    ".",
    "latebind",
  ])("the property %j has no rule", async (property) => {
    const made = await machine();
    made.writeHandler("net", "touch DIR/state/ran");
    expect(await made.request({ do: "apply", property, version: 1, value: 1 })).toEqual(
      refusal("no rule of this property says privileged = true"),
    );
    expect(existsSync(made.folder.join("state", "ran"))).toBe(false);
  });

  test("a value called __proto__ is a value like any other", async () => {
    const made = await machine();
    await made.ask('{"do":"apply","property":"site","version":1,"value":{"__proto__":{"polluted":true}}}');
    expect(readFileSync(made.folder.join("targets", "site.json"), "utf8")).toContain('"__proto__"');
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });

  test.each(["keep", "restore"])("to %s where the rule has no confirm", async (deed) => {
    const made = await machine();
    const first = { do: "apply", property: "net", version: 1, value: 1 };
    made.writeHandler("net", "touch DIR/state/ran-$LATEBIND_REASON");
    expect(await made.request(first)).toMatchObject(done({ status: "applied" }));
    expect(await made.request({ do: "keep", property: "net", version: 2 })).toEqual({ status: "kept" });
    made.writeConfig(handlerRule.replace('confirm = "1m"', ""));
    const answer = await made.request({ do: deed, property: "net", version: 2 });
    expect(answer).toMatchObject(done({ code: "appliers/helper-refused", changed: [] }));
    expect(JSON.stringify(answer)).toContain("no confirm");
    expect(existsSync(made.folder.join("state", "ran-roll-back"))).toBe(false);
  });

  test("to put back what was never kept", async () => {
    const made = await machine();
    expect(await made.request({ do: "restore", property: "net", version: 1 })).toMatchObject(
      done({ code: "appliers/helper-refused" }),
    );
  });
});
