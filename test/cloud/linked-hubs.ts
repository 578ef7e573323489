import * as v from "valibot";
import { CloudError } from "./cloud-error.ts";
import type { Hub } from "./hub.ts";

const hubNameRule = "a hub's name is up to 50 of a-z 0-9 -, starts with a letter and is not dps";
export const hubName = v.pipe(
  v.string(),
  v.check((name) => /^[a-z][a-z0-9-]{0,49}$/.test(name) && name !== "dps", hubNameRule),
);

/** What DPS knows about a hub beside its registry. */
export interface HubLink {
  /** For the allocation policy `geoLatency`: how far the hub is said to be from every device. */
  readonly latencyMs: number;
  /** May DPS change the hub's registry? False is what remains after somebody has rotated the hub's own keys. */
  readonly isAuthorized: boolean;
}

interface LinkChange {
  readonly latencyMs?: number | undefined;
  readonly isAuthorized?: boolean | undefined;
}

/** The hubs that DPS may assign devices to. */
export class LinkedHubs {
  readonly #hubs: ReadonlyMap<string, Hub>;
  readonly #links = new Map<string, HubLink>();

  constructor(hubs: ReadonlyMap<string, Hub>) {
    this.#hubs = hubs;
  }

  names(): readonly string[] {
    return [...this.#hubs.keys()];
  }

  find(name: string | undefined): Hub | undefined {
    return name === undefined ? undefined : this.#hubs.get(name);
  }

  findByHost(host: string): Hub | undefined {
    return [...this.#hubs.values()].find(({ hostNames }) => hostNames.includes(host.toLowerCase()));
  }

  /** In the order of their making hubs are 10 ms, 20 ms, … away until somebody says otherwise. */
  link(name: string): HubLink {
    const place = this.names().indexOf(name);
    if (place < 0) throw new CloudError(404, `there is no hub ${name}`);
    return this.#links.get(name) ?? { latencyMs: 10 * (place + 1), isAuthorized: true };
  }

  setLink(name: string, change: LinkChange): HubLink {
    const old = this.link(name);
    const link = {
      latencyMs: change.latencyMs ?? old.latencyMs,
      isAuthorized: change.isAuthorized ?? old.isAuthorized,
    };
    this.#links.set(name, link);
    return link;
  }
}
