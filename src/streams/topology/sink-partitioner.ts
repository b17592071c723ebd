import { isPartitioner, type TopicPartitioner } from '../../codec/partitioner.ts'
import { shown } from '../../base/shown.ts'
import type { AnyTopic } from '../../codec/topic.ts'
import { StreamsError } from '../errors.ts'

/**
 * What chooses the partition of a record that is written: a partitioner with an id, which the topic remembers, or just a
 * function, which nobody outside the program can know. Kafka's `StreamPartitioner`.
 */
export type StreamPartitioner<K, V> = TopicPartitioner<K, V> | ((key: K, value: V, partitions: number) => number)

/** The same for a sink, whichever it was given. */
export interface SinkPartitioner {
  /** Absent where it was only a function. */
  readonly id?: string
  /** As it was given, by which a function is known. */
  readonly given: StreamPartitioner<unknown, unknown>
  readonly partition: (key: unknown, value: unknown, partitions: number) => number
}

/** Throws CONFIG_INVALID unless it is one. */
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
 * The partitioner of a sink that writes to these topics: what they declare, which one of its own must not contradict. Throws
 * TOPOLOGY_INVALID.
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

/** A rule in a sentence. */
export function ruleText(id: string | undefined): string {
  return id === undefined ? 'murmur2 of the key (the default)' : `"${id}"`
}
