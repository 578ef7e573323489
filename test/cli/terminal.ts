import { runProgram } from "../../src/cli/program.ts";
import type { ConfigSources } from "../../src/config/load.ts";
import { Pkcs11Tokens } from "../../src/identity/pkcs11/tokens.ts";
import { systemClock } from "../../src/platform/time.ts";

interface Screen {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What `latebind run` was started with. */
  readonly ran: readonly ConfigSources[];
}

interface Situation {
  /** What is piped in; a person at the keyboard where absent. */
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly runCode?: number;
}

/** Runs a command line and keeps what a user would see. */
export async function terminal(args: readonly string[], situation: Situation = {}): Promise<Screen> {
  const screen = { stdout: "", stderr: "", ran: [] as ConfigSources[] };
  const { stdin, env = {}, runCode = 0 } = situation;
  using tokens = new Pkcs11Tokens();
  const code = await runProgram(args, {
    version: "1.2.3",
    io: {
      stdout: (text) => {
        screen.stdout += text;
      },
      stderr: (text) => {
        screen.stderr += text;
      },
      readStdin: async () => {
        if (stdin === undefined) throw new Error("a person at the keyboard was waited for");
        return stdin;
      },
      isStdinTerminal: stdin === undefined,
      env,
    },
    device: { hostName: "host-7", clock: systemClock, tokens, memoryDirectory: "/dev/shm" },
    applyHelper: async () => 0,
    run: async (sources) => {
      screen.ran.push(sources);
      return runCode;
    },
  });
  return { ...screen, code };
}
