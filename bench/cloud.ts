import { spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, request, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import * as v from "valibot";

/** The local cloud in a process of its own, so that its work and memory are not the contestants'. */
export interface BenchCloud extends AsyncDisposable {
  readonly idScope: string;
  readonly dpsHost: string;
  readonly hubHost: string;
  readonly caPem: string;
  /** Makes an enrollment whose twin wants a `site`. @returns the device's key, base64. */
  enroll(registrationId: string): Promise<string>;
  patchDesired(deviceId: string, desired: Readonly<Record<string, unknown>>): Promise<void>;
  /** Resolves when the hub has taken the next reported properties of this device. */
  reported(deviceId: string): Promise<void>;
}

const about = v.object({
  idScope: v.string(),
  caPem: v.string(),
  endpoints: v.array(v.object({ name: v.string(), host: v.string() })),
});
const enrollment = v.object({ primaryKey: v.string() });

const hub = "bench";

export async function startCloud(): Promise<BenchCloud> {
  const program = join(import.meta.dirname, "..", "test", "cloud", "main.ts");
  const child = spawn(process.execPath, [program, "--hub", hub], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const waiting = new Set<{ readonly deviceId: string; readonly done: () => void }>();
  const ready = Promise.withResolvers<string>();
  child.once("exit", () => {
    ready.reject(new Error("the cloud did not start"));
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    const [, url] = /^Admin API\s+(\S+)/.exec(line) ?? [];
    if (url !== undefined) ready.resolve(url);
    // What is seen on the wire, in words: `… bench gw-1: reported {…}, answered 204`.
    for (const one of line.includes(" reported {") ? waiting : []) {
      if (!line.includes(one.deviceId)) continue;
      waiting.delete(one);
      one.done();
    }
  });
  const adminUrl = await ready.promise;
  const admin = openAdmin(adminUrl);
  // DPS answers at once: what is measured is the agent and not a waiting time that the service asks for.
  await admin.call("PATCH", "/pace", { pollAfterSeconds: 0, assigningAnswers: 0 });
  const { idScope, caPem, endpoints } = v.parse(about, await admin.call("GET", "/"));
  const hostOf = (name: string) => endpoints.find((endpoint) => endpoint.name === name)?.host ?? "";
  return {
    idScope,
    caPem,
    dpsHost: hostOf("dps"),
    hubHost: hostOf(hub),
    async enroll(registrationId) {
      const made = await admin.call("PUT", `/enrollments/${registrationId}`, {
        hub,
        initialTwin: { desired: { site: { run: "first" } } },
      });
      return v.parse(enrollment, made).primaryKey;
    },
    async patchDesired(deviceId, desired) {
      await admin.call("PATCH", `/hubs/${hub}/devices/${deviceId}/twin`, { desired });
    },
    async reported(deviceId) {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      waiting.add({ deviceId, done: () => resolve(undefined) });
      await promise;
    },
    async [Symbol.asyncDispose]() {
      admin.close();
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    },
  };
}

interface Admin {
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  close(): void;
}

/** One connection that stays open, so that a patch leaves without a handshake before it. */
function openAdmin(url: string): Admin {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    async call(method, path, body) {
      const sent = request(`${url}${path}`, {
        method,
        agent,
        headers: { "content-type": "application/json" },
      });
      const answered = Promise.withResolvers<IncomingMessage>();
      sent.once("response", answered.resolve).once("error", answered.reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
      const answer = await answered.promise;
      const said = await text(answer);
      if ((answer.statusCode ?? 500) >= 300) throw new Error(`${method} ${path}: ${said}`);
      const json: unknown = said === "" ? undefined : JSON.parse(said);
      return json;
    },
    close() {
      agent.destroy();
    },
  };
}
