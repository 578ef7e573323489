import { DemoFailure } from "./failure.ts";
import type { Narrator } from "./narrator.ts";

/** The person who runs the cloud: pulls its levers over HTTP, and shows each as the command one would type. */
export class Operator {
  readonly #adminUrl: string;
  readonly #narrator: Narrator;

  constructor(adminUrl: string, narrator: Narrator) {
    this.#adminUrl = adminUrl;
    this.#narrator = narrator;
  }

  /** @throws DemoFailure when the cloud does not do it. */
  async pull(method: "PUT" | "POST" | "PATCH" | "DELETE", path: string, body?: object): Promise<void> {
    this.#narrator.typed(this.command(method, path, body));
    const response = await fetch(`${this.#adminUrl}${path}`, {
      method,
      signal: AbortSignal.timeout(5_000),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = await response.text();
    if (!response.ok)
      throw new DemoFailure("the cloud does what its operator says", [`${response.status} ${answer}`]);
  }

  command(method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE", path: string, body?: object): string {
    const data = body === undefined ? "" : ` -d '${JSON.stringify(body)}'`;
    return `curl${method === "GET" ? "" : ` -X ${method}`} ${this.#adminUrl}${path}${data}`;
  }
}
