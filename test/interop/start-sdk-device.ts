import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

export interface SdkDeviceSettings {
  readonly dpsHost: string;
  readonly idScope: string;
  readonly registrationId: string;
  readonly deviceKey: string;
  /** PEM file with the CA to trust beside the usual ones. */
  readonly caFile: string;
}

/** One line of what the device tells: `event` and its facts. */
type Told = Readonly<Record<string, unknown>>;

/** The running child process; disposing of it kills what still runs. */
export interface SdkDevice extends AsyncDisposable {
  /** Reads on until this event is told. @throws Error with what was told instead when the process ends before. */
  until(event: string): Promise<Told>;
  readonly exitCode: Promise<number>;
}

/** Starts `sdk-device.mjs`: a device in a process of its own, made of Azure's Node SDK and nothing of ours. */
export function startSdkDevice(settings: SdkDeviceSettings): SdkDevice {
  const child = spawn(process.execPath, [join(import.meta.dirname, "sdk-device.mjs")], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      NODE_EXTRA_CA_CERTS: settings.caFile,
      DPS_HOST: settings.dpsHost,
      ID_SCOPE: settings.idScope,
      REGISTRATION_ID: settings.registrationId,
      DEVICE_KEY: settings.deviceKey,
    },
  });
  const stderr = text(child.stderr);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, "exit");
  const seen: string[] = [];
  return {
    async until(event) {
      for (;;) {
        const line = await lines.next();
        if (line.done === true)
          throw new Error(`the device ended without "${event}":\n${seen.join("\n")}\n${await stderr}`);
        seen.push(line.value);
        const told: unknown = JSON.parse(line.value);
        if (isTold(told) && told["event"] === event) return told;
      }
    },
    exitCode: ended.then(([code]) => Number(code)),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function isTold(value: unknown): value is Told {
  return typeof value === "object" && value !== null;
}
