import { partitionOfKey } from '../../../base/murmur2.ts'
import { noPartition, partitionerThrew, type TopicPartitioner } from '../../../codec/partitioner.ts'
import { LogError } from '../../api/errors.ts'
import type { TopicInfo } from '../../api/topic.ts'

/**
 * A partitioner of a producer's own, for topics that declare none: it sees the bytes. `id` names the rule: a topic that was
 * made with `partitioner: id` is only written with that one. The bytes hold until `partition` returns.
 * @example { id: 'first-byte', partition: (key, partitions) => (key?.[0] ?? 0) % partitions }
 */
export interface ProducerPartitioner {
  readonly id: string
  /** A number below `partitions`; anything else is UNKNOWN_PARTITION. A null key is a record without one. */
  partition(
    key: Uint8Array | null,
    partitions: number,
    record: { readonly topic: string; readonly value: Uint8Array | null },
  ): number
}

/**
 * Chooses partitions as Kafka's producer does. With a key it is murmur2 of the key, so that all clients put a key into
 * the same partition. Without a key it is one partition until its batch is sent, then the next one, so that batches
 * fill up and partitions are used evenly.
 */
export class Partitioner {
  #sticky = 0

  ofKey(bytes: Uint8Array, start: number, end: number, partitions: number): number {
    return partitionOfKey(bytes, start, end, partitions)
  }

  withoutKey(partitions: number): number {
    return this.#sticky % partitions
  }

  /** Notes that the partition's batch is sent: records without a key use another partition from now on. */
  batchSent(partition: number, partitions: number): void {
    if (this.#sticky % partitions === partition) this.#sticky = (partition + 1) % partitions
  }
}

/**
 * Throws TOPIC_MISMATCH if the topic has another partitioner stored, because records would be put into partitions where
 * readers do not look for their keys. A topic without a stored partitioner accepts any.
 */
export function checkPartitionedAs(info: TopicInfo, id: string | undefined): void {
  const stored = info.config.partitioner
  if (stored === undefined || stored === id) return
  const given = id === undefined ? 'murmur2 of the key, the default' : JSON.stringify(id)
  throw new LogError(
    'TOPIC_MISMATCH',
    `topic ${info.name} is partitioned by ${JSON.stringify(stored)}, but this record would be partitioned by ${given}: declare the topic with that partitioner and send to the declaration, give the producer that partitioner, or give the record a partition`,
    { topic: info.name, stored, given: id },
  )
}

/** The partition chosen by a topic's declared partitioner. Throws PARTITIONER_FAILED, UNKNOWN_PARTITION. */
export function declaredPartition(
  info: TopicInfo,
  partitioner: TopicPartitioner<unknown, unknown>,
  key: unknown,
  value: unknown,
): number {
  let chosen: unknown
  try {
    chosen = partitioner.partition(key, value, info.partitions)
  } catch (cause) {
    throw failed(info, partitioner.id, cause)
  }
  return checkedChoice(info, partitioner.id, chosen)
}

/** The partition chosen by a producer's own partitioner. Throws PARTITIONER_FAILED, UNKNOWN_PARTITION. */
export function producerPartition(
  info: TopicInfo,
  partitioner: ProducerPartitioner,
  key: Uint8Array | null,
  value: Uint8Array | null,
): number {
  let chosen: unknown
  try {
    chosen = partitioner.partition(key, info.partitions, { topic: info.name, value })
  } catch (cause) {
    throw failed(info, partitioner.id, cause)
  }
  return checkedChoice(info, partitioner.id, chosen)
}

function failed({ name: topic }: TopicInfo, partitioner: string, cause: unknown): LogError {
  return new LogError(
    'PARTITIONER_FAILED',
    partitionerThrew(partitioner, topic, cause),
    { topic, partitioner },
    { cause },
  )
}

function checkedChoice({ name: topic, partitions }: TopicInfo, partitioner: string, chosen: unknown): number {
  if (typeof chosen === 'number' && Number.isInteger(chosen) && chosen >= 0 && chosen < partitions) return chosen
  throw new LogError('UNKNOWN_PARTITION', noPartition(partitioner, topic, chosen, partitions), {
    topic,
    partitioner,
    chosen,
    partitions,
  })
}
