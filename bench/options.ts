import { parseArgs } from 'node:util'
import { logBenchRows as clientRows } from './log/log-bench.ts'
import { storageBenchRows } from './log/storage-bench.ts'

const logBenchRows: readonly string[] = [...clientRows, ...storageBenchRows, 'log-rebalance']

/** What to run, on which data, and how often: `npm run bench -- w1,n0 --records 500000 --runs 3 --json`. */
export interface BenchOptions {
  readonly rows: readonly string[]
  readonly records: number
  readonly runs: number
  readonly speed: number
  readonly sync: 'commit' | 'os'
  readonly json: boolean
  readonly against: 'kafka' | null
  readonly data: string
  readonly anchors: string
  readonly directory: string | null
  readonly out: string | null
  readonly doc: string | null
  readonly from: string | null
}

export const usage: string = `usage: npm run bench -- [ROW,ROW...] [options]
  rows       append tail n0 n0-zod filter w1 w1-zod w1-sparse w1h kt kt-zod sessions join
             stream-table latency startup restart restore (default: all)
             log: the log alone, as its clients see it (${logBenchRows.join(' ')})
  --records N       input records, default 2128840 (8 copies of the data set)
  --runs N          runs of each row, default 3; the median is the one to quote
  --speed N         event time runs this many times faster, default 1000 (as the anchors' fair case)
  --sync MODE       commit (default): synced before it is acknowledged; os: survives a crash of the process
  --against kafka   alternates with Kafka and Kafka Streams; needs Java 17, Maven and --anchors DIR
  --anchors DIR     default ../shared/anchors
  --data FILE       default ../shared/data/gharchive-10h.jsonl.br; absent: events of the same shape from a seed
  --directory DIR   where the logs go, default a temporary directory; decides which disk is measured
  --out FILE        writes the rows as JSON there as well
  --doc FILE        writes the rows that ran, and the targets that they decide, into the tables of that document
  --from FILE       runs nothing: takes the rows of an earlier run, as --out wrote or --json printed them
  --json            an object per row on standard output instead of the table`

const allRows: readonly string[] = [
  'append',
  'tail',
  'n0',
  'n0-zod',
  'filter',
  'w1',
  'w1-zod',
  'w1-sparse',
  'w1h',
  'kt',
  'kt-zod',
  'sessions',
  'join',
  'stream-table',
  'latency',
  'startup',
  'restart',
  'restore',
]

export class UsageError extends Error {}

export function parseOptions(argv: readonly string[]): BenchOptions {
  const { values, positionals } = parse(argv)
  const rows = positionals
    .flatMap((list) => list.split(','))
    .flatMap((name) => (name === 'log' ? logBenchRows : name === '' ? [] : [name]))
  for (const row of rows) {
    if (allRows.includes(row) || logBenchRows.includes(row)) continue
    throw new UsageError(`no row is called '${row}'; there are ${[...allRows, 'log', ...logBenchRows].join(', ')}`)
  }
  if (values.sync !== 'commit' && values.sync !== 'os')
    throw new UsageError(`--sync is commit or os, not '${values.sync}'`)
  if (values.against !== undefined && values.against !== 'kafka') {
    throw new UsageError(`--against takes kafka, not '${values.against}'`)
  }
  return {
    rows: rows.length === 0 ? allRows : rows,
    records: positive('records', values.records),
    runs: positive('runs', values.runs),
    speed: positive('speed', values.speed),
    sync: values.sync,
    json: values.json,
    against: values.against ?? null,
    data: values.data,
    anchors: values.anchors,
    directory: values.directory ?? null,
    out: values.out ?? null,
    doc: values.doc ?? null,
    from: values.from ?? null,
  }
}

function parse(argv: readonly string[]): ReturnType<typeof parseArgs<typeof definition>> {
  try {
    return parseArgs({ ...definition, args: [...argv] })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

const definition = {
  allowPositionals: true,
  options: {
    records: { type: 'string', default: '2128840' },
    runs: { type: 'string', default: '3' },
    speed: { type: 'string', default: '1000' },
    sync: { type: 'string', default: 'commit' },
    against: { type: 'string' },
    anchors: { type: 'string', default: '../shared/anchors' },
    data: { type: 'string', default: '../shared/data/gharchive-10h.jsonl.br' },
    directory: { type: 'string' },
    out: { type: 'string' },
    doc: { type: 'string' },
    from: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
} as const

/** The command without options that only say where files are, because these do not affect the results. */
export function commandOf(argv: readonly string[]): string {
  const { tokens } = parseArgs({ ...definition, args: [...argv], tokens: true })
  const elsewhere: ReadonlySet<string> = new Set(['anchors', 'data', 'directory', 'out', 'doc', 'from', 'json'])
  const words = tokens.flatMap((token) => {
    if (token.kind === 'positional') return [token.value]
    if (token.kind !== 'option' || elsewhere.has(token.name)) return []
    return token.value === undefined ? [`--${token.name}`] : [`--${token.name}`, token.value]
  })
  return ['npm run bench', ...(words.length === 0 ? [] : ['--', ...words])].join(' ')
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1)
    throw new UsageError(`--${name} is a whole number of 1 or more, not '${text}'`)
  return value
}
