/** Waiting until an application has taken all that is there, and saying meanwhile how far it is. */
import { setTimeout } from 'node:timers/promises'
import type { Streams } from 'millrace'
import type { EmbeddedLog } from 'millrace/log'
import type { Status } from './status-line.ts'

/** Where a job says how far it is. */
export interface JobStatus {
  update(status: Status): void
  finish(sentence: string): void
}

/** An application on a log, and the topics of others that it reads. */
export interface Counting {
  readonly log: EmbeddedLog
  readonly streams: Streams
  readonly applicationId: string
  readonly inputs: readonly { readonly name: string }[]
}

/** How often it is looked whether all is counted, and told how far it is. */
export const statusIntervalMs = 25

/** True when everything is counted and committed, false when it was stopped before. */
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
 * Whether the application has committed all of its inputs to their ends. A commit holds what a step has read and what
 * it wrote for the next one, so there is no moment at which a record is in neither.
 */
function isCounted({ log, streams, applicationId, inputs }: Counting): boolean {
  // Who is behind need not be asked what is committed.
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
