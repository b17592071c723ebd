/** Waits until an application has processed everything that is there, and reports progress meanwhile. */
import { setTimeout } from 'node:timers/promises'
import type { Streams } from 'millrace'
import type { EmbeddedLog } from 'millrace/log'
import type { Status } from './status-line.ts'

/** Receives the progress of a job. */
export interface JobStatus {
  update(status: Status): void
  finish(sentence: string): void
}

/** An application on a log, and the external topics that it reads. */
export interface Counting {
  readonly log: EmbeddedLog
  readonly streams: Streams
  readonly applicationId: string
  readonly inputs: readonly { readonly name: string }[]
}

/** How often progress is checked and reported. */
export const statusIntervalMs = 25

/** Resolves to true when everything is counted and committed, to false if it was stopped before. */
export async function untilCounted(
  counting: Counting,
  { status, stop }: { readonly status: JobStatus; readonly stop: AbortSignal | null },
): Promise<boolean> {
  const { streams } = counting
  while (!isCounted(counting)) {
    if (stop?.aborted) return false
    status.update(statusOf(streams))
    if (streams.phase !== 'running') await streams.finished()
    await setTimeout(statusIntervalMs)
  }
  return true
}

/**
 * Whether the application has committed all of its inputs up to their ends. A commit contains both what a step has read
 * and what it wrote for the next one, so at no moment is a record missing from both.
 */
function isCounted({ log, streams, applicationId, inputs }: Counting): boolean {
  // If there is lag, the committed offsets need not be read.
  if (streams.metrics().lag > 0) return false
  const read = log.admin
    .listTopics()
    .map(({ name }) => name)
    .filter(
      (name) =>
        inputs.some((input) => input.name === name) ||
        (name.startsWith(`${applicationId}-`) && name.endsWith('-repartition')),
    )
  const bounds = read.flatMap((name) => log.admin.describeTopic(name).bounds)
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

export function statusOf(streams: Streams): Status {
  const { processed, lag, streamTime, commits } = streams.metrics()
  return { phase: 'counting', records: processed, lag, streamTime: streamTime < 0 ? null : streamTime, commits }
}
