/** The terminal as the commands see it. */
export interface CliIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** All of standard input as UTF-8 text, until its end. */
  readonly readStdin: () => Promise<string>;
  /** A person sits at standard input; nothing is piped into it. */
  readonly isStdinTerminal: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}
