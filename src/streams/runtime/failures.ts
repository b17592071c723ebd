import { InvariantError } from '../../base/assert.ts'
import type { TaskSection } from '../../log/api/commit-section.ts'
import { LogError } from '../../log/api/errors.ts'
import { partitionName, type TopicPartition } from '../../log/api/record.ts'
import { StoreError } from '../store/store-error.ts'
import { StreamsError, type StreamsErrorCode } from '../errors.ts'
import type { Task } from '../task/task.ts'

/** Says of a failure in a task which node it was, and at which record. What names itself already stays as it is. */
export function failureOf(task: Task, error: unknown, otherwise = 'in a punctuation'): Error {
  if (error instanceof InvariantError) return error
  const { node, input, offset } = task.record
  const place = input === null ? otherwise : `at ${input.topic}-${input.partition} offset ${offset}`
  if (error instanceof StreamsError && 'node' in error.values) return located(error, task, place)
  const values = { node, task: task.id, topic: input?.topic, partition: input?.partition, offset }
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof LogError) {
    return new StreamsError(
      error.code === 'COMMIT_TOO_LARGE' || error.code === 'INVALID_TIMESTAMP' ? error.code : 'PRODUCTION_FAILED',
      `${node} ${place}: ${text}`,
      values,
      { cause: error },
    )
  }
  const code = error instanceof StreamsError ? error.code : 'PROCESSING_FAILED'
  const message = error instanceof StreamsError ? text.replace(`${code}: `, '') : `${nameOf(error)}${text}`
  return new StreamsError(code, `${node} failed ${place}: ${message}`, values, { cause: error })
}

/** What names its node, and not the record, gets its place. */
function located(error: StreamsError, { id, record: { input, offset } }: Task, place: string): StreamsError {
  if (input === null || 'topic' in error.values || 'partition' in error.values) return error
  const { topic, partition } = input
  const text = error.message.replace(`${error.code}: `, '')
  return new StreamsError(
    error.code,
    `${place}: ${text}`,
    { ...error.values, task: id, topic, partition, offset },
    { cause: error.cause ?? error },
  )
}

/** Says of a commit that the log refused for its size whose records it was made of. */
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
    `${who} for ${shown === '' ? 'a punctuation' : `${shown}${more}`}: ${error.message.replace('COMMIT_TOO_LARGE: ', '')}, with a smaller overlayBytesMax or commitBytesMax, or let one record make less`,
    { ...error.values, nodes: writers, inputs },
    { cause: error },
  )
}

/** What stops an application without being of one node: in the words of streams, with what to do. */
export function applicationFailure(applicationId: string, error: unknown): unknown {
  const text = error instanceof Error ? error.message : String(error)
  const values = { applicationId }
  if (error instanceof LogError && error.code === 'FENCED') {
    return new StreamsError(
      'FENCED',
      `another instance of ${applicationId} has taken over, and this one has stopped without committing anything more: run one at a time, or give each an applicationId of its own (${text})`,
      values,
      { cause: error },
    )
  }
  if (isCommitLost(error)) {
    return new StreamsError(
      'COMMIT_ABORTED',
      `commits of ${applicationId} are lost again and again, the last one so: ${text}; the state is that of the commit before: correct the cause and start again`,
      values,
      { cause: error },
    )
  }
  if (error instanceof LogError && error.code === 'GROUP_IN_USE') {
    return new LogError(
      'GROUP_IN_USE',
      `${applicationId} runs on this log already: close it first, and wait until it is closed, or give this one an applicationId of its own`,
      { ...error.values, applicationId },
      { cause: error },
    )
  }
  if (error instanceof LogError && error.code === 'UNKNOWN_TOPIC') {
    return new StreamsError(
      'TOPIC_MISSING',
      `a topic of ${applicationId} was deleted while it ran (${text}); make it again, or take it out of the topology, and start again: its state is that of the last commit`,
      { ...error.values, applicationId },
      { cause: error },
    )
  }
  if (error instanceof StoreError) {
    return new StreamsError(
      error.code === 'STORE_MISMATCH' ? 'STORE_MISMATCH' : 'STORE_FAILED',
      `a store of ${applicationId}: ${text}; what is committed is in the changelogs: with its directory removed the store is restored from there`,
      values,
      { cause: error },
    )
  }
  return error
}

/** Whether leaving out the record helps. What is wrong with the program, a store or the log is wrong for the next one too. */
export function isOfTheRecord(error: unknown): boolean {
  if (error instanceof InvariantError) return false
  if (error instanceof StoreError) return error.code === 'STORE_KEY_TOO_LARGE'
  if (error instanceof LogError) return error.code === 'MESSAGE_TOO_LARGE' || error.code === 'INVALID_TIMESTAMP'
  return !(error instanceof StreamsError) || !neverDropped.includes(error.code)
}

const neverDropped: readonly StreamsErrorCode[] = ['INVALID_RECORD', 'ASYNC_SCHEMA', 'STORE_UNKNOWN', 'STORE_FAILED']

/** A commit that was lost is made again from the one before. */
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
