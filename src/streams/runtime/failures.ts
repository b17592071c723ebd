import { InvariantError } from '../../base/assert.ts'
import { reasonFor } from '../../base/coded-error.ts'
import type { TaskSection } from '../../log/api/commit-section.ts'
import { LogError } from '../../log/api/errors.ts'
import { partitionName, type TopicPartition } from '../../log/api/record.ts'
import { StoreError } from '../store/store-error.ts'
import { StreamsError, type StreamsErrorCode } from '../errors.ts'
import type { Task } from '../task/task.ts'

/**
 * Adds to an error in a task the node and the record at which it occurred. Errors that already name both are returned
 * unchanged.
 */
export function failureOf(task: Task, error: unknown, otherwise = 'in a punctuation'): Error {
  if (error instanceof InvariantError) return error
  const { node, input, offset } = task.record
  const place = input === null ? otherwise : `at ${input.topic}-${input.partition} offset ${offset}`
  if (error instanceof StreamsError && 'node' in error.values) return located(error, task, place)
  const values = { node, task: task.id, topic: input?.topic, partition: input?.partition, offset }
  if (error instanceof LogError) {
    const known = error.code === 'COMMIT_TOO_LARGE' || error.code === 'INVALID_TIMESTAMP'
    const code = known ? error.code : 'PRODUCTION_FAILED'
    return new StreamsError(code, `${node} ${place}: ${reasonFor(code, error)}`, values, { cause: error })
  }
  const code = error instanceof StreamsError ? error.code : 'PROCESSING_FAILED'
  const name = error instanceof StreamsError ? '' : nameOf(error)
  return new StreamsError(code, `${node} failed ${place}: ${name}${reasonFor(code, error)}`, values, { cause: error })
}

/** Adds the record to an error that names only its node. */
function located(error: StreamsError, { id, record: { input, offset } }: Task, place: string): StreamsError {
  if (input === null || 'topic' in error.values || 'partition' in error.values) return error
  const { topic, partition } = input
  return new StreamsError(
    error.code,
    `${place}: ${reasonFor(error.code, error)}`,
    { ...error.values, task: id, topic, partition, offset },
    { cause: error.cause ?? error },
  )
}

/** Adds to the error for a commit that is too large which nodes wrote it and from which input records. */
export function commitFailure(error: unknown, tasks: readonly Task[], sections: readonly TaskSection[]): unknown {
  if (!(error instanceof LogError) || error.code !== 'COMMIT_TOO_LARGE') return error
  const { at } = error.values
  const writers = isPlace(at)
    ? tasks.flatMap((task) => task.collector.writersTo(at).map((node) => `${node} in task ${task.id}`))
    : []
  const inputs = sections.flatMap((section) =>
    section.inputs.map(({ at: from, start, end }) => `${partitionName(from)} offsets ${start} to ${end - 1}`),
  )
  const shown = inputs.slice(0, inputsShownMax).join(', ')
  const more = inputs.length > inputsShownMax ? ` and ${inputs.length - inputsShownMax} more` : ''
  const who = writers.length === 0 ? 'a commit' : writers.join(', ')
  return new StreamsError(
    'COMMIT_TOO_LARGE',
    `${who} for ${shown === '' ? 'a punctuation' : `${shown}${more}`}: ${reasonFor('COMMIT_TOO_LARGE', error)}, with a smaller overlayBytesMax or commitBytesMax, or let one record produce less`,
    { ...error.values, nodes: writers, inputs },
    { cause: error },
  )
}

/**
 * Errors that stop an application and are not caused by a single node, as errors of the streams API with their remedy.
 */
export function applicationFailure(applicationId: string, error: unknown): unknown {
  const text = error instanceof Error ? error.message : String(error)
  const values = { applicationId }
  if (error instanceof LogError && error.code === 'FENCED') {
    return new StreamsError(
      'FENCED',
      `another instance of ${applicationId} has taken over, and this one has stopped without committing anything more: run one at a time, or give each an applicationId of its own (${reasonFor('FENCED', error)})`,
      values,
      { cause: error },
    )
  }
  if (isCommitLost(error)) {
    return new StreamsError(
      'COMMIT_ABORTED',
      `commits of ${applicationId} are lost again and again, the last one because of: ${text}; the state is that of the last successful commit: correct the cause and start again`,
      values,
      { cause: error },
    )
  }
  if (error instanceof LogError && error.code === 'GROUP_IN_USE') {
    return new LogError(
      'GROUP_IN_USE',
      `${applicationId} is already running on this log: close it first, and wait until it is closed, or give this one an applicationId of its own`,
      { ...error.values, applicationId },
      { cause: error },
    )
  }
  if (error instanceof LogError && error.code === 'UNKNOWN_TOPIC') {
    return new StreamsError(
      'TOPIC_MISSING',
      `a topic of ${applicationId} was deleted while it ran (${text}); create it again or remove it from the topology, then start again: the state is that of the last commit`,
      { ...error.values, applicationId },
      { cause: error },
    )
  }
  if (error instanceof StoreError) {
    return new StreamsError(
      error.code === 'STORE_MISMATCH' ? 'STORE_MISMATCH' : 'STORE_FAILED',
      `a store of ${applicationId}: ${text}; everything committed is in the changelogs: remove the directory of the store to restore it from there`,
      values,
      { cause: error },
    )
  }
  return error
}

/**
 * Whether skipping the record helps. If the program, a store or the log is at fault, the next record would fail too.
 */
export function isOfTheRecord(error: unknown): boolean {
  if (error instanceof InvariantError) return false
  if (error instanceof StoreError) return error.code === 'STORE_KEY_TOO_LARGE'
  if (error instanceof LogError) return error.code === 'MESSAGE_TOO_LARGE' || error.code === 'INVALID_TIMESTAMP'
  return !(error instanceof StreamsError) || !neverDropped.includes(error.code)
}

const neverDropped: readonly StreamsErrorCode[] = ['INVALID_RECORD', 'ASYNC_SCHEMA', 'STORE_UNKNOWN', 'STORE_FAILED']

/** Whether a commit was lost. Its records are then processed again, from the commit before it. */
export function isCommitLost(error: unknown): boolean {
  return error instanceof LogError && (error.code === 'ABORTED' || error.code === 'OUTCOME_UNKNOWN')
}

function isPlace(at: unknown): at is TopicPartition {
  return typeof at === 'object' && at !== null && 'topic' in at && 'partition' in at
}

const inputsShownMax = 4

function nameOf(error: unknown): string {
  return error instanceof Error && error.name !== 'Error' ? `${error.name}: ` : ''
}
