import { ByteWriter } from '../../../base/bytes.ts'
import type { Clock } from '../../../base/clock.ts'
import { shown } from '../../../base/shown.ts'
import { LogError, unknownPartition } from '../../api/errors.ts'
import { noHeaders, outgoingRecord, type Header, type OutgoingRecord } from '../../api/record.ts'
import type { TopicConfig } from '../../api/topic.ts'
import { checkTimestampBounds } from '../../format/timestamp-bounds.ts'
import { checkPartitionedAs, declaredPartition, producerPartition, type ProducerPartitioner } from './partitioner.ts'
import type { ProducedTopic, ProducedTopics } from './produced-topic.ts'
import type { GivenRecord } from './producer-options.ts'

/**
 * Converts a record given to a producer into what a batch takes: bytes, a timestamp, a partition.
 *
 * - The record is checked completely here, before anything of it is accepted.
 * - Key and value are encoded into memory that is reused for the next record; a caller that keeps the record longer
 *   copies it. Keys and values given as bytes are not copied at all.
 * - The partition is the record's own if it has one, otherwise that of the topic's declared partitioner, otherwise of
 *   the producer's, otherwise murmur2 of the key. A topic with a stored partitioner accepts only records partitioned by
 *   it, or with a partition of their own.
 * - A record without key and partition has no partition yet: it gets that of the open batch when it is added.
 *
 * It collects nothing, and knows neither buffer space nor transactions.
 */
export class RecordPreparer {
  readonly #topics: ProducedTopics
  readonly #partitioner: ProducerPartitioner | null
  readonly #clock: Clock
  readonly #keyBytes = new ByteWriter()
  readonly #valueBytes = new ByteWriter()
  readonly #scratch = outgoingRecord()
  /** How many records were prepared, or begun. */
  #begun = 0
  /** The time at which the clock was last read. */
  #now = Number.NEGATIVE_INFINITY

  constructor(topics: ProducedTopics, partitioner: ProducerPartitioner | null, clock: Clock) {
    this.#topics = topics
    this.#partitioner = partitioner
    this.#clock = clock
  }

