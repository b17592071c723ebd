import { shown } from '../../base/shown.ts'
import { StreamsError } from '../errors.ts'

/**
 * Throws if a time that user code gives to a store is none. Stored, it would move the store's clock, by which all other
 * rows expire, or fail only at the commit, which names no record.
 */
export function checkStoreTime(store: string, what: string, time: number): void {
  if (Number.isSafeInteger(time) && time >= 0) return
  throw new StreamsError(
    'INVALID_TIMESTAMP',
    `store ${store}: ${what} is ${shown(time)}; use milliseconds, a whole number from 0 on`,
    { store, time },
  )
}

/** The error for a session whose end comes before its start. */
export function endsBeforeStart(store: string, start: number, end: number): StreamsError {
  return new StreamsError(
    'INVALID_TIMESTAMP',
    `store ${store}: a session from ${start} to ${end} ends before it starts; give start, then end`,
    { store, start, end },
  )
}
