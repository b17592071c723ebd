import { cpus, totalmem } from 'node:os'

export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

/** One row, with the field names of the anchors, so that scripts can compare the two. */
export interface Row {
  readonly workload: string
  readonly system: string
  readonly sync: string
  readonly records: number
  readonly runs: number
  readonly recordsPerSecond?: Spread
  readonly cpuSecondsApp?: Spread
  readonly cpuSecondsPerMillion?: Spread
  readonly peakRssApp?: Spread
  readonly startToFirstResultMs?: Spread
  readonly note?: string
  readonly [field: string]: unknown
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right)
  const at = (index: number): number => round(sorted[index] ?? Number.NaN)
  return { min: at(0), median: round(medianOf(values)), max: at(sorted.length - 1) }
}

/** Of an even number of values, the mean of the two in the middle: the lower one alone would flatter latencies. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = (sorted.length - 1) / 2
  const [lower, upper] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]]
  return lower === undefined || upper === undefined ? Number.NaN : (lower + upper) / 2
}

function round(value: number): number {
  return value >= 1000 ? Math.round(value) : Math.round(value * 100) / 100
}

export function machine(): string {
  const first = cpus()[0]
  return `${cpus().length} x ${first?.model.trim() ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform}, Node ${process.version}`
}

/** The possible columns of a row, with width and format. */
const columns: readonly { readonly title: string; readonly width: number; readonly cell: (row: Row) => string }[] = [
  { title: 'row', width: 24, cell: (row) => row.workload },
  { title: 'system', width: 14, cell: (row) => row.system },
  { title: 'sync', width: 7, cell: (row) => row.sync },
  { title: 'records/s (min-max)', width: 31, cell: (row) => spreadCell(row.recordsPerSecond) },
  { title: 'of floor', width: 9, cell: (row) => numberCell(row['ofFloor']) },
  { title: 'CPU s/M', width: 8, cell: (row) => numberCell(row.cpuSecondsPerMillion?.median) },
  { title: 'peak MiB', width: 9, cell: (row) => numberCell(row.peakRssApp?.median) },
  { title: 'other', width: 40, cell: (row) => row.note ?? '' },
]

export function table(rows: readonly Row[]): string {
  const line = (cell: (column: (typeof columns)[number]) => string): string =>
    columns
      .map((column) => cell(column).padEnd(column.width))
      .join(' ')
      .trimEnd()
  return [line((column) => column.title), ...rows.map((row) => line((column) => column.cell(row)))].join('\n')
}

export function spreadCell(spread: Spread | undefined): string {
  if (spread === undefined) return ''
  const text = (value: number): string => Math.round(value).toLocaleString('en-US')
  return `${text(spread.median)} (${text(spread.min)}-${text(spread.max)})`
}

export function numberCell(value: unknown): string {
  if (typeof value !== 'number' || Number.isNaN(value)) return ''
  return value >= 100 ? String(Math.round(value)) : value.toFixed(2)
}
