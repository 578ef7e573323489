/** What the shell and systemd learn from a command. */
export const exitCode = {
  ok: 0,
  failure: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** EX_CONFIG of sysexits.h: the configuration is wrong; starting again without mending it is of no use. */
  config: 78,
} as const;
