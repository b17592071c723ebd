import { InvariantError } from '../../base/assert.ts'
import { LogError } from '../../log/api/errors.ts'
import { StreamsError } from '../errors.ts'
import type { Task } from '../task/task.ts'

/** Says of a failure in a task which node it was, and at which record. What names itself already stays as it is. */
export function failureOf(task: Task, error: unknown): Error {
  if (error instanceof InvariantError) return error
  if (error instanceof StreamsError && 'node' in error.values) return error
  const { node, input, offset } = task.record
  const place = input === null ? 'in a punctuation' : `at ${input.topic}-${input.partition} offset ${offset}`
  const values = { node, task: task.id, topic: input?.topic, partition: input?.partition, offset }
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof LogError) {
    return new StreamsError(
      error.code === 'COMMIT_TOO_LARGE' ? 'COMMIT_TOO_LARGE' : 'PRODUCTION_FAILED',
      `${node} ${place}: ${text}`,
      values,
      { cause: error },
    )
  }
  const code = error instanceof StreamsError ? error.code : 'PROCESSING_FAILED'
  const message = error instanceof StreamsError ? text.replace(`${code}: `, '') : `${nameOf(error)}${text}`
  return new StreamsError(code, `${node} failed ${place}: ${message}`, values, { cause: error })
}

function nameOf(error: unknown): string {
  return error instanceof Error && error.name !== 'Error' ? `${error.name}: ` : ''
}
