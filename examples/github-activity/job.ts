/**
 * The whole job on one data directory: opens its log, loads the lines of the file that are missing, runs the topology
 * until everything is counted, and reads the answers.
 */
import { Streams, type Topology } from 'millrace'
import { claimFor, type JobLogOptions, openJobLog } from '../shared/job-log.ts'
import { openLineLoader } from '../shared/line-loader.ts'
import { countAll, loadAll, type RunControl } from '../shared/one-run.ts'
import { activityTopology } from './activity-topology.ts'
import { readActivityAnswers, readTouchesAnswers } from './answers.ts'
import { lines } from './events.ts'
import type { ActivityAnswers, TouchesAnswers } from './report.ts'
import type { ActivitySource } from './sources.ts'
import { touchesTopology } from './touches-topology.ts'

export const applicationId = 'github-activity'

export interface JobOptions extends JobLogOptions, RunControl {
  readonly source: ActivitySource
  readonly withinMs: number
  readonly graceMs: number
  readonly commitIntervalMs?: number | undefined
}

/** The answers, or null if the job was stopped before it had counted everything. */
export async function runJob(options: JobOptions): Promise<ActivityAnswers | TouchesAnswers | null> {
  const { source, dataDir, segmentBytes, commitIntervalMs } = options
  const log = await openJobLog(options)
  try {
    await claimFor(identity(options), log, dataDir)
    await log.admin.ensureTopics([lines])
    // A batch is never split, so small segments need smaller batches.
    const producer = segmentBytes === undefined ? {} : { batchBytesMax: Math.ceil(segmentBytes / 8) }
    const loader = await openLineLoader(log, { topic: lines, producer })
    if (!(await loadAll(loader, source, options))) return null
    const streams = new Streams(jobTopology(options), {
      applicationId,
      dataDir,
      log,
      ...(commitIntervalMs === undefined ? {} : { commitIntervalMs }),
    })
    if (!(await countAll({ log, streams, applicationId, inputs: [lines] }, options))) return null
    return source.format === 'events' ? await readActivityAnswers(log) : await readTouchesAnswers(log)
  } finally {
    await log.close()
  }
}

export function jobTopology({
  source,
  withinMs,
  graceMs,
}: Pick<JobOptions, 'source' | 'withinMs' | 'graceMs'>): Topology {
  return source.format === 'events' ? activityTopology({ withinMs, graceMs }) : touchesTopology({ graceMs })
}

/** Counts that were made with one grace cannot be continued with another one. */
function identity({ source, withinMs, graceMs }: JobOptions): string | null {
  if (source.identity === null) return null
  return source.format === 'events'
    ? `${source.identity} --within ${withinMs}ms --grace ${graceMs}ms`
    : `${source.identity} --grace ${graceMs}ms`
}
