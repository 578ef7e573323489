// Publishes payloads of 4,000 different lengths over the agent's own link, amid other buffers as a busy process has them, and
// says how far its memory grew. With the argument "control" Node's buffer pool stays on, which the agent turns off.
import { readFileSync } from "node:fs";
import { openMqttLink } from "../src/mqtt/mqtt-js-link.ts";
import { Secret } from "../src/platform/secret.ts";

const lengths = 4_000;

async function main(isControl: boolean): Promise<void> {
  if (!isControl) await import("../src/platform/no-buffer-pool.ts");
  const { MQTT_HOST: host = "", MQTT_CA: ca = "", MQTT_DEVICE: clientId = "" } = process.env;
  const { MQTT_USERNAME: username = "", MQTT_PASSWORD: password = "" } = process.env;
  const signal = new AbortController().signal;
  const opened = await openMqttLink(
    {
      host,
      port: 8883,
      trustedRoots: readFileSync(ca, "utf8"),
      clientId,
      username,
      password: new Secret(password),
      cleanSession: false,
      keepAliveMs: 180_000,
      connectTimeoutMs: 10_000,
      onMessage: () => {},
    },
    signal,
  );
  if (opened.status === "refused") throw new Error(`refused with ${opened.returnCode}`);
  const { link } = opened;
  const send = async (length: number) => {
    // Whatever else a process does with small buffers: it fills the pool that the next packet takes a slice of.
    for (let other = 0; other < 40; other += 1) Buffer.from("x".repeat(1_000));
    await link.publish(`devices/${clientId}/messages/events/`, "x".repeat(length), signal);
  };
  // As much traffic of eight lengths first, with the garbage collected in between: what grows by mere use has grown then.
  for (let sent = 0; sent < 2 * lengths; sent += 1) {
    await send((lengths / 8) * (1 + (sent % 8)));
    if (sent === lengths) anonymousKib();
  }
  const before = anonymousKib();
  for (let length = 1; length <= lengths; length += 1) await send(length);
  process.stdout.write(`grew by ${anonymousKib() - before} KiB\n`);
  await link[Symbol.asyncDispose]();
}

function anonymousKib(): number {
  // Twice: the first finds what is garbage, the second gives its pages back.
  globalThis.gc?.();
  globalThis.gc?.();
  return Number(/^Anonymous:\s+(\d+)/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))?.[1]);
}

void main(process.argv.includes("control"));
