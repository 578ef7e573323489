import { expect, test } from "vitest";
import { problemsOf } from "./config-folder.ts";

const scope = 'id_scope = "0ne000A0B1C"\n';

test.each<readonly [string, string, ...string[]]>([
  [
    "a rule that becomes two things, or has settings of the other kind",
    `${scope}[[apply]]\nproperty = "a"\nfile = "/opt/a"\nhandler = "a"\n[[apply]]\nproperty = "b"\nhandler = "../b"\nmode = "0600"\n[[apply]]\nproperty = "c"\nfile = "/sys/c"\nformat = "json"\ntemplate = "/nonexistent"`,
    "config.toml:5: apply[0].handler: expected no handler beside file, found both. Fix: delete one of the two lines.",
    'config.toml:8: apply[1].handler: expected a file name of up to 64 letters, digits and . _ -, found "../b". Fix: write the name alone, without its folder.',
    "config.toml:9: apply[1].mode: expected no mode beside handler, found both. Fix: delete one of the two lines.",
    'config.toml:12: apply[2].file: expected a file on a disk, found "/sys/c". Fix: have a handler write what is in /sys.',
    "config.toml:14: apply[2].template: expected no template beside format, found both. Fix: delete one of the two lines.",
    "config.toml:14: apply[2].template: /nonexistent: expected a file, found nothing there. Fix: mend /nonexistent, or name another.",
  ],
  [
    "an order that names nobody, or goes in circles",
    `${scope}[[apply]]\nproperty = "a"\nfile = "/opt/a"\nafter = ["b", "x"]\n[[apply]]\nproperty = "b"\nfile = "/opt/b"\nafter = ["c"]\n[[apply]]\nproperty = "c"\nfile = "/opt/c"\nafter = ["a"]\n[[apply]]\nproperty = "d"\nhandler = "d"\nafter = ["d"]\n[[apply]]\nproperty = "e"\nhandler = "e"\nafter = "d"`,
    'config.toml:5: apply[0].after: expected properties that have rules, without a circle, found "x", which has no rule. Fix: name a property that has one.',
    'config.toml:5: apply[0].after: expected properties that have rules, without a circle, found the circle "a" after "b" after "c" after "a". Fix: take one of them out of its after.',
    'config.toml:17: apply[3].after: expected properties that have rules, without a circle, found the circle "d" after "d". Fix: take one of them out of its after.',
    'config.toml:21: apply[4].after: expected a list of properties that have rules, without a circle, found "d". Fix: write a list: ["d"].',
  ],
  [
    "settings of a change that are out of bounds, or need a file",
    `${scope}[[apply]]\nproperty = "a"\nhandler = "a"\nconfirm = "1s"\ndrift_check = "1m"\nmend = "yes"`,
    'config.toml:5: apply[0].confirm: expected a duration from 10s to 1h, found "1s". Fix: write a duration such as "5m", or delete the line.',
    'config.toml:6: apply[0].drift_check: expected a duration from 5m to 7d, found "1m". Fix: write a duration such as "1h", or delete the line.',
    "config.toml:6: apply[0].drift_check: expected no drift_check beside handler, found both. Fix: delete one of the two lines.",
    'config.toml:7: apply[0].mend: expected true or false, found "yes". Fix: change it, or delete the line to get false.',
    "config.toml:7: apply[0].mend: expected no mend beside handler, found both. Fix: delete one of the two lines.",
  ],
])(
  "every [[apply]] table that contradicts itself or others is told with all its lines: %s",
  async (_, text, ...lines) => {
    expect(await problemsOf(text)).toEqual(lines);
  },
);
