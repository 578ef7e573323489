import { chmodSync, chownSync, existsSync, lchownSync, mkdirSync, symlinkSync } from "node:fs";
import { userInfo } from "node:os";
import { describe, expect, onTestFinished, test } from "vitest";
import { HelperMachine } from "./helper-machine.ts";

const isRoot = userInfo().uid === 0;
if (!isRoot) console.warn("skipped: the privileged helper runs as root");

const fileRule = '[[apply]]\nproperty = "site"\nfile = "DIR/targets/site.json"\nprivileged = true\n';

/** Asks the helper to write a file whose command is `name`; says what came of it. */
async function runCommandOf(name: string, lay: (made: HelperMachine) => void) {
  const made = new HelperMachine("");
  onTestFinished(async () => made[Symbol.asyncDispose]());
  made.writeHandler("good", "touch DIR/state/ran");
  lay(made);
  made.writeConfig(`${fileRule}command = ["${made.folder.path}/${name}"]\n`);
  await made.start();
  const answer = await made.request({ do: "apply", property: "site", version: 1, value: 1 });
  return {
    answer: JSON.stringify(answer),
    wrote: existsSync(made.folder.join("targets", "site.json")),
    ran: existsSync(made.folder.join("state", "ran")),
  };
}

describe.skipIf(!isRoot)("the command of a privileged file", () => {
  test.each<[string, string, (made: HelperMachine) => void, string]>([
    [
      "is somebody else's",
      "handlers/good",
      (made) => chownSync(made.folder.join("handlers", "good"), 1, 1),
      "belongs to user 1",
    ],
    [
      "may be written by others",
      "handlers/good",
      (made) => chmodSync(made.folder.join("handlers", "good"), 0o777),
      "may be written by others",
    ],
    [
      "lies where others may write",
      "handlers/good",
      (made) => chmodSync(made.folder.join("handlers"), 0o777),
      "where others than root may write",
    ],
    [
      "is a link that others may exchange",
      "open/link",
      (made) => {
        mkdirSync(made.folder.join("open"));
        symlinkSync(made.folder.join("handlers", "good"), made.folder.join("open", "link"));
        chmodSync(made.folder.join("open"), 0o777);
      },
      "where others than root may write",
    ],
    [
      "is a link of somebody else's in a folder like /tmp",
      "open/link",
      (made) => {
        mkdirSync(made.folder.join("open"));
        symlinkSync(made.folder.join("handlers", "good"), made.folder.join("open", "link"));
        lchownSync(made.folder.join("open", "link"), 1, 1);
        chmodSync(made.folder.join("open"), 0o1777);
      },
      "a symbolic link of user 1",
    ],
    [
      "is a link of root's to what is somebody else's",
      "etc/link",
      (made) => {
        symlinkSync(made.folder.join("handlers", "good"), made.folder.join("etc", "link"));
        chownSync(made.folder.join("handlers", "good"), 1, 1);
      },
      "handlers/good, which belongs to user 1",
    ],
    [
      "is a link to itself",
      "etc/link",
      (made) => symlinkSync("link", made.folder.join("etc", "link")),
      "too many symbolic links",
    ],
    [
      "goes through a folder of somebody else's and back",
      "open/../handlers/good",
      (made) => {
        mkdirSync(made.folder.join("open"));
        chownSync(made.folder.join("open"), 1, 1);
      },
      "belongs to user 1",
    ],
    ["is not there", "handlers/none", () => {}, "does not exist"],
  ])("%s", async (_, name, lay, because) => {
    const { answer, wrote, ran } = await runCommandOf(name, lay);
    expect(answer).toContain(because);
    expect(answer).toContain("appliers/helper-refused");
    expect({ wrote, ran }).toEqual({ wrote: false, ran: false });
  });

  test("runs by a link of root's to a program of root's, as /bin/sh is", async () => {
    const { answer, wrote, ran } = await runCommandOf("alias/link", (made) => {
      symlinkSync("etc", made.folder.join("alias"));
      symlinkSync("../handlers/good", made.folder.join("etc", "link"));
    });
    expect(answer).toContain("applied");
    expect({ wrote, ran }).toEqual({ wrote: true, ran: true });
  });
});
