import { child, type ChildResult } from './child.ts'
import type { Anchors, AnchorLine } from './kafka.ts'
import type { BenchOptions } from './options.ts'
import { type Row, spreadOf } from './report.ts'

const seconds = 20
const warmSeconds = 5

/**
 * End-to-end latency of the windowed count in an open loop: from the time at which a record was due to be sent until a
 * reader that sees only durable records has a count that includes it.
 */
export async function latencyRow(options: BenchOptions, anchors: Anchors | null): Promise<Row[]> {
  const rows: Row[] = []
  for (const rate of [5_000, 20_000]) {
    const runs: ChildResult[] = []
    for (let index = 0; index < options.runs; index++) {
      const job = { rate, seconds, warmSeconds, sync: options.sync, data: options.data, directory: options.directory }
      runs.push(await child('latency-child.ts', [JSON.stringify(job)]))
    }
    const values = (field: string): number[] => runs.map((run) => run[field] ?? Number.NaN)
    const p99 = spreadOf(values('p99Ms'))
    rows.push({
      workload: `latency-${rate / 1000}k`,
      system: 'millrace',
      sync: options.sync,
      records: rate * seconds,
      runs: runs.length,
      p50Ms: spreadOf(values('p50Ms')),
      p99Ms: p99,
      maxMs: spreadOf(values('maxMs')),
      missing: values('missing').reduce((sum, count) => sum + count, 0),
      cpuSecondsApp: spreadOf(values('cpuSecondsApp')),
      peakRssApp: spreadOf(values('peakRssApp')),
      note: `p50 ${spreadOf(values('p50Ms')).median} ms, p99 ${p99.median} ms (${p99.min}-${p99.max}), max ${spreadOf(values('maxMs')).max} ms`,
    })
    if (anchors === null) continue
    const lines = await anchors.run(
      ['latency'],
      [
        '--workload',
        'w1',
        '--rate',
        String(rate),
        '--acks',
        'all',
        '--guarantee',
        'eos',
        '--repeat',
        String(options.runs),
        '--seconds',
        String(seconds),
      ],
    )
    rows.push(kafkaLatency(rate, lines))
  }
  return rows
}

function kafkaLatency(rate: number, lines: readonly AnchorLine[]): Row {
  const values = (field: string): number[] => lines.map((line) => Number(line[field]))
  const p99 = spreadOf(values('p99Ms'))
  return {
    workload: `latency-${rate / 1000}k`,
    system: 'Kafka Streams',
    sync: 'page cache',
    records: rate * seconds,
    runs: lines.length,
    p50Ms: spreadOf(values('p50Ms')),
    p99Ms: p99,
    maxMs: spreadOf(values('maxMs')),
    note: `p50 ${spreadOf(values('p50Ms')).median} ms, p99 ${p99.median} ms (${p99.min}-${p99.max}), max ${spreadOf(values('maxMs')).max} ms`,
  }
}
