import { shown } from '../../base/shown.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { OffsetEntry } from '../api/log.ts'
import type { TopicPartition } from '../api/record.ts'
import { checkOptions } from '../api/checked-options.ts'
import { rebalanceListenerNames, type ListenOptions, type RebalanceListener } from './consumer-options.ts'

/**
 * What callers hand to clients, held against the types that it has: for callers without types, whose `null` or `{}` would
 * be a TypeError from deep inside, a wait without end, or pass for something else. Each throws INVALID_CONFIG with what was
 * asked, what was given and what to give.
 *
 * Only the shape is looked at. Whether a topic exists or an offset is in range is asked where it is known. Nothing here is
 * called for each record.
 */

/** What is given as an object. Options are held against their names, too: {@link checkOptions}. */
export function checkObject(what: string, given: unknown): void {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return
  throw refused(what, given, 'give an object, or leave it out')
}

export function checkList(what: string, given: unknown): void {
  if (Array.isArray(given)) return
  throw refused(what, given, 'give an array')
}

export function checkFunction(what: string, given: unknown): void {
  if (typeof given === 'function') return
  throw refused(what, given, 'give a function')
}

/** As {@link checkFunction}, or nothing. */
export function checkOptionalFunction(what: string, given: unknown): void {
  if (given !== undefined) checkFunction(what, given)
}

export function checkInteger(what: string, given: unknown): void {
  if (Number.isSafeInteger(given)) return
  throw refused(what, given, 'give an integer')
}

export function checkText(what: string, given: unknown): void {
  if (typeof given === 'string') return
  throw refused(what, given, 'give a string')
}

/** A string that the log keeps, where Kafka's lengths have 16 bits; or nothing. */
export function checkOptionalName(what: string, given: unknown): void {
  if (given === undefined) return
  if (typeof given === 'string' && given !== '' && Buffer.byteLength(given) <= nameBytesMax) return
  throw refused(what, given, `give a string of 1 to ${nameBytesMax} bytes`)
}

const nameBytesMax = 32_767

export function checkSignal(given: unknown): void {
  if (given === undefined || given instanceof AbortSignal) return
  throw refused('signal', given, 'give the signal of an AbortController')
}

/** A wait; `Infinity` is one without end, and what lies below 0 is none. */
export function checkWait(given: unknown): void {
  if (given === undefined || (typeof given === 'number' && !Number.isNaN(given))) return
  throw refused('waitMs', given, 'give milliseconds, a number')
}

export function checkPlace(what: string, given: TopicPartition): void {
  const at: unknown = given
  if (typeof at === 'object' && at !== null && typeof given.topic === 'string' && typeof given.partition === 'number')
    return
  throw refused(what, given, 'give { topic: string, partition: number }')
}

export function checkPlaces(what: string, given: readonly TopicPartition[]): void {
  checkList(what, given)
  for (const at of given) checkPlace(what, at)
}

/** What asks something of partitions: each has its partition as `at`. */
export function checkPlacesIn(what: string, given: readonly { readonly at: TopicPartition }[]): void {
  checkList(what, given)
  for (const asked of given) {
    checkObject(what, asked)
    checkPlace(what, asked.at)
  }
}

export function checkPositions(
  what: string,
  given: readonly { readonly at: TopicPartition; readonly offset: number }[],
): void {
  checkPlacesIn(what, given)
  for (const { at, offset } of given)
    if (typeof offset !== 'number') throw refused(`${what} of ${at.topic}`, offset, 'give an offset, a number')
}

export function checkOffsetEntries(given: readonly OffsetEntry[]): void {
  checkPositions('offsets', given)
  for (const { leaderEpoch, metadata } of given) {
    if (!Number.isSafeInteger(leaderEpoch) || leaderEpoch < -1 || leaderEpoch >= 2 ** 31)
      throw refused('leaderEpoch', leaderEpoch, 'give an integer of 0 or more, or -1 where it is not known')
    checkText('metadata', metadata)
  }
}

/** Whoever commits in a transaction: what `consumer.groupMetadata()` gave. */
export function checkGroupMetadata(given: GroupMetadata): void {
  checkObject('group metadata', given)
  const { group, generation, memberId, groupInstanceId } = given
  const isWhole =
    typeof group === 'string' &&
    Number.isSafeInteger(generation) &&
    typeof memberId === 'string' &&
    (groupInstanceId === null || typeof groupInstanceId === 'string')
  if (!isWhole) throw refused('group metadata', given, 'give what groupMetadata() of the consumer says')
}

export function checkRebalanceListener(listener: RebalanceListener): void {
  checkOptions('the rebalance listener', listener, rebalanceListenerNames)
  for (const name of Object.keys(rebalanceListenerNames)) checkOptionalFunction(name, Reflect.get(listener, name))
}

/** What is called with records, and how. */
export function checkListening(listener: unknown, options: ListenOptions): void {
  checkFunction('listener', listener)
  checkSignal(options.signal)
}

function refused(what: string, value: unknown, remedy: string): LogError {
  return new LogError('INVALID_CONFIG', `${what}: ${shown(value)} is none; ${remedy}`, { what, value })
}
