import { randomInt } from "node:crypto";
import { CloudError } from "./cloud-error.ts";
import { clientIdOf, topicsOf, type Frame } from "./fault-frames.ts";
import { operationOf } from "./fault-answer.ts";
import { createRandom } from "./fault-random.ts";
import {
  parseFaultRule,
  type ConnectionAct,
  type Direction,
  type FaultAct,
  type FaultMoment,
  type FaultRule,
  type LineAct,
  type Operation,
  type RequestAct,
} from "./fault-spec.ts";
import type { Journal } from "./journal.ts";

/** A rule that was given, with its number and how often it has struck. */
export interface Fault extends FaultRule {
  readonly id: number;
  readonly struck: number;
}

/** One connection, watched for the moments that rules wait for. */
export interface FaultWatch {
  packet(frame: Frame, direction: Direction): LineAct | undefined;
  /** The first moment among the next `length` bytes: after how many of them, and what to do. */
  bytes(direction: Direction, length: number): { readonly after: number; readonly act: LineAct } | undefined;
}

interface Rule {
  readonly id: number;
  readonly spec: ReturnType<typeof parseFaultRule>;
  struck: number;
}

/** Decides what goes wrong and when. The script is given by levers; transports ask at each moment. */
export class FaultDesk {
  /** Repeats the same chances when given to another cloud. */
  readonly seed: string;
  readonly #journal: Journal;
  readonly #rules = new Map<number, Rule>();
  /** How many connections each device has made to each endpoint: every one has chances of its own. */
  readonly #connections = new Map<string, number>();
  readonly #requests = new Map<string, number>();
  #lastId = 0;

  constructor(journal: Journal, seed = String(randomInt(2 ** 32))) {
    this.#journal = journal;
    this.seed = seed;
  }

  /** @throws CloudError 400 when the rule makes no sense. */
  add(input: FaultRule): Fault {
    const spec = parseFaultRule(input);
    this.#lastId += 1;
    const rule = { id: this.#lastId, spec, struck: 0 };
    this.#rules.set(rule.id, rule);
    if (spec.when.at === "chance") {
      this.#journal.record({ endpoint: spec.endpoint ?? "all", kind: "fault-seed", seed: this.seed });
    }
    return toFault(rule);
  }

  list(): readonly Fault[] {
    return [...this.#rules.values()].map((rule) => toFault(rule));
  }

  remove(id: number): void {
    if (!this.#rules.delete(id)) throw new CloudError(404, `there is no fault ${id}`);
  }

  clear(): void {
    this.#rules.clear();
  }

  /** A TCP connection has come in. */
  connection(endpoint: string, port: number): ConnectionAct | undefined {
    const rule = this.#find(endpoint, undefined, (moment) => {
      return moment.at === "connection" && (moment.port ?? port) === port;
    });
    return rule === undefined ? undefined : this.#strike(rule, endpoint, "connection", isConnectionAct);
  }

  /** A request has come in over HTTPS; over MQTT the watch of its connection sees it. */
  request(endpoint: string, clientId: string, operation: Operation): RequestAct | undefined {
    const rule = this.#find(endpoint, clientId, (moment, id) => {
      if (moment.at !== "request" || moment.operation !== operation) return false;
      return isNth(this.#requests, `${id}/${endpoint}/${clientId}`, moment.nth);
    });
    return rule === undefined ? undefined : this.#strike(rule, endpoint, operation, isRequestAct, clientId);
  }

