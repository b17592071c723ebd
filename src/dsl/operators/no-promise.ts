import { StreamsError } from '../../streams/errors.ts'

/**
 * Refuses what an `async` callback returns where nothing is expected. A commit does not wait for it: what it does behind its
 * first `await` would be lost in a crash, or done twice, in no order, and without a bound on how much is under way.
 */
export function refusePromise(result: unknown, callback: string): void {
  if (result === undefined || !isThenable(result)) return
  // It is refused here; that it also fails must not end the process unheard.
  result.then(undefined, () => undefined)
  throw new StreamsError(
    'PROCESSING_FAILED',
    `${callback} returned a Promise, and no commit waits for it: what it does later could be lost, or done twice; work without async, and do what takes time before the topic or behind it, as in consumer.eachRecord()`,
  )
}

interface Thenable {
  then(done: undefined, failed: () => undefined): unknown
}

function isThenable(result: unknown): result is Thenable {
  return typeof result === 'object' && result !== null && 'then' in result && typeof result.then === 'function'
}
