import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Tpm } from "../src/identity/tpm/tpm.ts";
import { hasResourceManager } from "../src/identity/tpm/tcti.ts";

/** A TPM of the tester's own. What tests put into it they take out again, but for the two keys that the agent puts there too. */
export class NamedTpm implements Disposable {
  readonly tcti: string;
  /** On a memory file system, as the agent's own work. */
  readonly folder: string = mkdtempSync("/dev/shm/latebind-hardware-");

  /** @param name a device, or what tpm2-tools take: `/dev/tpmrm0`, `tabrmd:`, `swtpm:path=/run/swtpm`. */
  constructor(name: string) {
    this.tcti = name.startsWith("/") ? `device:${name}` : name;
  }

  get workDirectory(): string {
    return join(this.folder, "work");
  }

  open(): Tpm {
    const settings = {
      tcti: this.tcti,
      ekTemplate: "tcg",
      ekHandle: "0x81010001",
      srkHandle: "0x81000001",
    } as const;
    return new Tpm(settings, { workDirectory: this.workDirectory });
  }

  /** Runs a tool as the operator would. @returns its standard output. */
  async tool(name: string, ...args: readonly string[]): Promise<string> {
    const env = { ...process.env, TPM2TOOLS_TCTI: this.tcti, TSS2_LOG: "all+NONE" };
    const { stdout } = await promisify(execFile)(`tpm2_${name}`, args, { env, cwd: this.folder });
    if (name === "create" && !hasResourceManager(this.tcti)) await this.tool("flushcontext", "-t");
    return stdout;
  }

  /** All that is in the TPM: `persistent`, `transient`, `loaded-session`, `saved-session`. */
  async handles(kind: string): Promise<readonly string[]> {
    const listed = await this.tool("getcap", `handles-${kind}`);
    return listed.match(/0x[0-9A-Fa-f]+/g) ?? [];
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
