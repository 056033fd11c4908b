/** One way to run a program: wall times of single runs in `ms`, and CPU time per run */
export type Series = { readonly wallMs: number[]; cpuMs: number }

export const percentile = (values: readonly number[], fraction: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))] ?? Number.NaN
}

const number = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)

/** Rows of a table, with ratios to the first series of the same run: those hold on a noisy machine, the times do not */
export const rowsOf = (program: string, ways: Readonly<Record<string, Series>>): string[][] => {
  const [bare] = Object.values(ways)
  if (!bare) return []
  return Object.entries(ways).map(([way, series]) => {
    const p50 = percentile(series.wallMs, 0.5)
    return [
      program,
      way,
      number(p50),
      number(percentile(series.wallMs, 0.99)),
      number(series.cpuMs),
      `x${number(p50 / percentile(bare.wallMs, 0.5))}`,
      `x${number(series.cpuMs / bare.cpuMs)}`,
      `+${number(p50 - percentile(bare.wallMs, 0.5))}`,
    ]
  })
}

/** A table in Markdown, with columns as wide as their cells */
export const table = (head: readonly string[], rows: readonly string[][]): string => {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}
