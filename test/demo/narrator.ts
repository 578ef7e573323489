import type { WriteStream } from "node:tty";
import { styleText } from "node:util";
import { DemoFailure, Interrupted } from "./failure.ts";

type Style = Parameters<typeof styleText>[0];

/** Where the time of a check ends: with the mark in front, within 80 columns. */
const timeColumn = 73;

/** Tells the story on a terminal: numbered steps, what the operator types, facts that were checked and how long they took. */
export class Narrator {
  readonly #out: WriteStream;
  readonly #startedAt = performance.now();
  #step = 0;
  #title = "";
  #facts = 0;
  #isAfterGap = false;
  /** When the latest act or fact was, in ms since 1970: times are counted from there. */
  #moment: number = Date.now();

  constructor(out: WriteStream) {
    this.#out = out;
  }

  headline(text: string): void {
    this.#line(this.#styled("bold", text));
  }

  say(text: string): void {
    this.#line(`  ${text}`);
  }

  /** One empty line, however often it is asked for. */
  gap(): void {
    if (!this.#isAfterGap) this.#line();
  }

  /** A file's content or the like, indented. */
  show(text: string): void {
    this.gap();
    for (const line of text.trimEnd().split("\n")) {
      this.#line(line === "" ? "" : `      ${this.#styled("cyan", line)}`);
    }
    this.gap();
  }

  step(title: string): void {
    this.#step += 1;
    this.#title = title;
    this.gap();
    this.#line(this.#styled("bold", `${this.#step}. ${title}`));
  }

  /** Something that is being done, and starts the clock. */
  act(text: string): void {
    this.#moment = Date.now();
    this.#line(`  ${this.#styled("yellow", "▸")} ${text}`);
  }

  /** A command as the operator would type it; starts the clock. */
  typed(command: string): void {
    this.#moment = Date.now();
    this.#line(`  ${this.#styled("yellow", "$")} ${this.#styled("yellow", command)}`);
  }

  /**
   * States a fact once `prove` has established it, with the time since the act or fact before it.
   * @param prove returns when it became true, in ms since 1970, or undefined where time says nothing.
   */
  async check(fact: string, prove: () => Promise<number | undefined>): Promise<void> {
    if (this.#out.isTTY) this.#out.write(`  ${this.#styled("dim", `· ${fact} …`)}`);
    try {
      const provedAt = await prove();
      this.#facts += 1;
      this.#clearLine();
      this.#line(`  ${this.#styled("green", "✓")} ${this.#timed(fact, provedAt)}`);
    } catch (error) {
      this.#clearLine();
      if (!(error instanceof Interrupted)) this.#line(`  ${this.#styled("red", "✗")} ${fact}`);
      throw error;
    }
  }

  failed(error: unknown, agentLog: readonly string[]): void {
    this.gap();
    this.#line(this.#styled("red", `The demo failed in step ${this.#step}, "${this.#title}".`));
    if (error instanceof DemoFailure) {
      this.say(`expected  ${error.expected}`);
      for (const [index, line] of error.found.entries())
        this.say(`${index === 0 ? "found   " : "        "}  ${line}`);
    } else this.show(error instanceof Error ? (error.stack ?? error.message) : String(error));
    if (agentLog.length === 0) return;
    this.#line("The last lines of the agent's log:");
    this.show(agentLog.join("\n"));
  }

  done(): void {
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1);
    this.gap();
    this.#line(this.#styled(["bold", "green"], `All ${this.#facts} facts were verified in ${seconds} s.`));
  }

  #timed(fact: string, provedAt: number | undefined): string {
    if (provedAt === undefined) return fact;
    const tookMs = Math.max(0, Math.round(provedAt - this.#moment));
    this.#moment = Math.max(this.#moment, provedAt);
    const time = tookMs < 1000 ? `${tookMs} ms` : `${(tookMs / 1000).toFixed(2)} s`;
    return `${fact} ${this.#styled("dim", time.padStart(timeColumn - fact.length))}`;
  }

  #clearLine(): void {
    if (this.#out.isTTY) this.#out.write("\r\u001B[2K");
  }

  #line(text = ""): void {
    this.#isAfterGap = text === "";
    this.#out.write(`${text}\n`);
  }

  /** Plain where the output is no terminal, or where NO_COLOR asks for it. */
  #styled(style: Style, text: string): string {
    return styleText(style, text, { stream: this.#out });
  }
}
