/**
 * The whole job on one data directory: opens its log, loads what is missing of the source, runs the topology until
 * everything is counted (or, with live traffic, until it is stopped), and reads the answers.
 */
import { setTimeout } from 'node:timers/promises'
import { Streams } from 'millrace'
import { type EmbeddedLog, LogError, openLog } from 'millrace/log'
import { readAnswers } from './answers.ts'
import { lines, sourceOfLines } from './events.ts'
import { JobError } from '../shared/job-error.ts'
import { openLoader } from './loader.ts'
import { lastRecords } from '../shared/read-topic.ts'
import type { Answers } from './report.ts'
import type { LineSource } from './sources.ts'
import type { Status } from '../shared/status-line.ts'
import { formatNumber } from '../shared/tables.ts'
import { jobTopology } from './topology.ts'

export const applicationId = 'web-activity'

export interface JobOptions {
  readonly source: LineSource
  readonly dataDir: string
  /** Load while processing, until stopped. */
  readonly live: boolean
  readonly emit: 'commit' | 'update'
  /** Small files, so that tests cross many ends of files. */
  readonly segmentBytes?: number | undefined
  readonly journalFileBytes?: number | undefined
  readonly checkpointEvery?: number | undefined
  readonly commitIntervalMs?: number | undefined
  /** Ends the job early, with its last commit. */
  readonly stop: AbortSignal
  readonly status: JobStatus
}

/** Where the job says how far it is. */
export interface JobStatus {
  update(status: Status): void
  finish(sentence: string): void
}

/** The answers, or null if the job was stopped before it had counted everything. */
export async function runJob(options: JobOptions): Promise<Answers | null> {
  const log = await open(options)
  try {
    await claim(log, options)
    return await (options.live ? runLive(log, options) : runOnce(log, options))
  } finally {
    await log.close()
  }
}

async function open({ dataDir, segmentBytes, journalFileBytes, checkpointEvery }: JobOptions): Promise<EmbeddedLog> {
  try {
    return await openLog({
      dataDir,
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
      ...(journalFileBytes === undefined
        ? {}
        : { journalFileBytesMin: journalFileBytes, journalFileBytesMax: journalFileBytes }),
      ...(checkpointEvery === undefined ? {} : { checkpointEveryCommits: checkpointEvery }),
    })
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    if (error instanceof LogError && error.code === 'DIRECTORY_IN_USE')
      throw new JobError(`--data-dir ${dataDir} is in use: another process has it open; stop it or name another one`)
    throw new JobError(`cannot open --data-dir ${dataDir}: ${reason}`)
  }
}

/** Writes down what the directory is filled from, or refuses if that is something else. */
async function claim(log: EmbeddedLog, { dataDir, source }: JobOptions): Promise<void> {
  await log.admin.ensureTopics([sourceOfLines, lines])
  const [claimed] = await lastRecords(log, sourceOfLines)
  if (!claimed) {
    const producer = log.producer()
    await producer.send({ topic: sourceOfLines, key: 'source', value: source.identity })
    await producer.close()
    return
  }
  if (claimed.value === source.identity) return
  throw new JobError(
    `--data-dir ${dataDir} holds ${claimed.value}, not ${source.identity}: run with the options that made it, or name another --data-dir`,
  )
}

async function runOnce(log: EmbeddedLog, options: JobOptions): Promise<Answers | null> {
  const { source, stop, status } = options
  // Everything is loaded before anything is counted: a partition whose lines came in earlier than those of the others
  // would move time on, and theirs would be late.
  if (!(await loadAll(log, options))) return null
  const streams = createStreams(log, options)
  await streams.start()
  let counted: boolean
  try {
    counted = await untilCounted(log, streams, { status, stop })
  } finally {
    await streams.close()
  }
  const { processed, commits, droppedByReason } = streams.metrics()
  if (!counted) {
    status.finish('Stopped before everything was counted. Run it again: it goes on from its last commit.')
    return null
  }
  status.finish(
    processed === 0
      ? 'The last run had counted everything: nothing was left to do.'
      : `Counted: ${formatNumber(processed)} records in all steps, ${formatNumber(commits)} commits.`,
  )
  const late = droppedByReason['late record'] ?? 0
  if (late > 0)
    status.finish(`${formatNumber(late)} times an event came after its window had closed: not counted there.`)
  return await readAnswers(log, source.format)
}

