import { StreamsError } from '../../streams/errors.ts'
import { refusePromise } from './no-promise.ts'

/** The error for a callback that returned undefined, which is neither a value nor a tombstone. */
export function undefinedResult(node: string, callback: string): StreamsError {
  return new StreamsError(
    'UNDEFINED_RESULT',
    `the ${callback} of ${node} returned undefined; return a value, or null if null is intended`,
    { node, callback },
  )
}

/**
 * Throws unless a callback of `node` returned a value or null. A Promise would be forwarded like a value and be written as
 * an empty object.
 */
export function checkResult(result: unknown, node: string, callback: string): void {
  if (result === undefined) throw undefinedResult(node, callback)
  // Nearly every result is a plain value: only what is a Promise is looked at any closer.
  if (result instanceof Promise) refusePromise(result, `the ${callback}`)
}
