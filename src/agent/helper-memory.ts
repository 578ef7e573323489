import * as v from "valibot";
import { AgentError, systemCode } from "../platform/failure.ts";
import { readIfPresent, writeFileAtomically } from "../platform/files.ts";
import { isJson, parseJson, type Json } from "../platform/json.ts";

const json = v.custom<Json>(isJson);
const content = v.object({
  fingerprint: v.string(),
  /** The value that was put in force last. */
  value: v.exactOptional(json),
  /** What undoes the change on trial: the state before it, and the value that stood for that state. */
  kept: v.exactOptional(v.object({ state: json, version: v.number(), previous: v.exactOptional(json) })),
});
export type HelperRemembered = Omit<v.InferOutput<typeof content>, "fingerprint">;

/** What the helper knows of one property. It is its own, so that nobody else can say what is to be put back. */
export class HelperMemory {
  readonly #file: string;
  readonly #fingerprint: string;

  /** @param fingerprint of the rule: what was kept under another one is of no use. */
  constructor(file: string, fingerprint: string) {
    this.#file = file;
    this.#fingerprint = fingerprint;
  }

  async read(): Promise<HelperRemembered> {
    const bytes = await this.#trying(async () => readIfPresent(this.#file));
    const parsed = v.safeParse(content, bytes === undefined ? undefined : parseJson(bytes));
    if (!parsed.success || parsed.output.fingerprint !== this.#fingerprint) return {};
    const { fingerprint: _, ...remembered } = parsed.output;
    return remembered;
  }

  /** @throws AgentError `platform/state-not-written` (retry). */
  async write(remembered: HelperRemembered): Promise<void> {
    const text = JSON.stringify({ ...remembered, fingerprint: this.#fingerprint });
    await this.#trying(async () => writeFileAtomically(this.#file, text, { mode: 0o600 }));
  }

  async #trying<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const code = systemCode(error);
      if (code === "") throw error;
      throw new AgentError("platform/state-not-written", "retry", `${this.#file}: ${code}`, { cause: error });
    }
  }
}
