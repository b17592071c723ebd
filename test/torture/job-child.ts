/**
 * The web-activity job as the process that is killed: either loads the day, or counts it until everything is counted.
 * Prints `running` once it processes records, and `done` at the end. Files are small, so that it rolls many of them.
 */
import { setTimeout } from 'node:timers/promises'
import { lines } from '../../examples/web-activity/events.ts'
import { applicationId } from '../../examples/web-activity/job.ts'
import { openLoader } from '../../examples/web-activity/lines/loader.ts'
import { generatedDay } from '../../examples/web-activity/lines/sources.ts'
import { loadTables } from '../../examples/web-activity/lines/tables-loader.ts'
import { jobTopology } from '../../examples/web-activity/topology/topology.ts'
import { Streams } from '../../src/application.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { openLog } from '../../src/log/open-log.ts'
import { offsetsFirst } from './offsets-first.ts'

export interface ChildOptions {
  readonly dataDir: string
  readonly work: 'load' | 'count'
  readonly seed: number
  readonly events: number
  readonly emit: 'commit' | 'update'
  /** The bug that the harness has to find: offsets committed before outputs. Prints `gap` after this many commits. */
  readonly bugAfter: number | null
}

async function main(options: ChildOptions): Promise<void> {
  const log = await openLog({
    dataDir: options.dataDir,
    segmentBytes,
    journalFileBytesMin: 256 * 1024,
    journalFileBytesMax: 256 * 1024,
    checkpointEveryCommits: 50,
  })
  if (options.work === 'load') await load(log, options)
  else await count(log, options)
  await log.close()
  process.stdout.write('done\n')
}

async function load(log: EmbeddedLog, { seed, events }: ChildOptions): Promise<void> {
  await log.admin.ensureTopics([lines])
  await loadTables(log, generatedDay({ seed, events }).tables)
  const loader = await openLoader(log, { batchBytesMax: segmentBytes / 8 })
  for await (const piece of generatedDay({ seed, events }).lines()) await loader.load(piece)
  await loader.loadTicks()
  await loader.close()
}

async function count(log: EmbeddedLog, { dataDir, emit, bugAfter }: ChildOptions): Promise<void> {
  const streams = new Streams(jobTopology({ format: 'json', emit }), {
    applicationId,
    dataDir,
    log: bugAfter === null ? log : offsetsFirst(log, { commits: bugAfter, between: toBeKilled }),
    // More commits and flushes than by default, so that more of them are interrupted. No repartition topic is purged,
    // so that its records can be compared.
    commitIntervalMs: 10,
    storeFlushIntervalMs: 50,
    purgeIntervalMs: 1_000_000_000,
  })
  await streams.start()
  process.stdout.write('running\n')
  await streams.settled()
  await streams.close()
}

/** Prints that inputs are committed whose outputs are not, and waits to be killed. */
async function toBeKilled(): Promise<void> {
  process.stdout.write('gap\n')
  await setTimeout(3_600_000)
}

const segmentBytes = 64 * 1024

await main(JSON.parse(process.argv[2] ?? '') as ChildOptions)
