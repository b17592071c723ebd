import type { OptionNames } from '../../base/option-names.ts'
import { shown } from '../../base/shown.ts'
import type { AnyTopic, Topic } from '../../codec/topic.ts'
import { LogError } from '../api/errors.ts'
import type { Header } from '../api/record.ts'
import { compressionCodes, type Compression } from '../format/compression.ts'
import { producerNumbers } from './client-options.ts'
import type { ProducerPartitioner } from './partitioner.ts'
import type { BytesIn } from './record-format.ts'

/** What `log.producer` takes; all of it has defaults. */
export interface ProducerOptions {
  /** How long a batch waits for more records. Default 0 ms: until the next turn of the event loop. Kafka: `linger.ms`. */
  readonly lingerMs?: number
  /** Size at which a batch goes at once. Default 256 KiB, at most the topic's maxMessageBytes. Kafka: `batch.size`. */
  readonly batchBytesMax?: number
  /** Bytes that may be taken and unanswered. Default 32 MiB. Kafka: `buffer.memory`. */
  readonly bufferBytesMax?: number
  /** Sends that may wait for room. Default 1,000,000. Kafka blocks the thread instead. */
  readonly waitingSendsMax?: number
  /** Default none. Kafka: `compression.type`. */
  readonly compression?: Compression
  /**
   * When a send is answered. `all` (default): when its batch is written as `sync` of the log says: with `commit` it is on
   * the device and survives a power cut, with `os` it survives the end of the process. `1`: the same, for the log is
   * its own only replica and writes and syncs in one step. `0`: as soon as the batch is on its way; the offset is -1, and
   * nobody hears of a failure. Kafka: `acks`.
   */
  readonly acks?: 0 | 1 | 'all'
  /**
   * Whether batches are numbered, so that each is written once and in order. Default true with `acks: 'all'`, which it
   * needs. Kafka: `enable.idempotence`.
   */
  readonly idempotence?: boolean
  /**
   * Makes the producer transactional: call `initTransactions`, then `beginTransaction` before the first record. One
   * producer at a time has the id; a newer one fences the older. Kafka: `transactional.id`.
   */
  readonly transactionalId?: string
  /** How long a transaction may be open before the log aborts it. Default 60,000 ms. Kafka: `transaction.timeout.ms`. */
  readonly transactionTimeoutMs?: number
  /**
   * Batches of a partition that may be on their way, at most 5. Default 5, not counting those that the log has taken into
   * its order and only still writes. Kafka: `max.in.flight.requests.per.connection`.
   */
  readonly inFlightMax?: number
  /** How often a batch whose failure is retriable is tried again. Default: until `deliveryTimeoutMs`. Kafka: `retries`. */
  readonly retries?: number
  /** Time between two tries. Default 100 ms. Kafka: `retry.backoff.ms`. */
  readonly retryBackoffMs?: number
  /**
   * So long after its first record was taken a batch is given up with TIMEOUT; it may still be written. More than `lingerMs`.
   * Default 120,000 ms. Kafka: `delivery.timeout.ms`.
   */
  readonly deliveryTimeoutMs?: number
  /**
   * Chooses partitions for topics that declare no partitioner. Default: murmur2 of the key, as Kafka's producers. Kafka:
   * `partitioner.class`.
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

/** Whether batches get numbers. Throws INVALID_CONFIG for wishes that exclude each other. */
export function isNumbered({ acks, idempotence, transactionalId }: ProducerOptions): boolean {
  const all = acks === undefined || acks === 'all'
  if (![0, 1, 'all', undefined].includes(acks))
    throw new LogError('INVALID_CONFIG', `acks is ${shown(acks)}: use 0, 1 or 'all'`, { acks })
  const wanted = idempotence ?? (transactionalId !== undefined || all)
  if (wanted && !all)
    throw new LogError(
      'INVALID_CONFIG',
      `acks ${shown(acks)} and numbered batches exclude each other: use acks 'all'`,
      {
        acks,
      },
    )
  if (!wanted && transactionalId !== undefined)
    throw new LogError('INVALID_CONFIG', 'a transactional producer numbers its batches: leave idempotence on', {
      transactionalId,
    })
  return wanted
}

/** Throws INVALID_CONFIG for a codec that there is none of: its first batch would be the end of the process. */
export function checkedCompression({ compression = 'none' }: ProducerOptions): Compression {
  if (typeof compression === 'string' && Object.hasOwn(compressionCodes, compression)) return compression
  throw new LogError(
    'INVALID_CONFIG',
    `compression of the producer is ${shown(compression)}: use ${Object.keys(compressionCodes).join(', ')}`,
    { compression },
  )
}

interface RecordPlace {
  /** Default: as the topic or the producer has it, see `partitioner`; else murmur2 of the key; without a key one partition per batch, in turn. */
  readonly partition?: number
  /** Milliseconds since the epoch. Default: what the declared topic finds in the value, else now. */
  readonly timestamp?: number
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

/** What both kinds of record are while they are checked. */
export interface GivenRecord extends RecordPlace {
  readonly topic: string | AnyTopic
  readonly key?: unknown
  readonly value: unknown
}