function createStreams(log: EmbeddedLog, { source, emit, dataDir, commitIntervalMs }: JobOptions): Streams {
  return new Streams(jobTopology({ format: source.format, emit }), {
    applicationId,
    dataDir,
    log,
    ...(commitIntervalMs === undefined ? {} : { commitIntervalMs }),
  })
}

/** False if it was stopped in the middle. */
async function loadAll(log: EmbeddedLog, { source, stop, status, segmentBytes }: JobOptions): Promise<boolean> {
  // A batch is never split: where segments are small, batches are smaller.
  const loader = await openLoader(log, segmentBytes === undefined ? {} : { batchBytesMax: Math.ceil(segmentBytes / 8) })
  for await (const piece of source.lines()) {
    await loader.load(piece)
    if (stop.aborted) break
    const { appended, skipped, timestamp } = loader
    status.update({ phase: 'loading', records: appended + skipped, lag: null, streamTime: timestamp, commits: null })
  }
  if (stop.aborted) {
    await loader.close()
    status.finish('Stopped while loading. Run it again: it goes on with the next line.')
    return false
  }
  await loader.loadTicks()
  await loader.close()
  const { appended, skipped } = loader
  if (appended > 0) status.finish(`Loaded ${formatNumber(appended)} lines: ${source.description}.`)
  if (skipped > 0)
    status.finish(`${formatNumber(skipped)} lines were loaded before: it continues, and counts none of them twice.`)
  return true
}

async function runLive(log: EmbeddedLog, options: JobOptions): Promise<Answers> {
  const { source, status } = options
  const streams = createStreams(log, options)
  await streams.start()
  status.finish(`Counting ${source.description}. Ctrl-C ends it and prints the answers.`)
  const showing = setInterval(() => status.update(statusOf(streams)), statusIntervalMs)
  try {
    await Promise.race([feed(log, source), streams.finished()])
    await untilCounted(log, streams, { status, stop: null })
  } finally {
    clearInterval(showing)
    await streams.close()
  }
  status.finish('Stopped. Run it again: it counts on from here.')
  return await readAnswers(log, source.format)
}

/** Loads lines as they come, until the source ends. */
async function feed(log: EmbeddedLog, source: LineSource): Promise<void> {
  const loader = await openLoader(log)
  for await (const piece of source.lines()) await loader.load(piece)
  await loader.close()
}

/** How often it is looked whether all is counted, and told how far it is. */
const statusIntervalMs = 25

/** True when everything is counted and committed, false when it was stopped before. */
async function untilCounted(
  log: EmbeddedLog,
  streams: Streams,
  { status, stop }: { readonly status: JobStatus; readonly stop: AbortSignal | null },
): Promise<boolean> {
  while (!isCounted(log)) {
    if (stop?.aborted) return false
    status.update(statusOf(streams))
    if (streams.phase !== 'running') await streams.finished()
    await setTimeout(statusIntervalMs)
  }
  return true
}

/**
 * Whether the application has committed all of its inputs to their ends. A commit holds what a step has read and what
 * it wrote for the next one, so there is no moment at which a record is in neither.
 */
function isCounted(log: EmbeddedLog): boolean {
  const inputs = log.admin
    .listTopics()
    .map(({ name }) => name)
    .filter((name) => name === lines.name || (name.startsWith(`${applicationId}-`) && name.endsWith('-repartition')))
  const bounds = inputs.flatMap((name) => log.admin.describeTopic(name).bounds)
  const committed = new Map(
    log.admin
      .committedOffsets(
        applicationId,
        bounds.map(({ at }) => at),
      )
      .map(({ at, offset }) => [`${at.topic} ${at.partition}`, offset]),
  )
  return bounds.every(({ at, start, end }) => (committed.get(`${at.topic} ${at.partition}`) ?? start) >= end)
}

function statusOf(streams: Streams): Status {
  const { processed, lag, streamTime, commits } = streams.metrics()
  return { phase: 'counting', records: processed, lag, streamTime: streamTime < 0 ? null : streamTime, commits }
}
