import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { child, type ChildResult } from '../child.ts'
import type { BenchOptions } from '../options.ts'
import { type Row, spreadOf } from '../report.ts'
import type { StorageJob } from './storage-bench-child.ts'

/**
 * What a log costs when nothing happens to it, also `npm run bench -- log`:
 *
 * - `log-open`: after a clean stop and after SIGKILL, with 1, 100 and 10,000 partitions, and after a clean stop with a
 *   longer log, which must not matter.
 * - `log-idle`: memory of an idle partition and CPU of an idle log, 10,000 partitions against one.
 * - `log-compact`: records of a pass over one partition per second of CPU.
 */
export const storageBenchRows: readonly string[] = ['log-open', 'log-idle', 'log-compact']

const step: StorageJob = { kind: 'fill', partitions: 1, batches: 2, tailBatches: 1, killed: false, rest: false }

export async function storageBench(name: string, options: BenchOptions): Promise<Row[]> {
  const work = mkdtempSync(join(options.directory ?? tmpdir(), 'millrace-storage-bench-'))
  try {
    if (name === 'log-open') return await open(options, work)
    if (name === 'log-idle') return await idle(options, work)
    return await compact(options, work)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function open(options: BenchOptions, work: string): Promise<Row[]> {
  const rows: Row[] = []
  const cases = [1, 100, 10_000].flatMap((partitions) => [
    { partitions, killed: false, batches: 2 },
    { partitions, killed: true, batches: 2 },
  ])
  for (const { partitions, killed, batches } of [...cases, { partitions: 100, killed: false, batches: 1000 }]) {
    const filled = join(work, 'filled')
    await run({ ...step, partitions, killed, batches }, filled)
    const results: ChildResult[] = []
    for (let index = 0; index < options.runs; index++) {
      const directory = join(work, 'opened')
      cpSync(filled, directory, { recursive: true })
      results.push(await run({ ...step, kind: 'open', partitions }, directory))
      rmSync(directory, { recursive: true, force: true })
    }
    rmSync(filled, { recursive: true, force: true })
    const readyMs = spreadOf(results.map((result) => Math.round(result['openMs'] ?? Number.NaN)))
    const what = `${partitions} partition${partitions === 1 ? '' : 's'} of ${batches * 10} records`
    rows.push({
      workload: `open ${killed ? 'after SIGKILL' : 'after a clean stop'}, ${what}`,
      system: 'millrace',
      sync: 'os',
      records: partitions * batches * 10,
      runs: results.length,
      readyMs,
      note: `ready in ${readyMs.median} ms (${readyMs.min}-${readyMs.max})`,
    })
  }
  return rows
}

async function idle(options: BenchOptions, work: string): Promise<Row[]> {
  const results: { readonly perPartition: number; readonly cpu: number }[] = []
  for (let index = 0; index < options.runs; index++) {
    const rss: number[] = []
    let cpu = 0
    for (const partitions of [1, many]) {
      const directory = join(work, `idle-${partitions}`)
      await run({ ...step, partitions }, directory)
      const result = await run({ ...step, kind: 'open', partitions, rest: true }, directory)
      rss.push(result['rss'] ?? Number.NaN)
      cpu = result['idleCpuPercent'] ?? Number.NaN
      rmSync(directory, { recursive: true, force: true })
    }
    results.push({ perPartition: ((rss[1] ?? 0) - (rss[0] ?? 0)) / (many - 1) / 1024, cpu })
  }
  const kib = spreadOf(results.map(({ perPartition }) => Math.round(perPartition * 10) / 10))
  const cpu = spreadOf(results.map((result) => Math.round(result.cpu * 100) / 100))
  const note = `${kib.median} KiB for each partition (${kib.min}-${kib.max}); ${cpu.median} % of a core at rest`
  return [
    { workload: 'idle, 10,000 partitions', system: 'millrace', sync: 'os', records: 0, runs: results.length, note },
  ]
}

const many = 10_000

async function compact(options: BenchOptions, work: string): Promise<Row[]> {
  const results: ChildResult[] = []
  for (let index = 0; index < options.runs; index++) {
    const directory = join(work, 'compacted')
    results.push(await run({ ...step, kind: 'compact', batches: 10_000 }, directory))
    rmSync(directory, { recursive: true, force: true })
  }
  return [
    {
      workload: 'compaction, 100 B, 50,000 keys',
      system: 'millrace',
      sync: 'os',
      records: results[0]?.['records'] ?? 0,
      runs: results.length,
      recordsPerSecond: spreadOf(results.map((result) => result['recordsPerSecond'] ?? Number.NaN)),
      cpuSecondsApp: spreadOf(results.map((result) => result['cpuSecondsApp'] ?? Number.NaN)),
    },
  ]
}

/** A child that was to be killed ends without a line: that is not an error. */
async function run(job: StorageJob, directory: string): Promise<ChildResult> {
  try {
    return await child('log/storage-bench-child.ts', [JSON.stringify({ ...job, directory })])
  } catch (error) {
    if (job.killed) return {}
    throw error
  }
}
