import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import { Gateway } from "./gateway.ts";
import { buildPackages } from "./packages.ts";

/** Long enough for three pings of the keep-alive (3 min) and a feeding of the watchdog (10 min). */
const windowMs = 600_000;
const perHour = 3_600_000 / windowMs;

const folder = new TemporaryFolder();

afterAll(() => {
  folder[Symbol.dispose]();
});

it(
  "an idle service writes nothing to disk, next to nothing to the journal, and sleeps",
  { timeout: 1_200_000 },
  async () => {
    const packages = await buildPackages(folder.path);
    await using gateway = await Gateway.boot("bookworm");
    await gateway.commission(packages);
    // The start, and what follows it within the first minute (memory is tidied, state is gathered), is no idling.
    await sleep(70_000);
    const pid = await gateway.property("MainPID");
    const figures = async () => {
      const answer = await gateway.machine.run(`
      awk '/^write_bytes/ { print $2 }' /proc/${pid}/io
      journalctl -u latebind -o cat | wc -c
      cat /proc/${pid}/task/*/status | awk '/^voluntary_ctxt_switches/ { sum += $2 } END { print sum }'
      find /var/lib/latebind /var/cache/latebind -type f -printf '%T@ %p\\n' | sort | sha256sum | cut -c1-16`);
      const [written = "", journal = "", wakeUps = "", files = ""] = answer.split("\n");
      return { written: Number(written), journal: Number(journal), wakeUps: Number(wakeUps), files };
    };
    const before = await figures();
    await sleep(windowMs);
    const after = await figures();
    expect(await gateway.property("MainPID")).toBe(pid);
    const found = {
      bytesWritten: after.written - before.written,
      journalBytesPerHour: (after.journal - before.journal) * perHour,
      wakeUpsPerHour: Math.round((after.wakeUps - before.wakeUps) * perHour),
    };
    console.log(`idle for ${windowMs / 1000} s, scaled to an hour:`, found);
    expect(found.bytesWritten).toBe(0);
    expect(after.files).toBe(before.files);
    expect(found.journalBytesPerHour).toBeLessThanOrEqual(700);
    // 200 an hour are wished for, and 204 to 222 measured: a ping costs eight, and a feeding of the watchdog ten, because it runs a program.
    expect(found.wakeUpsPerHour).toBeLessThanOrEqual(300);
  },
);
