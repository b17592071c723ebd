import { shown } from '../../base/shown.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { OffsetEntry } from '../api/log.ts'
import type { TopicPartition } from '../api/record.ts'

/**
 * Checks the arguments of the clients' methods at run time, for untyped callers. Without these checks, `null` or `{}`
 * would cause a TypeError from deep inside or an endless wait, or be taken for something else. Each function throws
 * INVALID_CONFIG with the name of the argument, the given value and the remedy.
 *
 * Only the shape is checked. Whether a topic exists or an offset is in range is checked where that is known. Nothing
 * here is called per record.
 */

/** Requires an object. The names of options are checked as well: `checkOptions`. */
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

/** Like {@link checkFunction}, but the function may be absent. */
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

/** Requires a string that the log can store, with at most the length that fits Kafka's 16 bits; or nothing. */
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

/** Requires a time to wait; `Infinity` is unlimited, and a negative time is 0. */
export function checkWait(given: unknown): void {
  if (given === undefined || (typeof given === 'number' && !Number.isNaN(given))) return
  throw refused('waitMs', given, 'give milliseconds, a number')
}

/** Requires a topic that was declared with `topic()`. */
export function checkDeclaredTopic(given: unknown): void {
  if (typeof given === 'object' && given !== null && 'name' in given && 'key' in given && 'value' in given) return
  throw refused('topic', given, 'give what topic(name, ...) made')
}

const placeForm = '{ topic: string, partition: number }'

export function checkPlace(what: string, given: unknown): void {
  if (!isPlace(given)) throw refused(what, given, `give ${placeForm}`)
}

function isPlace(given: unknown): boolean {
  if (typeof given !== 'object' || given === null || !('topic' in given && 'partition' in given)) return false
  return typeof given.topic === 'string' && typeof given.partition === 'number'
}

export function checkPlaces(what: string, given: readonly TopicPartition[]): void {
  checkList(what, given)
  for (const at of given) checkPlace(what, at)
}

/** Requires a list of requests about partitions, each with its partition as `at`. */
export function checkPlacesIn(what: string, given: readonly { readonly at: TopicPartition }[]): void {
  checkList(what, given)
  // Shown as a whole: whoever gave `{ topic, partition }` must learn that it belongs under `at`.
  for (const asked of given) if (!hasPlace(asked)) throw refused(what, asked, `give { at: ${placeForm}, ... }`)
}

function hasPlace(given: unknown): boolean {
  return typeof given === 'object' && given !== null && 'at' in given && isPlace(given.at)
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
      throw refused('leaderEpoch', leaderEpoch, 'give an integer of 0 or more, or -1 if it is not known')
    checkText('metadata', metadata)
  }
}

/** Requires a consumer's identity for a transaction: the result of `consumer.groupMetadata()`. */
export function checkGroupMetadata(given: GroupMetadata): void {
  checkObject('group metadata', given)
  const { group, generation, memberId, groupInstanceId } = given
  const isWhole =
    typeof group === 'string' &&
    Number.isSafeInteger(generation) &&
    typeof memberId === 'string' &&
    (groupInstanceId === null || typeof groupInstanceId === 'string')
  if (!isWhole) throw refused('group metadata', given, 'give the result of consumer.groupMetadata()')
}

function refused(what: string, value: unknown, remedy: string): LogError {
  return new LogError('INVALID_CONFIG', `${what}: ${shown(value)} is invalid; ${remedy}`, { what, value })
}
