import type { OptionNames } from '../../../base/option-names.ts'
import { shown } from '../../../base/shown.ts'
import type { AnyTopic, Topic } from '../../../codec/topic.ts'
import { LogError } from '../../api/errors.ts'
import type { Header } from '../../api/record.ts'
import { compressionCodes, type Compression } from '../../format/compression.ts'
import { producerNumbers } from '../client-options.ts'
import type { BytesIn } from '../record-format.ts'
import type { ProducerPartitioner } from './partitioner.ts'

/** Options of `log.producer`; all of them have defaults. */
export interface ProducerOptions {
  /** How long a batch waits for more records. Default 0 ms: until the next turn of the event loop. Kafka: `linger.ms`. */
  readonly lingerMs?: number
  /** Size at which a batch is sent at once. Default 256 KiB, at most the topic's maxMessageBytes. Kafka: `batch.size`. */
  readonly batchBytesMax?: number
  /** Bytes that may have been accepted but not acknowledged yet. Default 32 MiB. Kafka: `buffer.memory`. */
  readonly bufferBytesMax?: number
  /** Sends that may wait for room; any more fail with TIMEOUT. Default 1,000,000. Kafka blocks the thread instead. */
  readonly waitingSendsMax?: number
  /** How batches are compressed. Default `none`. Kafka: `compression.type`. */
  readonly compression?: Compression
  /**
   * When a send resolves. `all` (default): once its batch is written in the way that the log's `sync` asks for; with
   * `commit` it is then on the device and survives a power cut, with `os` it survives the end of the process. `1`: the
   * same, because the log has no other replicas. `0`: as soon as the batch has been handed over; the offset is then -1, and
   * failures are not reported. Kafka: `acks`.
   */
  readonly acks?: 0 | 1 | 'all'
  /**
   * Whether batches are numbered, so that each is written once and in order. Default true with `acks: 'all'`, and only
   * possible with it. Kafka: `enable.idempotence`.
   */
  readonly idempotence?: boolean
  /**
   * Makes the producer transactional: call `initTransactions` once, then `beginTransaction` before the first record. Only
   * one producer at a time can use the id; a newer one fences the older one. Default none. Kafka: `transactional.id`.
   */
  readonly transactionalId?: string
  /** How long a transaction may be open before the log aborts it. Default 60,000 ms. Kafka: `transaction.timeout.ms`. */
  readonly transactionTimeoutMs?: number
  /**
   * Batches of a partition that may be under way, at most 5. Default 5, not counting those that have their place in the log's
   * order and are only waiting to be written. Kafka: `max.in.flight.requests.per.connection`.
   */
  readonly inFlightMax?: number
  /** How often a batch is retried while its failure is retriable. Default: until `deliveryTimeoutMs`. Kafka: `retries`. */
  readonly retries?: number
  /** Time between two attempts. Default 100 ms. Kafka: `retry.backoff.ms`. */
  readonly retryBackoffMs?: number
  /**
   * A batch that is not written this long after its first record was accepted fails with TIMEOUT; it may still be written
   * later. More than `lingerMs`. Default 120,000 ms. Kafka: `delivery.timeout.ms`.
   */
  readonly deliveryTimeoutMs?: number
  /**
   * Chooses the partition for topics that declare no partitioner. Default: murmur2 of the key, as in Kafka's producers.
   * Kafka: `partitioner.class`.
   */
  readonly partitioner?: ProducerPartitioner
}

export const producerOptionNames: OptionNames<ProducerOptions> = {
  ...producerNumbers,
  compression: { kafka: 'compression.type' },
  acks: true,
  idempotence: { kafka: 'enable.idempotence' },
  transactionalId: true,
  partitioner: { kafka: 'partitioner.class' },
}

/** Whether batches are numbered. Throws INVALID_CONFIG for options that cannot be combined. */
export function isNumbered({ acks, idempotence, transactionalId }: ProducerOptions): boolean {
  const all = acks === undefined || acks === 'all'
  if (![0, 1, 'all', undefined].includes(acks))
    throw new LogError('INVALID_CONFIG', `acks is ${shown(acks)}: use 0, 1 or 'all'`, { acks })
  const wanted = idempotence ?? (transactionalId !== undefined || all)
  if (wanted && !all)
    throw new LogError(
      'INVALID_CONFIG',
      `acks ${shown(acks)} cannot be combined with idempotence or transactions: use acks 'all'`,
      {
        acks,
      },
    )
  if (!wanted && transactionalId !== undefined)
    throw new LogError('INVALID_CONFIG', 'a transactional producer must be idempotent: leave idempotence on', {
      transactionalId,
    })
  return wanted
}

/** Throws INVALID_CONFIG for an unknown codec, which would otherwise end the process with the first batch. */
export function checkedCompression({ compression = 'none' }: ProducerOptions): Compression {
  if (typeof compression === 'string' && Object.hasOwn(compressionCodes, compression)) return compression
  throw new LogError(
    'INVALID_CONFIG',
    `compression of the producer is ${shown(compression)}: use ${Object.keys(compressionCodes).join(', ')}`,
    { compression },
  )
}

interface RecordPlace {
  /**
   * Default: what the partitioner of the topic or producer chooses, else murmur2 of the key; without a key, each batch
   * goes to the next partition.
   */
  readonly partition?: number
  /** Milliseconds since the epoch. Default: what the `timestamp` of the declared topic returns, else now. */
  readonly timestamp?: number
  /** Default none. */
  readonly headers?: readonly Header[]
}

/** A record for a topic by name. */
export interface BytesRecord extends RecordPlace {
  readonly topic: string
  readonly key?: BytesIn
  readonly value: BytesIn
}

/** A record for a declared topic. */
export interface TypedRecord<KIn, VIn> extends RecordPlace {
  readonly topic: Topic<unknown, unknown, KIn, VIn>
  readonly key: KIn
  readonly value: VIn
}

/** Either kind of record, before it is checked. */
export interface GivenRecord extends RecordPlace {
  readonly topic: string | AnyTopic
  readonly key?: unknown
  readonly value: unknown
}
