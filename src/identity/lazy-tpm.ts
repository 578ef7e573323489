import type { TpmDevice } from "./tpm/tpm-device.ts";
import type { Tpm, TpmSettings, TpmSurroundings } from "./tpm/tpm.ts";

/** The TPM of this machine, for as long as one configuration holds. What it takes is loaded when it is first asked for. */
export class LazyTpm {
  readonly #settings: TpmSettings;
  readonly #around: TpmSurroundings;
  #tpm: Promise<Tpm> | undefined;
  #device: Promise<TpmDevice> | undefined;

  constructor(settings: TpmSettings, around: TpmSurroundings) {
    this.#settings = settings;
    this.#around = around;
  }

  /** The identity that it is. Always the same one. */
  async get(): Promise<TpmDevice> {
    this.#device ??= this.#loadDevice();
    return this.#device;
  }

  /** The thing itself. Always the same one: commands of one process have to wait for each other. */
  async tpm(): Promise<Tpm> {
    this.#tpm ??= this.#loadTpm();
    return this.#tpm;
  }

  async #loadDevice(): Promise<TpmDevice> {
    const [{ TpmDevice: Device }, tpm] = await Promise.all([import("./tpm/tpm-device.ts"), this.tpm()]);
    return new Device(tpm);
  }

  async #loadTpm(): Promise<Tpm> {
    const { Tpm: Loaded } = await import("./tpm/tpm.ts");
    return new Loaded(this.#settings, this.#around);
  }
}
