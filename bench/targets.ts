import type { Row, Spread } from './report.ts'

/** The target of a row, and whether it was met. */
export interface Judged {
  readonly what: string
  readonly limit: string
  readonly measured: string
  readonly verdict: string
  /** The rows that it was judged by. */
  readonly rows: readonly Row[]
}

/** All targets for which the rows contain what is needed, in the order of the list below. */
export function judged(rows: readonly Row[]): Judged[] {
  return targets.flatMap((target) => {
    const used: Row[] = []
    const look: Look = (workload, sync) => {
      const found = rows.find(
        (each) =>
          each.workload === workload && each.system === 'millrace' && (sync === undefined || each.sync === sync),
      )
      if (found === undefined) return undefined
      const row = withRatios(found, rows)
      used.push(row)
      return row
    }
    const value = target.value(look)
    if (value === null || !Number.isFinite(value)) return []
    const { what, unit, limit } = target
    const limitText = `${target.atMost === true ? 'at most' : 'at least'} ${amount(limit)}${unit}`
    return [
      { what, limit: limitText, measured: `${amount(value)}${unit}`, verdict: verdictOf(target, value), rows: used },
    ]
  })
}

export function targetNames(): string[] {
  return targets.map(({ what }) => what)
}

type Look = (workload: string, sync?: string) => Row | undefined

interface Target {
  readonly what: string
  readonly unit: string
  readonly limit: number
  /** True if less is better. Default: more is better. */
  readonly atMost?: boolean
  readonly value: (look: Look) => number | null
}

function verdictOf({ limit, atMost = false }: Target, value: number): string {
  const miss = atMost ? value / limit - 1 : 1 - value / limit
  if (miss <= 0) return 'met'
  return miss < 0.01 ? 'missed by less than 1 %' : `missed by ${Math.round(miss * 100)} %`
}

function amount(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  return String(Math.round(value * 100) / 100)
}

/** In earlier outputs, only Kafka's row has the ratio. */
function withRatios(row: Row, rows: readonly Row[]): Row {
  if (row['ratio'] !== undefined) return row
  const kafka = rows.find(({ workload, system }) => workload === row.workload && system === 'Kafka Streams')
  return kafka === undefined ? row : { ...row, ratio: kafka['ratio'], cpuRatio: kafka['cpuRatio'] }
}

function median(row: Row | undefined, field: string): number | null {
  const spread = row?.[field]
  return isSpread(spread) ? spread.median : typeof spread === 'number' ? spread : null
}

function isSpread(value: unknown): value is Spread {
  return typeof value === 'object' && value !== null && 'median' in value && typeof value.median === 'number'
}

function quotient(above: number | null, below: number | null): number | null {
  return above === null || below === null ? null : above / below
}

const of =
  (workload: string, field: string, sync?: string) =>
  (look: Look): number | null =>
    median(look(workload, sync), field)

const perSecond = (what: string, workload: string, limit: number, sync?: string): Target => ({
  what: `${what}, records/s`,
  unit: '/s',
  limit,
  value: of(workload, 'recordsPerSecond', sync),
})
const times = (what: string, workload: string, limit: number, sync?: string): Target => ({
  what: `${what} against Kafka`,
  unit: ' times',
  limit,
  value: of(workload, 'ratio', sync),
})
const perCpu = (what: string, workload: string, limit: number): Target => ({
  what: `${what} against Kafka per CPU second`,
  unit: ' times',
  limit,
  value: of(workload, 'cpuRatio'),
})
const ofFloor = (what: string, workload: string, limit: number): Target => ({
  what: `${what}, of the floor`,
  unit: '',
  limit,
  value: of(workload, 'ofFloor'),
})
const within = (what: string, workload: string, field: string, limit: number, unit = ' ms', sync?: string): Target => ({
  what,
  unit,
  limit,
  atMost: true,
  value: of(workload, field, sync),
})

/** How many times longer a larger case takes to be ready than a smaller one. */
const growth = (what: string, limit: number, larger: string, smaller: string): Target => ({
  what,
  unit: '',
  limit,
  atMost: true,
  value: (look) => quotient(of(larger, 'readyMs')(look), of(smaller, 'readyMs')(look)),
})

