import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { child, type ChildResult } from './child.ts'
import type { BenchOptions } from './options.ts'
import { type Row, spreadOf } from './report.ts'

/**
 * The log alone, without streams: `append` through the producer's `post`, the way of all writers, and `tail`, reading
 * records in memory by cursor and by consumer. Both sync modes are measured, whatever `--sync` says, because the
 * targets name both. Every run has its own process and a fresh directory.
 */
export async function logRows(options: BenchOptions): Promise<Row[]> {
  const rows: Row[] = []
  for (const recordBytes of [100, 1024]) {
    // About the same number of bytes for both sizes.
    const records = recordBytes === 100 ? options.records : Math.ceil(options.records / 4)
    if (options.rows.includes('append')) {
      for (const sync of ['os', 'commit'] as const) {
        const runs = await repeat(options, { row: 'append', recordBytes, records, sync })
        rows.push(rowOf(`append-${recordBytes}`, sync, runs))
      }
    }
    if (options.rows.includes('tail')) {
      const runs = await repeat(options, { row: 'tail', recordBytes, records, sync: 'os' })
      const consumer = spreadOf(runs.map((run) => run['consumerRecordsPerSecond'] ?? 0))
      const note = `consumer (an object per record): ${Math.round(consumer.median).toLocaleString('en-US')}/s`
      rows.push({ ...rowOf(`tail-${recordBytes}`, 'os', runs), consumerRecordsPerSecond: consumer, note })
    }
  }
  return rows
}

async function repeat(options: BenchOptions, run: object): Promise<readonly ChildResult[]> {
  const results: ChildResult[] = []
  for (let index = 0; index < options.runs; index++) {
    const directory = mkdtempSync(join(options.directory ?? tmpdir(), 'millrace-log-row-'))
    try {
      results.push(await child('log-child.ts', [JSON.stringify({ ...run, directory: join(directory, 'log') })]))
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }
  return results
}

function rowOf(workload: string, sync: string, runs: readonly ChildResult[]): Row {
  const of = (field: string): number[] => runs.map((run) => run[field] ?? Number.NaN)
  return {
    workload,
    system: 'millrace',
    sync,
    records: runs[0]?.['records'] ?? 0,
    runs: runs.length,
    recordsPerSecond: spreadOf(of('recordsPerSecond')),
    cpuSecondsApp: spreadOf(of('cpuSecondsApp')),
    cpuSecondsPerMillion: spreadOf(runs.map((run) => (run['cpuSecondsApp'] ?? 0) / ((run['records'] ?? 1) / 1e6))),
    peakRssApp: spreadOf(of('peakRssApp')),
  }
}
