/**
 * The whole job on one data directory: opens its log, loads the missing lines of the source, runs the topology until
 * everything is counted (or, with live traffic, until it is stopped), and reads the answers.
 */
import { Streams } from 'millrace'
import type { EmbeddedLog } from 'millrace/log'
import { claimFor, type JobLogOptions, openJobLog } from '../shared/job-log.ts'
import { countAll, loadAll, type RunControl } from '../shared/one-run.ts'
import { type Counting, statusIntervalMs, statusOf, untilCounted } from '../shared/until-counted.ts'
import { readAnswers } from './answers/answers.ts'
import type { Answers } from './answers/report.ts'
import { lines, pages, pageViews, users } from './events.ts'
import { feed } from './lines/feed.ts'
import { openLoader } from './lines/loader.ts'
import type { LineSource } from './lines/sources.ts'
import { loadTables } from './lines/tables-loader.ts'
import type { LivePage } from './page/live-page.ts'
import { jobTopology } from './topology/topology.ts'

export const applicationId = 'web-activity'

export interface JobOptions extends JobLogOptions, RunControl {
  readonly source: LineSource
  /** Whether lines are loaded while others are processed, until the job is stopped. */
  readonly live: boolean
  /** Serves a page on this port during live traffic; with 0, on any free port. */
  readonly page?: { readonly port: number } | undefined
  readonly emit: 'commit' | 'update'
  readonly commitIntervalMs?: number | undefined
}

/** The answers, or null if the job was stopped before it had counted everything. */
export async function runJob(options: JobOptions): Promise<Answers | null> {
  const log = await openJobLog(options)
  try {
    await claimFor(options.source.identity, log, options.dataDir)
    await log.admin.ensureTopics([lines])
    await loadTables(log, options.source.tables)
    return await (options.live ? runLive(log, options) : runOnce(log, options))
  } finally {
    await log.close()
  }
}

/**
 * While a backlog is counted, answers are not watched, and a row that changes twice within a commit is written only
 * once.
 */
const backlogCommitIntervalMs = 500

async function runOnce(log: EmbeddedLog, options: JobOptions): Promise<Answers | null> {
  const { source, segmentBytes } = options
  // Everything is loaded before anything is counted: otherwise a partition that is loaded earlier than the others would
  // advance time, and their lines would be late. A batch is never split, so small segments need smaller batches.
  const loader = await openLoader(log, segmentBytes === undefined ? {} : { batchBytesMax: Math.ceil(segmentBytes / 8) })
  if (!(await loadAll(loader, source, options))) return null
  const streams = createStreams(log, {
    ...options,
    commitIntervalMs: options.commitIntervalMs ?? backlogCommitIntervalMs,
  })
  if (!(await countAll(counting(log, streams), options))) return null
  return await readAnswers(log, source.format)
}

function counting(log: EmbeddedLog, streams: Streams): Counting {
  return { log, streams, applicationId, inputs: [lines, pageViews, users, pages] }
}

function createStreams(log: EmbeddedLog, { source, emit, dataDir, commitIntervalMs }: JobOptions): Streams {
  return new Streams(jobTopology({ format: source.format, emit }), {
    applicationId,
    dataDir,
    log,
    ...(commitIntervalMs === undefined ? {} : { commitIntervalMs }),
  })
}

/** Loads the modules of the page only when needed: a run without a page saves a tenth of a second. */
async function openPage(log: EmbeddedLog, port: number): Promise<LivePage> {
  const { openLivePage } = await import('./page/live-page.ts')
  return openLivePage(log, { port, now: () => Date.now() })
}

async function runLive(log: EmbeddedLog, options: JobOptions): Promise<Answers> {
  const { source, status } = options
  const streams = createStreams(log, options)
  // The page is opened first: if its port is taken, nothing must have been started.
  const page = options.page ? await openPage(log, options.page.port) : null
  const showing = setInterval(() => status.update(statusOf(streams)), statusIntervalMs)
  try {
    await streams.start()
    if (page) status.finish(`Look at ${page.url}`)
    status.finish(`Counting ${source.description}. Ctrl-C ends it and prints the answers.`)
    await Promise.race([feed(log, source), streams.finished(), ...(page ? [page.failed] : [])])
    // Clicks that were received are counted as well.
    await page?.close()
    await untilCounted(counting(log, streams), { status, stop: null })
  } finally {
    clearInterval(showing)
    await page?.close()
    await streams.close()
  }
  status.finish('Stopped. Run it again: it counts on from here.')
  return await readAnswers(log, source.format)
}
