import * as v from "valibot";
import * as explain from "./explain.ts";
import { documented } from "./key-doc.ts";
import { absolutePath, duration } from "./value-schemas.ts";

const fileFormats = ["json", "toml", "yaml", "env", "ini", "text"] as const;

/** systemd.unit(5); the first character is no dash, so that no name is an option. */
const unitName =
  /^[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]*\.(?:service|socket|timer|path|target|mount|automount|swap)$/;

/** One `[[apply]]` table. Paths, commands and names come from here and never from the twin. */
export const applyRule = documented(
  v.object({
    property: documented(v.pipe(v.string(), v.check(isPropertyName)), {
      help: "The top-level desired property of the twin. Each property once.",
      expected:
        "a name without spaces, dots, $ and control characters, of up to 1024 bytes, other than latebind",
      fix: "write the name of the desired property as it is in the twin",
      example: '"network"',
      explain: explain.explainProperty,
      missing: 'add the line property = "NAME" with the name of the desired property',
    }),
    file: documented(v.exactOptional(absolutePath()), {
      help: "The file that gets the property's value, written atomically and only when it changes. Its folder must exist, no part of its path may be a symbolic link, and the agent must be allowed to write there.",
      expected: "an absolute path",
      fix: "write the whole path of the file",
      example: '"/etc/my-app/network.json"',
      explain: explain.explainPath,
    }),
    handler: documented(v.exactOptional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/))), {
      help: "In place of file: the program that puts the value in force, by its name in /etc/latebind/handlers or else in /usr/lib/latebind/handlers. It belongs to root, and nobody else may write it.",
      expected: "a file name of up to 64 letters, digits and . _ -",
      fix: "write the name alone, without its folder",
      alternative: '"network"',
    }),
    units: documented(
      v.exactOptional(v.pipe(v.array(v.pipe(v.string(), v.regex(unitName))), v.minLength(1))),
      {
        help: 'In place of file: the systemd units whose state the property says, and no others: [{"unit": "my-app.service", "enabled": true, "started": true, "restart": "text"}]. A changed text restarts the unit. It takes privileged = true.',
        expected: "a list of unit names with their endings",
        fix: 'write a list such as ["my-app.service"]',
        alternative: '["my-app.service"]',
      },
    ),
    format: documented(v.exactOptional(v.picklist(fileFormats), "json"), {
      help: "How the value is written: json, toml or yaml as they are; env (NAME=value lines, the value must be a flat object); ini (an object of sections); text (the value must be a text, written as it is).",
      expected: `one of ${fileFormats.join(", ")}`,
    }),
    template: documented(v.exactOptional(absolutePath()), {
      help: "In place of format: a local file in which {{a.b}} stands for the member b of the member a of the value (mustache, without HTML escapes).",
      expected: "the absolute path of a file",
      fix: "write the whole path of the template",
      alternative: '"/usr/share/my-app/network.conf.mustache"',
      explain: explain.explainPath,
    }),
    mode: documented(
      v.exactOptional(
        v.pipe(
          v.string(),
          v.regex(/^0?[0-7]{3}$/),
          v.transform((digits) => Number.parseInt(digits, 8)),
        ),
        "0644",
      ),
      {
        help: "Permission bits of the file, as chmod takes them, without set-id bits.",
        expected: 'octal digits in quotes, such as "0640"',
        explain: explain.explainMode,
      },
    ),
    owner: documented(
      v.exactOptional(
        v.pipe(
          v.string(),
          v.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/),
          v.transform(splitOwner),
        ),
      ),
      {
        help: "Owner of the file, as chown takes it. Without it the file belongs to the user the agent runs as.",
        expected: '"user" or "user:group"',
        fix: "delete the line to leave the file to the user the agent runs as",
        example: '"my-app:my-app"',
      },
    ),
    command: documented(v.exactOptional(commandLine()), {
      help: "Program to run after a change, and its arguments. No shell is involved: no variables, no pipes.",
      expected: "a list of texts, the first one the absolute path of a program",
      fix: "write the program's whole path and its arguments as a list",
      example: '["/usr/bin/systemctl", "try-restart", "my-app.service"]',
      explain: explain.explainCommand,
    }),
    schema: documented(v.exactOptional(absolutePath()), {
      help: "A local file with a JSON Schema. A value that it does not allow is refused with its path, and the last good value stays.",
      expected: "the absolute path of a JSON file",
      fix: "write the whole path of the schema",
      alternative: '"/usr/share/my-app/network.schema.json"',
      explain: explain.explainPath,
    }),
    privileged: documented(v.exactOptional(v.boolean(), false), {
      help: "Whether root does it: the agent asks latebind-apply.socket, whose helper reads this configuration itself and trusts it only where it, the templates, the schemas, the folder of the file and the program of the command are root's alone. A script that is an argument of the command is not looked at: see to it that only root may write it.",
      expected: "true or false",
    }),
    confirm: documented(v.exactOptional(duration("10s", "1h")), {
      help: "For a change that may cost the device its connection: unless the hub is reached again within this time, what was there before is put back, and the value is not tried again.",
      expected: "a duration from 10s to 1h",
      fix: 'write a duration such as "5m", or delete the line',
      example: '"5m"',
      explain: explain.explainDuration,
    }),
    after: documented(v.exactOptional(v.array(v.string()), []), {
      help: "Properties with rules of their own that are brought to their values before this one. It is an order only: this one is applied even if they fail.",
      expected: "a list of properties that have rules, without a circle",
      fix: "write the names of other properties as a list",
      alternative: '["network"]',
      explain: explain.explainAfter,
    }),
    drift_check: documented(v.exactOptional(duration("5m", "7d")), {
      help: "How often to look whether somebody else changed the file. What was changed is acknowledged as no longer in force.",
      expected: "a duration from 5m to 7d",
      fix: 'write a duration such as "1h", or delete the line',
      example: '"1h"',
      explain: explain.explainDuration,
    }),
    mend: documented(v.exactOptional(v.boolean(), false), {
      help: "Whether what somebody else changed is put right at once.",
      expected: "true or false",
    }),
    timeout: documented(v.exactOptional(duration("1s", "10m"), "30s"), {
      help: "The command or the handler is stopped after this time.",
      expected: "a duration from 1s to 10m",
      explain: explain.explainDuration,
    }),
  }),
  { help: "One desired property and what it becomes." },
);

/** A program by its absolute path, and its arguments. */
export function commandLine() {
  return v.tupleWithRest([v.pipe(v.string(), v.check(isProgram))], v.pipe(v.string(), v.check(hasNoNul)));
}

/** The rules of twin keys: at most 1 KB of UTF-8, no control characters, no dot, `$` or space. */
function isPropertyName(name: string): boolean {
  const bytes = Buffer.byteLength(name);
  // oxlint-disable-next-line no-control-regex -- the twin forbids them
  return bytes > 0 && bytes <= 1024 && !/[\u0000-\u0020\u007F-\u009F.$]/.test(name) && name !== "latebind";
}

function isProgram(path: string): boolean {
  return path.startsWith("/") && !path.endsWith("/") && hasNoNul(path);
}

/** An argument with a NUL byte cannot reach a program: execve(2) ends it there. */
function hasNoNul(text: string): boolean {
  return !text.includes("\0");
}

function splitOwner(text: string): { readonly user: string; readonly group?: string } {
  const [user = "", group] = text.split(":");
  return group === undefined ? { user } : { user, group };
}
