import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Custody } from "./custody.ts";
import { Daemon, run } from "./run.ts";

const program = "/usr/bin/latebind";

/** The installed agent with a configuration of its own. */
export class Agent {
  readonly #config: string;
  readonly #env: Readonly<Record<string, string>>;

  /** @param lines of the configuration: keys first, then tables. */
  constructor(work: string, custody: Custody, head: string, tables: string) {
    this.#config = join(work, "config.toml");
    const more = process.env["LATEBIND_CONFIG"] ?? "";
    writeFileSync(this.#config, `${head}${custody.config}${tables}${more}\n`);
    const folder = (name: string) => {
      const path = join(work, name);
      mkdirSync(path, { recursive: true, mode: 0o700 });
      return path;
    };
    this.#env = { ...custody.env, STATE_DIRECTORY: folder("state"), RUNTIME_DIRECTORY: folder("run") };
  }

  /** What `latebind identity --json` says. */
  async identity(): Promise<{ readonly registrationId: string; readonly endorsementKey?: string }> {
    const found: unknown = JSON.parse(
      await run(program, ["identity", "--config", this.#config, "--json"], this.#env),
    );
    if (typeof found !== "object" || found === null || !("registrationId" in found))
      throw new Error("the agent does not say who it is");
    const endorsementKey =
      "endorsementKey" in found && typeof found.endorsementKey === "string"
        ? { endorsementKey: found.endorsementKey }
        : {};
    return { registrationId: String(found.registrationId), ...endorsementKey };
  }

  start(): Daemon {
    return new Daemon(program, ["run", "--config", this.#config], { env: { ...process.env, ...this.#env } });
  }
}
