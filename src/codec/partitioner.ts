import { shown } from '../base/shown.ts'
import { CodecError } from './codec-error.ts'

/**
 * Puts records into partitions by a rule of one's own. `id` names the rule: it is remembered with the topic, and what is
 * written or joined with another one is refused, for equal keys would lie in different partitions. A new rule is a new id.
 * Kafka's `Partitioner` and `StreamPartitioner`, in one.
 *
 * - `partition` is given the key (null where the record has none), the value and the number of partitions, and returns a
 *   whole number from 0 on, below that number. It must depend on nothing else, and on the value only if nothing is looked
 *   up by key afterwards.
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

/** What to say of a partitioner that returned what is no partition. */
export function noPartition(partitioner: string, topic: string, chosen: unknown, partitions: number): string {
  return `the partitioner ${partitioner} chose ${shown(chosen)} for a record of topic ${topic}, which has ${partitions} partitions: return a whole number from 0 to ${partitions - 1}`
}

/** What to say of a partitioner that threw. */
export function partitionerThrew(partitioner: string, topic: string, error: unknown): string {
  const cause = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return `the partitioner ${partitioner} threw for a record of topic ${topic}: ${cause}; let it return a partition for such a record, too`
}

const idLengthMax = 249