  /**
   * Throws UNKNOWN_TOPIC, UNKNOWN_PARTITION, INVALID_TOPIC, TOPIC_MISMATCH, PARTITIONER_FAILED, INVALID_RECORD,
   * INVALID_TIMESTAMP. The result is valid until the next call.
   */
  prepare(record: GivenRecord): PreparedRecord {
    const call = ++this.#begun
    const prepared = this.#prepare(record)
    // User code has sent another record, whose bytes are now in the place of this one's.
    if (call !== this.#begun) throw sentWithin(prepared.topic.info.name)
    return prepared
  }

  #prepare(record: GivenRecord): PreparedRecord {
    const name = nameOfTopic(record)
    const topic = this.#topics.of(name)
    const format = typeof record.topic === 'string' ? topic.named : topic.formatOf(record.topic)
    if (record.value === undefined && !('value' in record)) throw noValue(name, record)
    const key = format.checkKey(record.key)
    const value = format.checkValue(record.value)

    const into = this.#scratch
    // The bytes are copied only once: into the batch before `send` returns, or into their own memory if the send has to
    // wait.
    if (format.takesBytes && key instanceof Uint8Array) {
      into.keyStart = 0
      into.key = key
      into.keyEnd = key.length
    } else {
      const keyBytes = this.#keyBytes
      keyBytes.clear()
      into.keyStart = format.writeKey(key, keyBytes) ? 0 : -1
      into.key = keyBytes.bytes
      into.keyEnd = keyBytes.length
    }
    if (format.takesBytes && value instanceof Uint8Array) {
      into.valueStart = 0
      into.value = value
      into.valueEnd = value.length
    } else {
      const valueBytes = this.#valueBytes
      valueBytes.clear()
      into.valueStart = format.writeValue(value, valueBytes) ? 0 : -1
      into.value = valueBytes.bytes
      into.valueEnd = valueBytes.length
    }
    into.headers = record.headers === undefined ? noHeaders : checkedHeaders(name, record.headers)
    if (record.timestamp !== undefined && typeof record.timestamp !== 'number')
      throw invalidTimestamp(name, record.timestamp)
    const { config } = topic.info
    const now = this.#needsNow(record.timestamp, config) ? (this.#now = this.#clock.now()) : this.#now
    into.timestamp = record.timestamp ?? format.timestampOf(value, key, now)
    if (!Number.isSafeInteger(into.timestamp) || into.timestamp < 0) throw invalidTimestamp(name, into.timestamp)
    checkTimestampBounds(topic.title, config, into.timestamp, now)

    const { partitions } = topic.info
    if (record.partition !== undefined) {
      return { record: into, topic, partition: checkedPartition(name, record.partition, partitions) }
    }
    const declared = typeof record.topic === 'string' ? undefined : record.topic.partitioner
    checkPartitionedAs(topic.info, declared?.id ?? this.#partitioner?.id)
    if (declared !== undefined) {
      return { record: into, topic, partition: declaredPartition(topic.info, declared, key, value) }
    }
    if (this.#partitioner !== null) {
      const [keyBytes, valueBytes] = [
        sliceOf(into.key, into.keyStart, into.keyEnd),
        sliceOf(into.value, into.valueStart, into.valueEnd),
      ]
      return { record: into, topic, partition: producerPartition(topic.info, this.#partitioner, keyBytes, valueBytes) }
    }
    const partition = into.keyStart < 0 ? anyPartition : topic.partitioner.ofKey(into.key, 0, into.keyEnd, partitions)
    return { record: into, topic, partition }
  }

  /**
   * Reading the clock takes a tenth of the time that a small record costs. A timestamp that was not too far ahead then
   * is not too far ahead now, so the clock is read only for a record without a timestamp, for one that may be too far
   * ahead, and for a topic that bounds the past.
   */
  #needsNow(timestamp: number | undefined, { timestampAfterMaxMs, timestampBeforeMaxMs }: TopicConfig): boolean {
    return (
      timestamp === undefined ||
      timestamp - this.#now > timestampAfterMaxMs ||
      timestampBeforeMaxMs < Number.MAX_SAFE_INTEGER
    )
  }
}

/** A record in bytes, with its destination. */
export interface PreparedRecord {
  readonly record: OutgoingRecord
  readonly topic: ProducedTopic
  /** Below 0: the partition of the next batch without a key. */
  readonly partition: number
}

/** The partition of a record without a key, chosen when it is added to a batch. */
const anyPartition = -1

function sliceOf(bytes: Uint8Array, start: number, end: number): Uint8Array | null {
  return start < 0 ? null : bytes.subarray(start, end)
}

function checkedPartition(topic: string, partition: number, count: number): number {
  if (Number.isInteger(partition) && partition >= 0 && partition < count) return partition
  throw unknownPartition({ topic, partition }, count)
}

/** The record may be anything, because untyped callers are not checked by the compiler. */
function nameOfTopic(record: GivenRecord): string {
  const given: unknown = record
  if (typeof given === 'object' && given !== null) {
    if (typeof record.topic === 'string') return record.topic
    const topic: unknown = record.topic
    if (typeof topic === 'object' && topic !== null && typeof record.topic.name === 'string') return record.topic.name
  }
  throw new LogError(
    'INVALID_RECORD',
    `${shown(given)} is not a record: give { topic, key, value }, where topic is a name or a topic declared with topic()`,
  )
}

/** Without this check a misspelt `value` would count as null and delete the key's value. */
function noValue(topic: string, record: object): LogError {
  return new LogError(
    'INVALID_RECORD',
    `a record for topic ${topic} has no value, only ${Object.keys(record).join(', ')}: give a value, or null for none`,
    { topic },
  )
}

function checkedHeaders(topic: string, headers: readonly Header[]): readonly Header[] {
  if (!Array.isArray(headers))
    throw new LogError(
      'INVALID_RECORD',
      `headers of a record for topic ${topic} are ${shown(headers)}: give an array of { key: string, value: bytes or null }`,
      { topic },
    )
  for (const header of headers as readonly (Header | null | undefined)[]) {
    const { key, value } = header ?? noHeader
    if (typeof key === 'string' && (value === null || value instanceof Uint8Array)) continue
    throw new LogError(
      'INVALID_RECORD',
      `a header of a record for topic ${topic} is not { key: string, value: bytes or null }: its key is ${shown(key)}`,
      { topic },
    )
  }
  return headers
}

function sentWithin(topic: string): LogError {
  return new LogError(
    'INVALID_RECORD',
    `while a record for topic ${topic} was encoded, another one was sent with the same producer: schemas, codecs, timestamps and partitioners must not send; send it before or after, or with another producer`,
    { topic },
  )
}

const noHeader: { readonly key: unknown; readonly value: unknown } = { key: undefined, value: undefined }

function invalidTimestamp(topic: string, timestamp: unknown): LogError {
  return new LogError(
    'INVALID_TIMESTAMP',
    `timestamp ${shown(timestamp)} of a record for topic ${topic}: give milliseconds since the epoch, an integer of 0 or more`,
    { topic, timestamp },
  )
}
