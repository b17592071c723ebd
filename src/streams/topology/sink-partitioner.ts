import { isPartitioner, type TopicPartitioner } from '../../codec/partitioner.ts'
import { shown } from '../../base/shown.ts'
import type { AnyTopic } from '../../codec/topic.ts'
import { StreamsError } from '../errors.ts'

/**
 * Chooses the partition of a record that is written: either a partitioner with an id, which the topic remembers, or
 * just a function, which no other program can identify. Kafka's `StreamPartitioner`.
 */
export type StreamPartitioner<K, V> = TopicPartitioner<K, V> | ((key: K, value: V, partitions: number) => number)

/** The partitioner of a sink, in one form for both kinds. */
export interface SinkPartitioner {
  /** Absent if a function was given. */
  readonly id?: string
  /** The original argument, by which functions are compared. */
  readonly given: StreamPartitioner<unknown, unknown>
  readonly partition: (key: unknown, value: unknown, partitions: number) => number
}

/** Converts what was given for `what`. Throws CONFIG_INVALID if it is neither a partitioner nor a function. */
export function sinkPartitioner(given: unknown, what: string): SinkPartitioner | undefined {
  if (given === undefined) return undefined
  if (isPartitioner(given)) {
    return Object.freeze({
      id: given.id,
      given,
      partition: (key: unknown, value: unknown, partitions: number) => given.partition(key, value, partitions),
    })
  }
  if (typeof given === 'function') {
    const partition = given as SinkPartitioner['partition']
    return Object.freeze({ given: partition, partition })
  }
  throw new StreamsError(
    'CONFIG_INVALID',
    `${what}: a partitioner is { id, partition } or a function (key, value, partitions), not ${shown(given)}`,
  )
}

/**
 * The partitioner of a sink that writes to these topics: the one that they declare, which the sink's own partitioner
 * must not contradict. Throws TOPOLOGY_INVALID.
 */
export function partitionerOfSink(
  sink: string,
  own: SinkPartitioner | undefined,
  topics: readonly AnyTopic[],
): SinkPartitioner | undefined {
  const [first] = topics
  for (const { name, partitioner } of topics) {
    if (own === undefined) {
      if (partitioner?.id === first?.partitioner?.id) continue
      throw new StreamsError(
        'TOPOLOGY_INVALID',
        `sink ${sink} chooses between ${first?.name} and ${name}, of which one is partitioned by ${ruleText(first?.partitioner?.id)} and the other by ${ruleText(partitioner?.id)}; use branch and one sink each`,
        { sink, topics: topics.map((each) => each.name) },
      )
    }
    if (partitioner === undefined || partitioner.id === own.id) continue
    throw new StreamsError(
      'TOPOLOGY_INVALID',
      `sink ${sink} writes to topic ${name} with ${own.id === undefined ? 'a partitioner of its own' : `the partitioner "${own.id}"`}, but the topic is declared with "${partitioner.id}"; leave out the partitioner of the sink, or declare the topic with that one`,
      { sink, topic: name, declared: partitioner.id, given: own.id },
    )
  }
  return own ?? sinkPartitioner(first?.partitioner, `topic ${first?.name}`)
}

/** The text for a partitioner in messages. */
export function ruleText(id: string | undefined): string {
  return id === undefined ? 'murmur2 of the key (the default)' : `"${id}"`
}
