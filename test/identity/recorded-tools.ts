import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** tpm2-tools that write down what anybody on the machine could read of them while they run: their arguments. */
export class RecordedTools {
  readonly directory: string;
  readonly #record: string;

  constructor(folder: string) {
    this.directory = join(folder, "tools");
    this.#record = join(folder, "arguments");
    mkdirSync(this.directory);
    writeFileSync(this.#record, "");
    for (const name of readdirSync("/usr/bin").filter((tool) => tool.startsWith("tpm2_"))) {
      const path = join(this.directory, name);
      writeFileSync(path, `#!/bin/sh\necho ${name} "$@" >> ${this.#record}\nexec /usr/bin/${name} "$@"\n`);
      chmodSync(path, 0o755);
    }
  }

  get arguments(): string {
    return readFileSync(this.#record, "utf8");
  }
}
