import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { softHsmModule } from "./soft-hsm.ts";

/** OpenSC's spy between the agent and SoftHSM, which writes every call down. It is told where by the environment. */
export class LoginCounter implements Disposable {
  readonly module = "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so";
  readonly #folder: string = mkdtempSync(join(tmpdir(), "latebind-spy-"));

  constructor() {
    process.env["PKCS11SPY"] = softHsmModule;
    process.env["PKCS11SPY_OUTPUT"] = join(this.#folder, "calls");
  }

  /** Everything that crossed, in the spy's words. */
  calls(): string {
    const file = join(this.#folder, "calls");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  /** The answer to each login, in order. */
  logins(): readonly string[] {
    return [...this.calls().matchAll(/: C_Login\n[\s\S]*?\nReturned: +\d+ (\w+)/g)].map(
      ([, answer]) => answer ?? "",
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
