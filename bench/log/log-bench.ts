import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { child, type ChildResult } from '../child.ts'
import type { Anchors, AnchorLine } from '../kafka.ts'
import type { BenchOptions } from '../options.ts'
import { type Row, spreadOf } from '../report.ts'
import type { LogJob } from './log-bench-child.ts'

/**
 * The log alone, `npm run bench -- log`: what its clients see. Every run has a process and a fresh directory of its own.
 *
 * - `log-append`: one way to write varied at a time around the plain case (records posted as fast as there is room, one
 *   producer, 4 partitions, as Kafka's own tool does it): size and sync mode, batches of 1, 100 and 1,000 that are awaited
 *   before the next, 8 producers, 1, 16 and 64 partitions.
 * - `log-read`: from memory and, after reopening, from the segment files; without an object per record.
 * - `log-callers`: 64 callers that each await their own record.
 * - `log-paced`: an open loop at 20,000/s, and at half of what `log-append` reached.
 *
 * With `--against kafka` Kafka's own ProducerPerformance and ConsumerPerformance run on a broker of theirs: without fsync
 * beside `os`, with an fsync per append beside `commit`.
 */
export const logBenchRows: readonly string[] = ['log-append', 'log-read', 'log-callers', 'log-paced']

type Repeat = (job: LogJob) => Promise<readonly ChildResult[]>

export async function logBench(name: string, options: BenchOptions, anchors: Anchors | null): Promise<Row[]> {
  const repeat: Repeat = (job) => runs(options, job)
  switch (name) {
    case 'log-append':
      return await append(options, repeat, anchors)
    case 'log-read':
      return await read(repeat)
    case 'log-callers':
      return await callers(repeat)
    default:
      return await paced(options, repeat, anchors)
  }
}

const plain: LogJob = {
  kind: 'append',
  sync: 'os',
  recordBytes: 100,
  batch: 0,
  producers: 1,
  partitions: 4,
  seconds: 3,
}

async function append(options: BenchOptions, repeat: Repeat, anchors: Anchors | null): Promise<Row[]> {
  const rows: Row[] = []
  const theirs = anchors === null ? [] : await rawLog(anchors, options)
  for (const sync of ['os', 'commit'] as const) {
    for (const recordBytes of [100, 1024]) {
      const job = { ...plain, sync, recordBytes }
      const ours = rowOf(`append ${recordBytes} B`, sync, await repeat(job))
      rows.push(ours, ...kafkaRows(theirs, sync, recordBytes, 'write', ours))
    }
    for (const batch of [1, 100, 1000]) {
      rows.push(rowOf(`append, batches of ${batch}`, sync, await repeat({ ...plain, sync, batch })))
    }
    rows.push(rowOf('append, 8 producers', sync, await repeat({ ...plain, sync, producers: 8 })))
    for (const partitions of [1, 16, 64]) {
      const name = `append, ${partitions} partition${partitions === 1 ? '' : 's'}`
      rows.push(rowOf(name, sync, await repeat({ ...plain, sync, partitions })))
    }
  }
  return rows
}

async function read(repeat: Repeat): Promise<Row[]> {
  const rows: Row[] = []
  for (const recordBytes of [100, 1024]) {
    for (const kind of ['tail', 'cold'] as const) {
      const job: LogJob = { ...plain, kind, recordBytes }
      const results = await repeat(job)
      const consumer = spreadOf(results.map((result) => result['consumerRecordsPerSecond'] ?? 0))
      const note = `consumer (an object per record): ${Math.round(consumer.median).toLocaleString('en-US')}/s`
      rows.push({ ...rowOf(`${kind} read ${recordBytes} B`, 'os', results), consumerRecordsPerSecond: consumer, note })
    }
  }
  return rows
}

async function callers(repeat: Repeat): Promise<Row[]> {
  const results = await repeat({ ...plain, kind: 'callers', sync: 'commit', producers: 64 })
  return [{ ...rowOf('64 callers', 'commit', results), ...latencies(results) }]
}

