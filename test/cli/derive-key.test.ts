import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { terminal } from "./terminal.ts";

/** The example of https://learn.microsoft.com/azure/iot-dps/how-to-legacy-device-symm-key */
const groupKey = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
const registrationId = "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6";
const deviceKey = "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=";
const derive = ["derive-key", "--registration-id", registrationId];

describe("latebind derive-key", () => {
  it("does not wait for a person to type a secret", async () => {
    await expect(terminal(derive)).resolves.toEqual({
      code: 2,
      stdout: "",
      stderr: "No group key: pipe it in (… < group.key) or name its file with --group-key-file.\n",
      ran: [],
    });
  });

  it.each([
    { what: "nothing", stdin: "\n", problem: "it is empty" },
    {
      what: "a key with a character lost",
      stdin: groupKey.slice(1),
      problem: "it is not one line of standard base64 with padding",
    },
    {
      what: "URL-safe base64",
      stdin: groupKey.replaceAll("/", "_"),
      problem: "it is not one line of standard base64 with padding",
    },
    {
      what: "two keys",
      stdin: `${groupKey}\n${groupKey}\n`,
      problem: "it is not one line of standard base64 with padding",
    },
    {
      what: "15 bytes",
      stdin: Buffer.alloc(15).toString("base64"),
      problem: "it holds 15 bytes where 16 to 64 are expected",
    },
    {
      what: "65 bytes",
      stdin: Buffer.alloc(65).toString("base64"),
      problem: "it holds 65 bytes where 16 to 64 are expected",
    },
  ])("refuses $what without printing it", async ({ stdin, problem }) => {
    await expect(terminal(derive, { stdin })).resolves.toEqual({
      code: 1,
      stdout: "",
      stderr: `The group key from standard input cannot be used: ${problem}.\n`,
      ran: [],
    });
  });

  it.each(["gw 7", "gw.", "", "a".repeat(129)])("refuses %j as registration ID", async (id) => {
    const { code, stdout, stderr } = await terminal(["derive-key", "--registration-id", id], {
      stdin: groupKey,
    });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^--registration-id: expected 1 to 128 of /);
  });

  it("refuses a group key file that others can read, and one that is not there", async () => {
    const folder = await mkdtemp(join(tmpdir(), "latebind-derive-"));
    const file = join(folder, "group.key");
    try {
      await expect(terminal([...derive, "--group-key-file", file])).resolves.toMatchObject({
        code: 1,
        stdout: "",
        stderr: `The group key from ${file} cannot be used: there is no such file.\n`,
      });
      await writeFile(file, groupKey);
      await chmod(file, 0o640);
      await expect(terminal([...derive, "--group-key-file", file])).resolves.toMatchObject({
        code: 1,
        stdout: "",
        stderr: `The group key from ${file} cannot be used: others can read it (mode 0640). Run: chmod 0600 ${file}.\n`,
      });
      await chmod(file, 0o400);
      await expect(terminal([...derive, "--group-key-file", file])).resolves.toMatchObject({
        code: 0,
        stdout: `${deviceKey}\n`,
        stderr: "",
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each([groupKey, `${groupKey}\n`, `${groupKey}\r\n`])(
    "prints the documented device key and nothing else, however the line ends",
    async (stdin) => {
      await expect(terminal(derive, { stdin })).resolves.toEqual({
        code: 0,
        stdout: `${deviceKey}\n`,
        stderr: "",
        ran: [],
      });
    },
  );

  it("warns that capital letters make another key", async () => {
    const { code, stdout, stderr } = await terminal(["derive-key", "--registration-id", "GW-7"], {
      stdin: groupKey,
    });
    const lower = await terminal(["derive-key", "--registration-id", "gw-7"], { stdin: groupKey });
    expect(code).toBe(0);
    expect(stdout).not.toBe(lower.stdout);
    expect(lower.stderr).toBe("");
    expect(stderr).toBe(
      'warning: the key is derived from the spelling "GW-7". A device that spells its registration ID "gw-7" needs another key; lower case is the safe choice.\n',
    );
  });
});
