import type { TpmDevice } from "./tpm/tpm-device.ts";
import type { TpmSettings, TpmSurroundings } from "./tpm/tpm.ts";

/** The TPM of this machine, for as long as one configuration holds. What it takes is loaded when it is first asked for. */
export class LazyTpm {
  readonly #settings: TpmSettings;
  readonly #around: TpmSurroundings;
  #device: Promise<TpmDevice> | undefined;

  constructor(settings: TpmSettings, around: TpmSurroundings) {
    this.#settings = settings;
    this.#around = around;
  }

  /** Always the same one: commands of one process have to wait for each other. */
  async get(): Promise<TpmDevice> {
    this.#device ??= this.#load();
    return this.#device;
  }

  async #load(): Promise<TpmDevice> {
    const [{ TpmDevice: Device }, { Tpm }] = await Promise.all([
      import("./tpm/tpm-device.ts"),
      import("./tpm/tpm.ts"),
    ]);
    return new Device(new Tpm(this.#settings, this.#around));
  }
}
