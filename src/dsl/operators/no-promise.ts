import { StreamsError } from '../../streams/errors.ts'

/**
 * Refuses the Promise that an `async` callback returns. A commit does not wait for it: its work after the first `await`
 * would be lost in a crash or done twice, would have no order, and would be unbounded.
 */
export function refusePromise(result: unknown, callback: string): void {
  if (result === undefined || !isThenable(result)) return
  // The Promise is refused here; if it also rejects, that must not end the process as an unhandled rejection.
  result.then(undefined, () => undefined)
  throw new StreamsError(
    'PROCESSING_FAILED',
    `${callback} returned a Promise, and no commit waits for it: what it does later could be lost, or done twice; work without async, and do slow work before records reach the topic or after they leave it, as in consumer.eachRecord()`,
  )
}

interface Thenable {
  then(done: undefined, failed: () => undefined): unknown
}

function isThenable(result: unknown): result is Thenable {
  return typeof result === 'object' && result !== null && 'then' in result && typeof result.then === 'function'
}