/** One thread, exactly once, on the machine of the run; ratios to Kafka's results in the same run. */
const targets: readonly Target[] = [
  times('pass-through', 'n0', 4),
  times('W1', 'w1', 5),
  perCpu('W1', 'w1', 6),
  times('count per key', 'kt', 5),
  perCpu('count per key', 'kt', 6),
  times('hopping', 'w1h', 10),
  ...[
    ['pass-through', 'n0'],
    ['pass-through, zod', 'n0-zod'],
    ['filter', 'filter'],
    ['W1', 'w1'],
    ['W1, zod', 'w1-zod'],
    ['hopping', 'w1h'],
    ['count per key', 'kt'],
    ['count per key, zod', 'kt-zod'],
  ].map(([what = '', workload = '']) => ofFloor(what, workload, 0.4)),
  {
    what: 'W1 over sparse event time, of the dense one',
    unit: '',
    limit: 0.8,
    value: (look) => quotient(of('w1-sparse', 'recordsPerSecond')(look), of('w1', 'recordsPerSecond')(look)),
  },
  within('W1 resident', 'w1', 'peakRssApp', 250, ' MiB'),
  perSecond('append of 100 B, os', 'append-100', 1_000_000, 'os'),
  perSecond('append of 100 B, commit', 'append-100', 500_000, 'commit'),
  perSecond('tail read of 100 B', 'tail-100', 2_000_000),
  within('W1 end to end at 5,000/s, p99', 'latency-5k', 'p99Ms', 15),
  within('W1 end to end at 20,000/s, p99', 'latency-20k', 'p99Ms', 25),
  within('first result, fresh directory', 'startup', 'startToFirstResultMs', 400),
  within('restart with intact state', 'restart', 'readyMs', 300),
  perSecond('restore', 'restore', 200_000),

  perSecond('sessions per actor', 'sessions', 120_000),
  times('sessions per actor', 'sessions', 5),
  perCpu('sessions per actor', 'sessions', 8),
  ofFloor('sessions per actor', 'sessions', 0.35),
  perSecond('watch-fork join', 'join', 150_000),
  times('watch-fork join', 'join', 5),
  perCpu('watch-fork join', 'join', 8),
  ofFloor('watch-fork join', 'join', 0.35),
  times('stream-table join', 'stream-table', 5),
  ofFloor('stream-table join', 'stream-table', 0.35),

  times('write of 100 B without fsync', 'append 100 B', 3, 'os'),
  times('write of 1 KiB without fsync', 'append 1024 B', 3, 'os'),
  times('write of 100 B, synced before the answer,', 'append 100 B', 5, 'commit'),
  times('write of 1 KiB, synced before the answer,', 'append 1024 B', 5, 'commit'),
  times('read of 100 B', 'cold read 100 B', 2),
  times('read of 100 B, an object per record,', 'cold read 100 B, an object per record', 2),
  times('read of 1 KiB', 'cold read 1024 B', 2),
  times('read of 1 KiB, an object per record,', 'cold read 1024 B, an object per record', 2),
  ...['os', 'commit'].map((sync): Target => ({
    what: `64 partitions, of the rate of one, ${sync}`,
    unit: '',
    limit: 0.8,
    value: (look) =>
      quotient(
        of('append, 64 partitions', 'recordsPerSecond', sync)(look),
        of('append, 1 partition', 'recordsPerSecond', sync)(look),
      ),
  })),
  perSecond('64 callers that each await their own record', '64 callers', 30_000),
  within('64 callers that each await their own record, p99', '64 callers', 'p99Ms', 15),
  within('paced 20,000/s, synced before the answer, p99', 'paced 20,000/s', 'p99Ms', 10, ' ms', 'commit'),
  within('10,000 partitions open after SIGKILL', 'open after SIGKILL, 10,000 partitions', 'readyMs', 10_000),
  within('10,000 partitions open after a clean stop', 'open after a clean stop, 10,000 partitions', 'readyMs', 2000),
  growth(
    'open after a clean stop: 64 times the log, times the time',
    1.5,
    'open after a clean stop, log of 64 MiB',
    'open after a clean stop, log of 1 MiB',
  ),
  growth(
    'open after SIGKILL: 64 times the log before the same tail, times the time',
    1.5,
    'open after SIGKILL, tail of 4 MiB behind 64 MiB',
    'open after SIGKILL, tail of 4 MiB behind 1 MiB',
  ),
  growth(
    'open after SIGKILL: 16 times the tail, times the time',
    16,
    'open after SIGKILL, tail of 64 MiB behind 1 MiB',
    'open after SIGKILL, tail of 4 MiB behind 1 MiB',
  ),
  within('memory of an idle partition', 'idle, 10,000 partitions', 'kibPerPartition', 64, ' KiB'),
  within('CPU at rest, of a core', 'idle, 10,000 partitions', 'idleCpuPercent', 1, ' %'),
  perSecond('compaction', 'compaction, 100 B, 50,000 keys', 300_000),
]