async function paced(options: BenchOptions, repeat: Repeat, anchors: Anchors | null): Promise<Row[]> {
  const rows: Row[] = []
  for (const sync of ['commit', 'os'] as const) {
    const fast = await child('log/log-bench-child.ts', [JSON.stringify(withDirectory(options, { ...plain, sync }).job)])
    const half = Math.round((fast['recordsPerSecond'] ?? 0) / 2 / 1000) * 1000
    for (const rate of [20_000, half]) {
      const results = await repeat({ ...plain, kind: 'paced', sync, rate, seconds: 10 })
      const name = `paced ${rate.toLocaleString('en-US')}/s`
      rows.push({ ...rowOf(name, sync, results), ...latencies(results) })
    }
  }
  if (anchors === null) return rows
  const options20k = [
    '--record-size',
    '100',
    '--acks',
    'all',
    '--flush',
    '1',
    '--throughput',
    '20000',
    '--count',
    '800000',
  ]
  const lines = await anchors.run(['rawlog'], [...options20k, '--repeat', String(options.runs)])
  const of = (field: string): number[] => lines.map(({ write }) => Number(fieldOf(write, field)))
  const p99 = spreadOf(of('p99Ms'))
  const note = `p50 ${spreadOf(of('p50Ms')).median} ms, p99 ${p99.median} ms (${p99.min}-${p99.max})`
  rows.push({ workload: 'paced 20,000/s', system: 'Kafka', sync: 'fsync', records: 200_000, runs: lines.length, note })
  return rows
}

/** Kafka's write and read figures, as its own tools print them. */
async function rawLog(anchors: Anchors, options: BenchOptions): Promise<readonly AnchorLine[]> {
  const shape = ['--record-size', '100,1024', '--acks', 'all', '--flush', 'default,1', '--batch-size', '16384,131072']
  return await anchors.run(['rawlog'], [...shape, '--repeat', String(options.runs), '--count', String(options.records)])
}

function kafkaRows(
  lines: readonly AnchorLine[],
  sync: 'os' | 'commit',
  recordBytes: number,
  what: 'write' | 'read',
  ours: Row,
): Row[] {
  const flush = sync === 'os' ? 'default' : '1'
  const own = lines.filter((line) => line['flushMessages'] === flush && line['recordSize'] === recordBytes)
  if (own.length === 0) return []
  const rates = own.map((line) => Number(fieldOf(line[what], 'recordsPerSecond')))
  const best = Math.max(...rates)
  const reads = own.map((line) => Number(fieldOf(line['read'], 'recordsPerSecond')))
  return [
    {
      workload: `append ${recordBytes} B`,
      system: 'Kafka',
      sync: sync === 'os' ? 'page cache' : 'fsync',
      records: Number(own[0]?.['records']),
      runs: own.length,
      recordsPerSecond: spreadOf(rates),
      ratio: (ours.recordsPerSecond?.median ?? 0) / best,
      note: `millrace writes ${((ours.recordsPerSecond?.median ?? 0) / best).toFixed(1)} times its best; it reads ${Math.round(Math.max(...reads)).toLocaleString('en-US')}/s`,
    },
  ]
}

function fieldOf(object: unknown, field: string): unknown {
  return typeof object === 'object' && object !== null ? (object as AnchorLine)[field] : undefined
}

async function runs(options: BenchOptions, job: LogJob): Promise<readonly ChildResult[]> {
  const results: ChildResult[] = []
  for (let index = 0; index < options.runs; index++) {
    const { job: own, remove } = withDirectory(options, job)
    try {
      results.push(await child('log/log-bench-child.ts', [JSON.stringify(own)]))
    } finally {
      remove()
    }
  }
  return results
}

function withDirectory(options: BenchOptions, job: LogJob): { readonly job: object; readonly remove: () => void } {
  const directory = mkdtempSync(join(options.directory ?? tmpdir(), 'millrace-log-bench-'))
  return {
    job: { ...job, directory: join(directory, 'log') },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

function rowOf(workload: string, sync: string, results: readonly ChildResult[]): Row {
  const of = (field: string): number[] => results.map((result) => result[field] ?? Number.NaN)
  return {
    workload,
    system: 'millrace',
    sync,
    records: results[0]?.['records'] ?? 0,
    runs: results.length,
    recordsPerSecond: spreadOf(of('recordsPerSecond')),
    cpuSecondsApp: spreadOf(of('cpuSecondsApp')),
    cpuSecondsPerMillion: spreadOf(
      results.map((result) => (result['cpuSecondsApp'] ?? 0) / ((result['records'] ?? 1) / 1e6)),
    ),
    peakRssApp: spreadOf(of('peakRssApp')),
  }
}

function latencies(results: readonly ChildResult[]): Pick<Row, 'note' | 'p50Ms' | 'p99Ms'> {
  const of = (field: string): number[] => results.map((result) => result[field] ?? Number.NaN)
  const [p50, p99, max] = [spreadOf(of('p50Ms')), spreadOf(of('p99Ms')), spreadOf(of('maxMs'))]
  return {
    p50Ms: p50,
    p99Ms: p99,
    note: `p50 ${p50.median} ms, p99 ${p99.median} ms (${p99.min}-${p99.max}), max ${max.max} ms`,
  }
}
