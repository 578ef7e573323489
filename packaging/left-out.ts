import { join } from "node:path";
import type { Plugin } from "esbuild";

/** How a package that is left out is replaced. */
type Instead =
  /** By names that throw when they are called; `"*"` is for packages asked for by `require`. */
  | { readonly absent: readonly string[] | "*" }
  /** By a module of Node with the same promises. */
  | { readonly node: string }
  /** By a few words of CommonJS. */
  | { readonly code: string };

interface LeftOut {
  readonly instead: Instead;
  readonly because: string;
}

/** What the chosen packages import and this agent never uses. Together it is more than the agent itself. */
const leftOut: Readonly<Record<string, LeftOut>> = {
  "ajv/dist/2020.js": {
    instead: { absent: ["Ajv2020"] },
    because: "conf: only stores with a schema are validated, and ours have none",
  },
  "ajv-formats": {
    instead: { absent: ["default"] },
    because: "conf: belongs to ajv",
  },
  semver: {
    instead: { absent: ["default"] },
    because: "conf: only for migrations between versions of a project",
  },
  "env-paths": {
    instead: { absent: ["default"] },
    because: "conf: finds a folder where none is given; ours is",
  },
  "debounce-fn": {
    instead: { absent: ["default"] },
    because: "conf: only for watching the file",
  },
  "thread-stream": {
    instead: { absent: "*" },
    because: "pino: only for transports in worker threads, which lose lines at SIGKILL",
  },
  "sonic-boom": {
    instead: { absent: "*" },
    because: "pino: its own file writer; ours is platform/line-output",
  },
  "worker-timers": {
    instead: { absent: "*" },
    because: "mqtt: for browsers; our timerVariant is native",
  },
  "lru-cache": {
    instead: { absent: "*" },
    because: "mqtt: topic aliases of MQTT 5; we speak 3.1.1",
  },
  "readable-stream": {
    instead: { node: "node:stream" },
    because:
      "mqtt: a copy of Node's streams for other runtimes; READABLE_STREAM=disable does the same when run from source",
  },
  "@pinojs/redact": {
    instead: { absent: "*" },
    because: "pino: hides members by path; our secrets never get that far",
  },
  "./lib/caller": {
    instead: { code: "module.exports = () => [];" },
    because: "pino: walks the stack for the file that a transport is relative to",
  },
  worker_threads: {
    instead: { code: "module.exports = { isMainThread: true };" },
    because: "pino: asks whether it runs in a worker",
  },
  "uint8array-extras": {
    instead: { absent: ["concatUint8Arrays", "uint8ArrayToString"] },
    because: "conf: for encrypted files; it makes a TextDecoder as soon as it is loaded",
  },
  debug: {
    instead: { code: "module.exports = () => () => {};" },
    because: "mqtt: with DEBUG set it prints packets, passwords included",
  },
};

/** Takes out of the bundle what nobody calls. Fails when something on the list is no longer imported by anybody. */
export const leaveOut: Plugin = {
  name: "leave-out",
  setup(build) {
    const unseen = new Set(Object.keys(leftOut));
    for (const [name, { instead }] of Object.entries(leftOut)) {
      const filter = new RegExp(`^${name.replaceAll(".", "\\.")}$`);
      build.onResolve({ filter }, () => {
        unseen.delete(name);
        return "node" in instead
          ? { path: instead.node, external: true }
          : { path: name, namespace: "left-out" };
      });
    }
    build.onLoad({ filter: /.*/, namespace: "left-out" }, ({ path }) => ({
      contents: standIn(path),
      resolveDir: import.meta.dirname,
    }));
    build.onEnd(() => ({
      warnings: [...unseen].map((name) => ({ text: `nobody imports ${name}: take it off left-out.ts` })),
    }));
  },
};

function standIn(name: string): string {
  const instead = leftOut[name]?.instead;
  if (instead === undefined || "node" in instead) throw new Error(`${name} has no stand-in`);
  if ("code" in instead) return instead.code;
  const path = JSON.stringify(join(import.meta.dirname, "absent.ts"));
  const call = `absent(${JSON.stringify(name)})`;
  if (instead.absent === "*") return `module.exports = require(${path}).${call};`;
  const exports = instead.absent.map((each) =>
    each === "default" ? `export default ${call};` : `export const ${each} = ${call};`,
  );
  return [`import { absent } from ${path};`, ...exports].join("\n");
}
