/** Plain text tables, with words aligned to the left and numbers to the right. */
export interface Table {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
  /** A line below the table, if any: how many rows were left out. */
  readonly note?: string
}

/** Longer cells are cut, so that one long address does not break every line of the table. */
const cellWidthMax = 48

export function formatTable(table: Table): string {
  const cells = table.rows.map((row) => row.map(cellText))
  const widths = table.columns.map((column, index) =>
    Math.max(column.length, ...cells.map((row) => row[index]?.length ?? 0)),
  )
  const numeric = table.columns.map((_, index) => table.rows.every((row) => typeof row[index] === 'number'))
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => {
        const width = widths[index] ?? 0
        return numeric[index] && table.rows.length > 0 ? text.padStart(width) : text.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  const ruler = widths.map((width) => '─'.repeat(width))
  return [table.title, '', line(table.columns), line(ruler), ...cells.map(line)]
    .concat(table.note === undefined ? [] : [table.note])
    .map((text, index) => (index === 0 || text === '' ? text : `  ${text}`))
    .join('\n')
}

/** Text from outside may contain characters that move a terminal's cursor; they are shown as `?`. */
function cellText(cell: string | number): string {
  if (typeof cell === 'number') return formatNumber(cell)
  const plain = cell.replace(/\p{C}/gu, '?')
  return plain.length > cellWidthMax ? `${plain.slice(0, cellWidthMax - 1)}…` : plain
}

/** Made once: to make it takes several times as long as to use it. */
const numbers = new Intl.NumberFormat('en-US')

/** `1234567` as `1,234,567`. */
export function formatNumber(value: number): string {
  return numbers.format(value)
}

/** `2025-11-28 20:15`, in UTC. */
export function formatMinute(time: number): string {
  return new Date(time).toISOString().slice(0, 16).replace('T', ' ')
}
