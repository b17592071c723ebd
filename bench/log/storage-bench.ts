import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { child, type ChildLimits, type ChildResult } from '../child.ts'
import type { BenchOptions } from '../options.ts'
import { type Row, spreadOf } from '../report.ts'
import type { StorageJob } from './storage-bench-child.ts'

/**
 * The cost of a log while nothing happens, also part of `npm run bench -- log`:
 *
 * - `log-open`: opening after a clean stop and after SIGKILL, with 1, 100 and 10,000 partitions, also with 512 open
 *   files. A longer log must not matter, neither after a clean stop nor after SIGKILL with the same tail; a longer tail
 *   may cost in proportion.
 * - `log-idle`: memory of an idle partition and CPU of an idle log, with 10,000 partitions compared with one.
 * - `log-compact`: records per second of CPU in one pass over one partition.
 */
export const storageBenchRows: readonly string[] = ['log-open', 'log-idle', 'log-compact']

const step: StorageJob = {
  kind: 'fill',
  partitions: 1,
  batches: 2,
  tailBatches: 1,
  batchRecords: 10,
  killed: false,
  rest: false,
}

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

interface OpenCase {
  readonly name: string
  readonly fill: Partial<StorageJob>
  readonly limits?: ChildLimits
}

const many = 10_000
/** Batches of 1,000 records of 100 B. */
const perMib = { batchRecords: 1000, batches: 9 }

const openCases: readonly OpenCase[] = [
  ...[1, 100, many].flatMap((partitions) => {
    const what = `${partitions.toLocaleString('en-US')} partition${partitions === 1 ? '' : 's'}`
    return [
      { name: `open after a clean stop, ${what}`, fill: { partitions } },
      { name: `open after SIGKILL, ${what}`, fill: { partitions, killed: true } },
    ]
  }),
  {
    name: 'open after SIGKILL, 10,000 partitions, ulimit -n 512',
    fill: { partitions: many, killed: true },
    limits: { openFiles: 512 },
  },
  ...[1, 64].map((mib) => ({
    name: `open after a clean stop, log of ${mib} MiB`,
    fill: { ...perMib, batches: mib * perMib.batches },
  })),
  ...[
    { mib: 1, tail: 4 },
    { mib: 64, tail: 4 },
    { mib: 1, tail: 64 },
  ].map(({ mib, tail }) => ({
    name: `open after SIGKILL, tail of ${tail} MiB behind ${mib} MiB`,
    fill: { ...perMib, batches: mib * perMib.batches, tailBatches: tail * perMib.batches, killed: true },
  })),
]

async function open(options: BenchOptions, work: string): Promise<Row[]> {
  const rows: Row[] = []
  const filled = join(work, 'filled')
  let filledBy = ''
  for (const { name, fill, limits } of openCases) {
    const job: StorageJob = { ...step, ...fill }
    // Cases that begin with the same data follow each other, because filling many partitions takes longer than
    // everything else.
    if (JSON.stringify(job) !== filledBy) {
      rmSync(filled, { recursive: true, force: true })
      await run(job, filled)
      filledBy = JSON.stringify(job)
    }
    const results: ChildResult[] = []
    for (let index = 0; index < options.runs; index++) {
      // A clean open and close leaves the directory as it was; after a kill, the tail can be recovered only once.
      const directory = job.killed ? join(work, 'opened') : filled
      if (job.killed) cpSync(filled, directory, { recursive: true })
      results.push(await run({ ...job, kind: 'open', killed: false, rest: limits !== undefined }, directory, limits))
      if (job.killed) rmSync(directory, { recursive: true, force: true })
    }
    const readyMs = spreadOf(results.map((result) => Math.round(result['openMs'] ?? Number.NaN)))
    const cpu = spreadOf(results.map((result) => result['cpuSecondsApp'] ?? Number.NaN))
    const then = limits === undefined ? '' : '; then every partition is written and read'
    rows.push({
      workload: name,
      system: 'millrace',
      sync: 'os',
      records: job.partitions * (job.batches + (job.killed ? job.tailBatches : 0)) * job.batchRecords,
      runs: results.length,
      readyMs,
      cpuSecondsApp: cpu,
      note: `ready in ${readyMs.median} ms (${readyMs.min}-${readyMs.max}), ${cpu.median} CPU s${then}`,
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
  const kibPerPartition = spreadOf(results.map(({ perPartition }) => Math.round(perPartition * 10) / 10))
  const idleCpuPercent = spreadOf(results.map((result) => Math.round(result.cpu * 100) / 100))
  const { median, min, max } = kibPerPartition
  return [
    {
      workload: 'idle, 10,000 partitions',
      system: 'millrace',
      sync: 'os',
      records: 0,
      runs: results.length,
      kibPerPartition,
      idleCpuPercent,
      note: `${median} KiB for each partition (${min}-${max}); ${idleCpuPercent.median} % of a core at rest`,
    },
  ]
}

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

/** A child that was to be killed ends without printing a line, which is not an error. */
async function run(job: StorageJob, directory: string, limits: ChildLimits = {}): Promise<ChildResult> {
  try {
    return await child('log/storage-bench-child.ts', [JSON.stringify({ ...job, directory })], limits)
  } catch (error) {
    if (job.killed) return {}
    throw error
  }
}
