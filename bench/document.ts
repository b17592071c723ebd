import { numberCell, type Row, spreadCell } from './report.ts'
import { judged, type Judged, targetNames } from './targets.ts'

/**
 * Writes the results into a document, usually `docs/performance.md`.
 *
 * - Tables are between two comments that name their group, `<!-- bench:log -->` and `<!-- bench:log end -->`.
 *   Everything else is prose and stays unchanged.
 * - A line of a table is one row of one system in one sync mode. Lines of rows that were measured are replaced; all
 *   others stay, with the number of the run that they come from. Below each table, its runs are listed with command and
 *   machine.
 * - A target is judged again when everything that it needs was measured in one run. Missed targets are listed like met
 *   ones.
 * - The document itself is the only state. It contains no dates, so that the same rows produce the same text.
 */
export function writeInto(document: string, rows: readonly Row[]): string {
  let text = document
  for (const { name, holds } of groups) {
    const lines = rows.filter((row) => holds(row.workload)).map((row) => lineOf(row, rows))
    if (lines.length > 0) text = replaceBlock(text, name, rowTitles, (old) => merged(old, lines, 3))
  }
  const targets = judged(rows)
  if (targets.length === 0) return text
  return replaceBlock(text, 'targets', targetTitles, (old) => inOrder(merged(old, targets.map(targetLine), 1)))
}

/** The order in which groups are added to a document that does not have them. */
const groups: readonly { readonly name: string; readonly holds: (workload: string) => boolean }[] = [
  { name: 'joins', holds: (workload) => ['sessions', 'join', 'stream-table'].includes(workload) },
  { name: 'application', holds: (workload) => /^(latency-\d+k|startup|restart|restore)$/.test(workload) },
  { name: 'storage', holds: (workload) => /^(open|idle|compaction|rebalance)\b/.test(workload) },
  { name: 'log', holds: (workload) => /^(append|tail|cold|paced|half load|\d+ callers)\b/.test(workload) },
  { name: 'streams', holds: (workload) => /^(n0|filter|w1|w1h|kt)(-zod|-sparse)?$/.test(workload) },
]

/** The cells of a line, and the conditions under which they were measured. */
interface Line {
  readonly cells: readonly string[]
  readonly run: string
}

const rowTitles: readonly string[] = [
  'row',
  'system',
  'sync',
  'records/s, median (min-max)',
  'of floor',
  'times Kafka',
  'per CPU second',
  'CPU s per million',
  'peak MiB',
  'other',
  'run',
]
const targetTitles: readonly string[] = ['target', 'at least or at most', 'measured', 'verdict', 'run']

function lineOf(row: Row, rows: readonly Row[]): Line {
  // In earlier outputs, only Kafka's row has the ratio.
  const beside = rows.find(({ workload, system }) => workload === row.workload && system === 'Kafka Streams')
  const ratios = row.system !== 'millrace' || row['ratio'] !== undefined ? row : (beside ?? row)
  const times = (field: string): string => (row.system === 'millrace' ? numberCell(ratios[field]) : '')
  return {
    cells: [
      row.workload,
      row.system,
      row.sync,
      spreadCell(row.recordsPerSecond),
      numberCell(row['ofFloor']),
      times('ratio'),
      times('cpuRatio'),
      numberCell(row.cpuSecondsPerMillion?.median),
      numberCell(row.peakRssApp?.median),
      row.note ?? '',
    ],
    run: conditionsOf(row),
  }
}

function targetLine({ what, limit, measured, verdict, rows }: Judged): Line {
  const run = [...new Set(rows.map(conditionsOf))].join('; and ')
  return { cells: [what, limit, measured, verdict], run }
}

/** What one must know to measure a row again. */
export function conditionsOf(row: Row): string {
  const text = (field: string): string | null => (typeof row[field] === 'string' ? row[field] : null)
  const runs = `${row.runs} run${row.runs === 1 ? '' : 's'} of each`
  const source = text('source')
  return [
    `\`${text('command') ?? 'npm run bench'}\``,
    text('machine'),
    runs,
    source === null ? null : `input ${source}${source.includes('seed') ? '' : ' (a file: no seed)'}`,
    text('commit') === null ? null : `commit ${text('commit')}`,
  ]
    .filter((part) => part !== null)
    .join('; ')
}

/** The old lines with new ones in their places; the first `keyCells` cells identify a line. */
function merged(old: readonly Line[], lines: readonly Line[], keyCells: number): Line[] {
  const all = [...old]
  const key = ({ cells }: Line): string => cells.slice(0, keyCells).join('|')
  for (const line of lines) {
    const same = all.findIndex((each) => key(each) === key(line))
    if (same >= 0) {
      all[same] = line
      continue
    }
    const sibling = all.findLastIndex(({ cells }) => cells[0] === line.cells[0])
    all.splice(sibling < 0 ? all.length : sibling + 1, 0, line)
  }
  return all
}

/** Targets in the order of their list; former targets are removed. */
function inOrder(lines: readonly Line[]): Line[] {
  return targetNames().flatMap((name) => lines.find(({ cells }) => cells[0] === name) ?? [])
}

function replaceBlock(
  document: string,
  group: string,
  titles: readonly string[],
  change: (old: readonly Line[]) => readonly Line[],
): string {
  const begin = `<!-- bench:${group} -->`
  const end = `<!-- bench:${group} end -->`
  const from = document.indexOf(begin)
  const to = document.indexOf(end, from)
  if (from < 0 !== to < 0) throw new Error(`the document has '${begin}' or '${end}' alone: add the other or remove it`)
  const old = from < 0 ? [] : linesOf(document.slice(from + begin.length, to), titles)
  const block = `${begin}\n\n${blockOf(titles, change(old))}\n\n${end}`
  if (from < 0) return `${document.trimEnd()}\n\n${block}\n`
  return document.slice(0, from) + block + document.slice(to + end.length)
}

/**
 * The lines of an existing table with their runs. Columns are found by their titles, because new ones may have been
 * added.
 */
function linesOf(block: string, titles: readonly string[]): Line[] {
  const lines = block.split('\n')
  const [head, , ...body] = lines.filter((line) => line.startsWith('|')).map(cellsOf)
  if (head === undefined) return []
  const runs = lines.flatMap((line) => /^\d+\. (.*)$/.exec(line)?.[1] ?? [])
  const at = titles.map((title) => head.indexOf(title))
  return body.map((cells) => ({
    cells: at.slice(0, -1).map((index) => cells[index] ?? ''),
    run: runs[Number(cells[at.at(-1) ?? -1]) - 1] ?? '',
  }))
}

function cellsOf(line: string): string[] {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim())
}

function blockOf(titles: readonly string[], lines: readonly Line[]): string {
  const runs = [...new Set(lines.map(({ run }) => run))].filter((run) => run !== '')
  const body = lines.map(({ cells, run }) => [...cells, run === '' ? '' : String(runs.indexOf(run) + 1)])
  const list = runs.map((run, index) => `${index + 1}. ${run}`).join('\n')
  return list === '' ? markdownTable([titles, ...body]) : `${markdownTable([titles, ...body])}\n\n${list}`
}

/** A table with padded columns, as this repository's formatter writes it. */
function markdownTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(3, ...rows.map((row) => (row[column] ?? '').length)))
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const padded = rows.map((row) => line(widths.map((width, column) => (row[column] ?? '').padEnd(width))))
  return [padded[0], line(widths.map((width) => '-'.repeat(width))), ...padded.slice(1)].join('\n')
}
