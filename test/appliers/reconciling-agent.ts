import { createAgentSettings } from "../../src/appliers/agent-settings.ts";
import type { Applier, Appliers } from "../../src/appliers/applier.ts";
import { reconcile, type Reconciled } from "../../src/appliers/reconcile.ts";
import { parseRemembered, type Remembered } from "../../src/appliers/remembered.ts";
import type { JsonObject } from "../../src/platform/json.ts";
import type { LogLevel } from "../../src/platform/log.ts";
import { FakeDevice } from "./fake-device.ts";

const never = new AbortController().signal;

/** An agent with properties `a`, `b` and `__proto__`, whose memory goes through JSON each time, as a restart would do it. */
export class ReconcilingAgent {
  readonly device = new FakeDevice();
  readonly levels: (LogLevel | undefined)[] = [];
  appliers: Appliers = this.withProperties(["a", "b", "__proto__"]);
  memory: Remembered = [];
  version = 0;
  memoryWrites = 0;

  withProperties(names: readonly string[]): Appliers {
    return this.withAppliers(new Map(names.map((name) => [name, this.device.createApplier(name)])));
  }

  withAppliers(properties: ReadonlyMap<string, Applier>): Appliers {
    const settings = createAgentSettings({
      setLogLevel: (level) => this.levels.push(level),
      setHeartbeat: () => {},
      setKeepAlive: () => {},
    });
    return { properties, components: new Map([["latebind", settings]]) };
  }

  async want(properties: JsonObject, signal: AbortSignal = never): Promise<Reconciled> {
    this.version += 1;
    const reconciled = await reconcile(
      {
        desired: { version: this.version, properties },
        remembered: this.memory,
        appliers: this.appliers,
        remember: (remembered) => {
          this.memoryWrites += 1;
          this.store(remembered);
        },
      },
      signal,
    );
    this.store(reconciled.remembered);
    return reconciled;
  }

  store(remembered: Remembered): void {
    this.memory = parseRemembered(JSON.parse(JSON.stringify(remembered)));
  }
}
