import { shown } from '../base/shown.ts'
import { CodecError } from './codec-error.ts'

/**
 * Chooses the partitions of records by a rule of your own. `id` names the rule and is stored with the topic: writing to
 * the topic or joining it with another rule is refused, because equal keys would be in different partitions. A new rule
 * needs a new id. Kafka: `Partitioner` and `StreamPartitioner`.
 *
 * - `partition` is given the key (null if the record has none), the value and the number of partitions, and returns an
 *   integer from 0 to below that number. The result must depend on nothing else, and on the value only if records are
 *   not looked up by key afterwards.
 * @example
 * const byRegion: TopicPartitioner<{ region: number }, unknown> = {
 *   id: 'by-region',
 *   partition: (key, _value, partitions) => key.region % partitions,
 * }
 */
export interface TopicPartitioner<K, V> {
  /** 1 to 249 characters. */
  readonly id: string
  partition(key: K, value: V, partitions: number): number
}

/** Throws INVALID_DECLARATION unless it has an id and a function. */
export function checkedPartitioner(given: unknown, what: string): TopicPartitioner<unknown, unknown> {
  if (isPartitioner(given)) return given
  throw new CodecError(
    'INVALID_DECLARATION',
    `${what}: a partitioner is { id, partition }, an id of 1 to ${idLengthMax} characters and a function (key, value, partitions), not ${shown(given)}`,
  )
}

export function isPartitioner(given: unknown): given is TopicPartitioner<unknown, unknown> {
  if (typeof given !== 'object' || given === null || !('id' in given) || !('partition' in given)) return false
  const { id, partition } = given
  return typeof id === 'string' && id.length >= 1 && id.length <= idLengthMax && typeof partition === 'function'
}

/** The message for a partitioner that returned an invalid partition. */
export function noPartition(partitioner: string, topic: string, chosen: unknown, partitions: number): string {
  return `the partitioner ${partitioner} chose ${shown(chosen)} for a record of topic ${topic}, which has ${partitions} partitions: return a whole number from 0 to ${partitions - 1}`
}

/** The message for a partitioner that threw. */
export function partitionerThrew(partitioner: string, topic: string, error: unknown): string {
  const cause = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return `the partitioner ${partitioner} threw for a record of topic ${topic}: ${cause}; let it return a partition for such a record, too`
}

const idLengthMax = 249
