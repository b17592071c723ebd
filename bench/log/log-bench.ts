import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { child, type ChildResult } from '../child.ts'
import type { Anchors } from '../kafka.ts'
import type { KafkaBroker, RawLogFigures } from '../kafka-broker.ts'
import type { BenchOptions } from '../options.ts'
import { type Row, spreadOf } from '../report.ts'
import type { LogJob } from './log-bench-child.ts'

/**
 * The log alone, `npm run bench -- log`, as its clients see it. Every run has its own process and a fresh directory.
 *
 * - `log-append`: variations of one plain case (records posted as fast as there is room, one producer, 4 partitions, as
 *   Kafka's own tool does it), one property at a time: record size and sync mode, batches of 1, 100 and 1,000 that are
 *   awaited before the next one, 8 producers, and 1, 16 and 64 partitions.
 * - `log-read`: from memory and, after reopening, from the segment files, with and without an object per record.
 * - `log-callers`: 64 callers that each await their own record.
 * - `log-paced`: an open loop at 20,000/s, and at half of what `log-append` reached, from due to readable.
 *
 * With `--against kafka`, Kafka's ProducerPerformance and ConsumerPerformance alternate with our runs, on one broker.
 * The durability is the same on both sides, and the rows name it: `os` is compared with Kafka's default (no fsync),
 * `commit` with `flush.messages=1` (an fsync per append, as our log syncs before it answers). `acks=all`, one producer.
 */
export const logBenchRows: readonly string[] = ['log-append', 'log-read', 'log-callers', 'log-paced']

