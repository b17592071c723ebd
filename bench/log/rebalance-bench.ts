import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { child, type ChildResult } from '../child.ts'
import type { BenchOptions } from '../options.ts'
import { type Row, spreadOf } from '../report.ts'

/**
 * `log-rebalance`: how long a rebalance interrupts a group of consumers in one process. Measured from the moment at
 * which a member joins or leaves until every partition has its owner and the owner has received a record of it.
 */
export async function rebalanceBench(options: BenchOptions): Promise<Row[]> {
  const rows: Row[] = []
  for (const members of [4, 16]) {
    const results: ChildResult[] = []
    for (let index = 0; index < options.runs; index++) {
      const work = mkdtempSync(join(options.directory ?? tmpdir(), 'millrace-rebalance-bench-'))
      try {
        const job = { members, partitions, rounds: 9, directory: join(work, 'log') }
        results.push(await child('log/rebalance-bench-child.ts', [JSON.stringify(job)]))
      } finally {
        rmSync(work, { recursive: true, force: true })
      }
    }
    const of = (field: string): number[] => results.map((result) => result[field] ?? Number.NaN)
    const [joinMs, leaveMs] = [spreadOf(of('joinMs')), spreadOf(of('leaveMs'))]
    rows.push({
      workload: `rebalance, ${members} members, ${partitions} partitions`,
      system: 'millrace',
      sync: 'os',
      records: 0,
      runs: results.length,
      joinMs,
      leaveMs,
      note: `one joins: ${joinMs.median} ms (${joinMs.min}-${joinMs.max}), leaves: ${leaveMs.median} ms (${leaveMs.min}-${leaveMs.max}), up to the first record of each partition`,
    })
  }
  return rows
}

const partitions = 64
