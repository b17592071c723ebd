import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { child, type ChildResult } from './child.ts'
import type { BenchOptions } from './options.ts'
import { type Row, spreadOf } from './report.ts'

/**
 * From the start of a process with compiled code and a fresh directory until a reader of durable records has a result.
 */
export async function startupRow(options: BenchOptions): Promise<Row[]> {
  const build = fileURLToPath(new URL('../scripts/build.mjs', import.meta.url))
  const { status } = spawnSync(process.execPath, [build], { stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) throw new Error('dist/ could not be built')
  const runs: ChildResult[] = []
  for (let index = 0; index < options.runs; index++) runs.push(await child('startup-child.mjs', [options.sync]))
  const first = spreadOf(runs.map((run) => run['startToFirstResultMs'] ?? Number.NaN))
  return [
    {
      workload: 'startup',
      system: 'millrace',
      sync: options.sync,
      records: 1000,
      runs: runs.length,
      startToFirstResultMs: first,
      peakRssApp: spreadOf(runs.map((run) => run['peakRssApp'] ?? Number.NaN)),
      note: `first result after ${first.median} ms (${first.min}-${first.max})`,
    },
  ]
}
