/** Formats rows as columns of text: numbers are right-aligned, everything else left-aligned. */
export function textTable(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = rows.map((row) => row.map(cellText))
  const widths = columns.map((column, at) => Math.max(column.length, ...cells.map((row) => row[at]?.length ?? 0)))
  const numeric = columns.map((_, at) => rows.length > 0 && rows.every((row) => typeof row[at] === 'number'))
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, at) => (numeric[at] === true ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(columns.map((column) => column.toUpperCase())), ...cells.map(line)].join('\n')
}

export type Cell = string | number | null

function cellText(cell: Cell): string {
  if (cell === null) return '-'
  return typeof cell === 'number' ? cell.toLocaleString('en-US') : plain(cell)
}

/** Replaces control characters by `?`, because text from outside could move the terminal's cursor. */
export function plain(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?')
}

/** `1 record`, `2,000 records`. */
export function counted(count: number, what: string): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? what : `${what}s`}`
}
