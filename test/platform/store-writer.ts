import { createLog } from "../../src/platform/log.ts";
import { openStore } from "../../src/platform/store.ts";

// Writes 1, 2, 3, … into the store of the folder named on the command line and says each number once it is durable.
const [, , folder = ""] = process.argv;
const log = createLog({ write: (line) => process.stderr.write(line) }, "error");
const store = openStore(folder, "count", (value) => (typeof value === "number" ? value : undefined), log);
for (let value = (store.read() ?? 0) + 1; value < 100_000; value += 1) {
  await store.write(value);
  process.stdout.write(`${value}\n`);
}
