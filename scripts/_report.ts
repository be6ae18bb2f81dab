/** Printing for the scripts: colours only on a terminal, tables, seconds. */
import process from "node:process";

const coloured = process.stdout.isTTY === true && !process.env["NO_COLOR"];

function paint(code: number): (text: string) => string {
  return (text) => coloured ? `\x1b[${code}m${text}\x1b[0m` : text;
}

/** Colours that vanish when the output is not a terminal. */
export const bold: (text: string) => string = paint(1);
/** See {@link bold}. */
export const red: (text: string) => string = paint(31);
/** See {@link bold}. */
export const green: (text: string) => string = paint(32);
/** See {@link bold}. */
export const dim: (text: string) => string = paint(2);

/** Milliseconds as "12.3 s". */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Lines of aligned columns; the first row is the heading, numbers are aligned right. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const text = rows.map((row) => row.map(String));
  const widths = (text[0] ?? []).map((_, column) =>
    Math.max(...text.map((row) => row[column]?.length ?? 0))
  );
  const isNumber = widths.map((_, column) => typeof rows[1]?.[column] === "number");
  return text.map((row) =>
    row.map((cell, column) =>
      isNumber[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)
    ).join("  ").trimEnd()
  ).join("\n");
}
