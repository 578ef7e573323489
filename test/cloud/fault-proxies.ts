import * as v from "valibot";
import type { AdminRoute } from "./admin-routes.ts";
import { CloudError } from "./cloud-error.ts";
import { parse } from "./enrollment-spec.ts";
import { startFaultProxy, type FaultProxy, type ProxyBehaviour } from "./fault-proxy.ts";
import type { Journal } from "./journal.ts";

export const proxyBehaviour = v.strictObject({
  credentials: v.optional(v.strictObject({ user: v.string(), password: v.string() })),
  answer: v.optional(
    v.union([
      v.picklist(["tunnel", "portal", "silence", "drop"]),
      v.pipe(v.number(), v.integer(), v.minValue(300), v.maxValue(599)),
    ]),
    "tunnel",
  ),
  resetAfterBytes: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
});
type BehaviourInput = v.InferInput<typeof proxyBehaviour>;

/** One proxy as a device is told of it. */
export interface ProxyInfo {
  readonly id: number;
  /** Without credentials. */
  readonly url: string;
  readonly behaviour: ProxyBehaviour;
}

interface OpenProxy {
  behaviour: ProxyBehaviour;
  readonly proxy: FaultProxy;
}

/** HTTP CONNECT proxies between devices and the cloud, opened and spoiled by levers. */
export class FaultProxies {
  readonly #journal: Journal;
  readonly #resolve: (hostName: string) => string;
  readonly #proxies = new Map<number, OpenProxy>();
  #lastId = 0;

  constructor(journal: Journal, resolve: (hostName: string) => string) {
    this.#journal = journal;
    this.#resolve = resolve;
  }

  /** @throws CloudError 400 when the behaviour makes no sense. */
  async open(input: BehaviourInput = {}): Promise<ProxyInfo> {
    const wanted = toBehaviour(input);
    const opened: { open?: OpenProxy } = {};
    const proxy = await startFaultProxy({
      behaviour: () => opened.open?.behaviour ?? wanted,
      resolve: this.#resolve,
      onConnect: (target, status) =>
        this.#journal.record({ endpoint: "proxy", kind: "proxy", target, status }),
    });
    this.#lastId += 1;
    opened.open = { proxy, behaviour: wanted };
    this.#proxies.set(this.#lastId, opened.open);
    return this.get(this.#lastId);
  }

  list(): readonly ProxyInfo[] {
    return [...this.#proxies.keys()].map((id) => this.get(id));
  }

  get(id: number): ProxyInfo {
    const { proxy, behaviour } = this.#find(id);
    return { id, url: `http://127.0.0.1:${proxy.port}`, behaviour };
  }

  /** From the next CONNECT on; tunnels that stand are left alone. */
  change(id: number, input: BehaviourInput): ProxyInfo {
    this.#find(id).behaviour = toBehaviour(input);
    return this.get(id);
  }

  /** Ends every tunnel; new ones are taken. */
  cut(id: number): void {
    this.#find(id).proxy.cut();
  }

  async close(id: number): Promise<void> {
    const { proxy } = this.#find(id);
    this.#proxies.delete(id);
    await proxy.close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#proxies.keys()].map(async (id) => this.close(id)));
  }

  #find(id: number): OpenProxy {
    const open = this.#proxies.get(id);
    if (open === undefined) throw new CloudError(404, `there is no proxy ${id}`);
    return open;
  }
}

export function proxyAdminRoutes(proxies: FaultProxies): readonly AdminRoute[] {
  const one = "/proxies/:id";
  return [
    { method: "GET", path: "/proxies", run: () => proxies.list() },
    {
      method: "POST",
      path: "/proxies",
      run: async ({ body }) => proxies.open(parse(proxyBehaviour, body ?? {})),
    },
    {
      method: "PUT",
      path: one,
      run: ({ parameters, body }) => proxies.change(idIn(parameters), parse(proxyBehaviour, body)),
    },
    { method: "POST", path: `${one}/cut`, run: ({ parameters }) => proxies.cut(idIn(parameters)) },
    { method: "DELETE", path: one, run: async ({ parameters }) => proxies.close(idIn(parameters)) },
  ];
}

function idIn({ id = "" }: Readonly<Record<string, string>>): number {
  if (!/^[0-9]+$/.test(id)) throw new CloudError(400, "id: not a number");
  return Number(id);
}

function toBehaviour(input: BehaviourInput): ProxyBehaviour {
  const { credentials, answer, resetAfterBytes } = parse(proxyBehaviour, input);
  return {
    answer,
    ...(credentials === undefined ? {} : { credentials }),
    ...(resetAfterBytes === undefined ? {} : { resetAfterBytes }),
  };
}