export async function logBench(name: string, options: BenchOptions, anchors: Anchors | null): Promise<Row[]> {
  const broker = anchors === null || name === 'log-callers' ? null : await anchors.broker()
  try {
    switch (name) {
      case 'log-append':
        return await append(options, broker)
      case 'log-read':
        return await read(options, broker)
      case 'log-callers':
        return await callers(options)
      default:
        return await paced(options, broker)
    }
  } finally {
    await broker?.stop()
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

type Sync = LogJob['sync']

/** The setting of the broker for each of our sync modes, and its name in the rows. */
const kafkaSync = {
  os: { flush: 'default', name: 'page cache' },
  commit: { flush: '1', name: 'fsync per append' },
} as const

async function append(options: BenchOptions, broker: KafkaBroker | null): Promise<Row[]> {
  const rows: Row[] = []
  for (const sync of ['os', 'commit'] as const) {
    for (const recordBytes of [100, 1024]) {
      const [results, theirs] = await turns(options, { ...plain, sync, recordBytes }, broker)
      const name = `append ${recordBytes} B`
      const best = Math.max(...theirs.map(({ writePerSecond }) => writePerSecond))
      const ours = rowOf(name, sync, results)
      rows.push(theirs.length === 0 ? ours : { ...ours, ...ratioTo(theirs, ours, best) })
      if (theirs.length === 0) continue
      rows.push({
        ...kafkaRow(name, sync, theirs),
        recordsPerSecond: spreadOf(theirs.map((run) => run.writePerSecond)),
      })
    }
    for (const batch of [1, 100, 1000]) {
      rows.push(rowOf(`append, batches of ${batch}`, sync, await runs(options, { ...plain, sync, batch })))
    }
    rows.push(rowOf('append, 8 producers', sync, await runs(options, { ...plain, sync, producers: 8 })))
    const counts = [1, 16, 64]
    const byCount = await alternating(
      options,
      counts.map((partitions) => ({ ...plain, sync, partitions })),
    )
    for (const [index, partitions] of counts.entries()) {
      const name = `append, ${partitions} partition${partitions === 1 ? '' : 's'}`
      rows.push(rowOf(name, sync, byCount[index] ?? []))
    }
  }
  return rows
}

async function read(options: BenchOptions, broker: KafkaBroker | null): Promise<Row[]> {
  const rows: Row[] = []
  for (const recordBytes of [100, 1024]) {
    const theirs: RawLogFigures[] = []
    for (const kind of ['tail', 'cold'] as const) {
      // Kafka's consumer reads from files and the page cache, as ours does after reopening.
      const beside = kind === 'cold' ? broker : null
      const [results, kafka] = await turns(options, { ...plain, kind, recordBytes }, beside)
      theirs.push(...kafka)
      const best = Math.max(...kafka.map(({ readPerSecond }) => readPerSecond))
      const consumed = results.map((result) => ({
        ...result,
        recordsPerSecond: result['consumerRecordsPerSecond'] ?? Number.NaN,
        cpuSecondsApp: result['consumerCpuSeconds'] ?? Number.NaN,
        records: result['consumerRecords'] ?? Number.NaN,
      }))
      for (const [name, each] of [
        [`${kind} read ${recordBytes} B`, results],
        [`${kind} read ${recordBytes} B, an object per record`, consumed],
      ] as const) {
        const ours = rowOf(name, 'os', each)
        rows.push(kafka.length === 0 ? ours : { ...ours, ratio: (ours.recordsPerSecond?.median ?? 0) / best })
      }
    }
    if (theirs.length === 0) continue
    const { cpuSecondsPerMillion: _, ...kafka } = kafkaRow(`cold read ${recordBytes} B`, 'os', theirs)
    rows.push({
      ...kafka,
      recordsPerSecond: spreadOf(theirs.map((run) => run.readPerSecond)),
      note: 'an object per record',
    })
  }
  return rows
}

async function callers(options: BenchOptions): Promise<Row[]> {
  const results = await runs(options, { ...plain, kind: 'callers', sync: 'commit', producers: 64 })
  return [{ ...rowOf('64 callers', 'commit', results), ...latencies(results) }]
}

async function paced(options: BenchOptions, broker: KafkaBroker | null): Promise<Row[]> {
  const rows: Row[] = []
  for (const sync of ['commit', 'os'] as const) {
    const job: LogJob = { ...plain, kind: 'paced', sync, rate: 20_000, seconds: 10 }
    const [results, theirs] = await turns(options, job, broker)
    rows.push({ ...rowOf('paced 20,000/s', sync, results), ...latencies(results) })
    if (theirs.length > 0) {
      // Less than 20,000/s means that it could not keep the pace, and its latencies come from queueing.
      const recordsPerSecond = spreadOf(theirs.map((run) => run.writePerSecond))
      rows.push({ ...kafkaRow('paced 20,000/s', sync, theirs), recordsPerSecond, ...kafkaLatencies(theirs) })
    }

    const fast = await one(options, { ...plain, sync })
    const rate = Math.round((fast['recordsPerSecond'] ?? 0) / 2 / 1000) * 1000
    const half = await runs(options, { ...job, rate })
    const { note, ...spreads } = latencies(half)
    rows.push({
      ...rowOf('half load', sync, half),
      ...spreads,
      note: `${note}, from due to readable at ${rate.toLocaleString('en-US')}/s`,
    })
  }
  return rows
}

/**
 * One run of ours, then one of Kafka's with the same parameters, and so on, so that changes of the machine affect both.
 */
async function turns(
  options: BenchOptions,
  job: LogJob,
  broker: KafkaBroker | null,
): Promise<readonly [readonly ChildResult[], readonly RawLogFigures[]]> {
  const ours: ChildResult[] = []
  const theirs: RawLogFigures[] = []
  const { recordBytes, sync, rate } = job
  // A quarter if each append waits for the device; as long as our run if the pace is given.
  const most = Math.ceil((options.records / (recordBytes > 500 ? 4 : 1)) * (sync === 'commit' ? 0.25 : 1))
  const shape = { flush: kafkaSync[sync].flush, recordBytes, throughput: rate ?? -1 }
  for (let index = 0; index < options.runs; index++) {
    ours.push(await one(options, job))
    if (broker === null) continue
    for (const batchBytes of rate === undefined && job.kind === 'append' ? [16_384, 131_072] : [16_384]) {
      theirs.push(
        await broker.rawLog({ ...shape, batchBytes, records: rate === undefined ? most : rate * job.seconds }),
      )
    }
  }
  return [ours, theirs]
}

/** The ratio to the best of Kafka's runs, because the broker is not warm in the first ones. */
function ratioTo(theirs: readonly RawLogFigures[], ours: Row, best: number): Pick<Row, 'ratio' | 'cpuRatio'> {
  const perMillion = Math.min(...theirs.map((run) => run.cpuSeconds / (run.records / 1e6)))
  return {
    ratio: (ours.recordsPerSecond?.median ?? 0) / best,
    cpuRatio: perMillion / (ours.cpuSecondsPerMillion?.median ?? Number.NaN),
  }
}

/** CPU seconds include broker and producer. */
function kafkaRow(workload: string, sync: Sync, theirs: readonly RawLogFigures[]): Row {
  return {
    workload,
    system: 'Kafka',
    sync: kafkaSync[sync].name,
    records: theirs[0]?.records ?? 0,
    runs: theirs.length,
    cpuSecondsPerMillion: spreadOf(theirs.map((run) => run.cpuSeconds / (run.records / 1e6))),
  }
}

/** Kafka's latency is from sending to the answer; ours also includes the reader that receives the record. */
function kafkaLatencies(theirs: readonly RawLogFigures[]): Pick<Row, 'note' | 'p50Ms' | 'p99Ms'> {
  const [p50, p99] = [spreadOf(theirs.map((run) => run.p50Ms)), spreadOf(theirs.map((run) => run.p99Ms))]
  const note = `p50 ${p50.median} ms, p99 ${p99.median} ms (${p99.min}-${p99.max}), from sent to answered`
  return { p50Ms: p50, p99Ms: p99, note }
}

async function runs(options: BenchOptions, job: LogJob): Promise<readonly ChildResult[]> {
  return (await turns(options, job, null))[0]
}

/** One run of each job, then the next of each, because their rates are compared with each other. */
async function alternating(
  options: BenchOptions,
  jobs: readonly LogJob[],
): Promise<readonly (readonly ChildResult[])[]> {
  const results: ChildResult[][] = jobs.map(() => [])
  for (let index = 0; index < options.runs; index++) {
    for (const [place, job] of jobs.entries()) results[place]?.push(await one(options, job))
  }
  return results
}

async function one(options: BenchOptions, job: LogJob): Promise<ChildResult> {
  const work = mkdtempSync(join(options.directory ?? tmpdir(), 'millrace-log-bench-'))
  try {
    return await child('log/log-bench-child.ts', [JSON.stringify({ ...job, directory: join(work, 'log') })])
  } finally {
    rmSync(work, { recursive: true, force: true })
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
