/** A job whose lines are all there: loads them, counts until nothing is left, and reports. */
import type { LineLoader, SourceLine } from './line-loader.ts'
import { formatNumber } from './tables.ts'
import { type Counting, type JobStatus, untilCounted } from './until-counted.ts'

export interface RunControl {
  readonly status: JobStatus
  /** Ends the run early, with its last commit. */
  readonly stop: AbortSignal
}

export interface DescribedLines {
  /** A name for the user. */
  readonly description: string
  /** All lines from the beginning, in pieces, so that loading does not need an await per line. */
  lines(): AsyncIterable<readonly SourceLine[]>
}

/** Loads the missing lines and closes the loader. Returns false if it was stopped before the end. */
export async function loadAll(
  loader: LineLoader,
  source: DescribedLines,
  { status, stop }: RunControl,
): Promise<boolean> {
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
  if (appended + skipped === 0) status.finish(`No line yet: ${source.description}.`)
  if (appended > 0) status.finish(`Loaded ${formatNumber(appended)} lines: ${source.description}.`)
  if (skipped > 0)
    status.finish(`${formatNumber(skipped)} lines were loaded before: it continues, and counts none of them twice.`)
  return true
}

/** Starts the application, and closes it when everything is counted. Returns false if it was stopped before that. */
export async function countAll(counting: Counting, { status, stop }: RunControl): Promise<boolean> {
  const { streams } = counting
  await streams.start()
  let counted: boolean
  try {
    counted = await untilCounted(counting, { status, stop })
  } finally {
    await streams.close()
  }
  if (!counted) {
    status.finish('Stopped before everything was counted. Run it again: it goes on from its last commit.')
    return false
  }
  const { processed, commits, droppedByReason } = streams.metrics()
  status.finish(
    processed === 0
      ? 'Everything is counted: nothing was left to do.'
      : `Counted: ${formatNumber(processed)} records in all steps, ${formatNumber(commits)} commits.`,
  )
  const late = droppedByReason['late record'] ?? 0
  if (late > 0)
    status.finish(`${formatNumber(late)} times an event came after its window had closed: not counted there.`)
  return true
}