  watch(endpoint: string): FaultWatch {
    const passed = { fromDevice: 0, toDevice: 0 };
    const counts = new Map<string, number>();
    let clientId = "";
    let random: (() => number) | undefined;
    return {
      packet: (frame, direction) => {
        const draw = random;
        if (draw === undefined && frame.name === "connect" && direction === "fromDevice") {
          clientId = clientIdOf(frame);
          random = createRandom(`${this.seed}/${this.#nextConnection(endpoint, clientId)}`);
        }
        const rule = this.#find(endpoint, clientId, (moment, id) => {
          if (moment.at === "chance") {
            // Each rule draws for itself: with one number for all, the likeliest rule would hide the others.
            const isRightWay = (moment.direction ?? direction) === direction;
            return isRightWay && draw !== undefined && draw() < moment.probability;
          }
          if (!isMeant(moment, frame, direction)) return false;
          return isNth(counts, String(id), "nth" in moment ? moment.nth : undefined);
        });
        if (rule === undefined) return undefined;
        return this.#strike(rule, endpoint, `${frame.name} ${direction}`, isLineAct, clientId);
      },
      bytes: (direction, length) => {
        const from = passed[direction];
        passed[direction] += length;
        if (this.#rules.size === 0) return undefined;
        const rule = this.#find(endpoint, clientId, (moment) => {
          if (moment.at !== "byte" || moment.direction !== direction) return false;
          return moment.byte > from && moment.byte <= from + length;
        });
        if (rule?.spec.when.at !== "byte") return undefined;
        const act = this.#strike(rule, endpoint, `byte ${direction}`, isLineAct, clientId);
        return act === undefined ? undefined : { after: rule.spec.when.byte - from, act };
      },
    };
  }

  /** The oldest rule that is not used up and waits for this. */
  #find(
    endpoint: string,
    clientId: string | undefined,
    isMoment: (moment: FaultMoment, id: number) => boolean,
  ): Rule | undefined {
    for (const rule of this.#rules.values()) {
      const { spec } = rule;
      const isOpen = spec.times === "always" || rule.struck < (spec.times ?? 1);
      if (!isOpen || (spec.endpoint ?? endpoint) !== endpoint) continue;
      if (spec.clientId !== undefined && spec.clientId !== clientId) continue;
      if (isMoment(spec.when, rule.id)) return rule;
    }
    return undefined;
  }

  #strike<T extends FaultAct>(
    rule: Rule,
    endpoint: string,
    moment: string,
    isKind: (act: FaultAct) => act is T,
    clientId?: string,
  ): T | undefined {
    const act = rule.spec.do;
    if (!isKind(act)) return undefined;
    rule.struck += 1;
    this.#journal.record({
      endpoint,
      kind: "fault",
      ...(clientId === undefined ? {} : { clientId }),
      fault: rule.id,
      moment,
      act: act.act,
    });
    return act;
  }

  #nextConnection(endpoint: string, clientId: string): string {
    const place = `${endpoint}/${clientId}`;
    const number = (this.#connections.get(place) ?? 0) + 1;
    this.#connections.set(place, number);
    return `${place}/${number}`;
  }
}

function isMeant(moment: FaultMoment, frame: Frame, direction: Direction): boolean {
  if (moment.at === "request") {
    return direction === "fromDevice" && operationOf(topicsOf(frame)[0] ?? "") === moment.operation;
  }
  if (moment.at !== "packet" || moment.packet !== frame.name) return false;
  if ((moment.direction ?? usualDirection(moment.packet)) !== direction) return false;
  const { topic } = moment;
  return topic === undefined || topicsOf(frame).some((text) => text.startsWith(topic));
}

function usualDirection(packet: string): Direction {
  return ["connack", "puback", "suback", "unsuback", "pingresp"].includes(packet) ? "toDevice" : "fromDevice";
}

/** Counts one more, and says whether that is the one; without a number each one is. */
function isNth(counts: Map<string, number>, key: string, nth: number | undefined): boolean {
  const number = (counts.get(key) ?? 0) + 1;
  counts.set(key, number);
  return nth === undefined || nth === number;
}

function toFault({ id, spec, struck }: Rule): Fault {
  return { ...spec, id, struck };
}

function isConnectionAct(act: FaultAct): act is ConnectionAct {
  return ["tls", "alert", "portal", "drop", "silence"].includes(act.act);
}

function isRequestAct(act: FaultAct): act is RequestAct {
  return ["answer", "drop", "silence", "delay"].includes(act.act);
}

function isLineAct(act: FaultAct): act is LineAct {
  return !["tls", "alert", "portal"].includes(act.act);
}
