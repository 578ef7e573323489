/** What is allowed for the agent: so many times a control, so much above it, or so much at all. */
export type Target =
  | { readonly of: ControlName; readonly factor: number }
  | { readonly of: ControlName; readonly above: number }
  | { readonly atMost: number };

export type ControlName = "bare" | "control";

/** One line of the result. Without a target it is for information. */
export interface Row {
  readonly what: string;
  readonly bare?: number;
  readonly control?: number;
  readonly agent: number;
  readonly target?: Target;
}

const header = ["", "bare", "control", "agent", "agent/bare", "agent/control", "target", ""];

/** The controls beside the agent, one row a line, with a verdict where there is a target. */
export function formatTable(rows: readonly Row[]): string {
  const lines = [header, ...rows.map(formatRow)];
  const widths = header.map((_name, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, column) => pad(cell, column, widths))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

export function isMet(row: Row): boolean {
  const { agent, target } = row;
  if (target === undefined) return true;
  if ("atMost" in target) return agent <= target.atMost;
  const control = row[target.of] ?? 0;
  return agent <= ("factor" in target ? control * target.factor : control + target.above);
}

function formatRow(row: Row): readonly string[] {
  const { what, bare, control, agent, target } = row;
  const verdict = target === undefined ? ["", ""] : [describe(target), isMet(row) ? "met" : "MISSED"];
  return [
    what,
    figure(bare),
    figure(control),
    figure(agent),
    ratio(agent, bare),
    ratio(agent, control),
    ...verdict,
  ];
}

function describe(target: Target): string {
  if ("atMost" in target) return `<= ${target.atMost}`;
  return "factor" in target ? `<= ${target.factor} x ${target.of}` : `<= ${target.of} + ${target.above}`;
}

function figure(value: number | undefined): string {
  if (value === undefined) return "";
  return Number.isInteger(value) ? value.toFixed(0) : value.toFixed(Math.abs(value) < 10 ? 2 : 1);
}

function ratio(agent: number, control: number | undefined): string {
  return control === undefined || control === 0 ? "" : (agent / control).toFixed(2);
}

function pad(cell: string, column: number, widths: readonly number[]): string {
  const width = widths[column] ?? 0;
  return column === 0 || column > 5 ? cell.padEnd(width) : cell.padStart(width);
}
