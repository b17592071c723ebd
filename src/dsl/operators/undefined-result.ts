import { StreamsError } from '../../streams/errors.ts'

/** The error for a callback that returned undefined, which is neither a value nor a tombstone. */
export function undefinedResult(node: string, callback: string): StreamsError {
  return new StreamsError(
    'UNDEFINED_RESULT',
    `the ${callback} of ${node} returned undefined; return a value, or null if null is intended`,
    { node, callback },
  )
}
