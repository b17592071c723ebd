import { LogError } from '../../api/errors.ts'
import { isInternalTopic } from '../../api/internal-topics.ts'
import type { TopicPartition } from '../../api/record.ts'
import {
  batchAttributes,
  attributesOf,
  checkBatch,
  checkBatchFields,
  codecOf,
  isControl,
  isLogAppendTime,
  lastOffsetDeltaOf,
  maxTimestampOf,
  recordCountOf,
} from '../../format/record-batch.ts'
import { BatchCursor } from '../../format/record-cursor.ts'
import { checkTimestampBounds } from '../../format/timestamp-bounds.ts'
import type { RememberedBatch } from '../../journal/checkpoint.ts'
import type { ProducedRecords } from '../../storage/producers/produced-batch.ts'
import type { Partition } from './partition.ts'

/**
 * Where a batch comes from. `builder`: our own builder, which sealed it in this process a moment ago. Its records and
 * its checksum, if it has one already, are trusted: checking them would cost as much as copying the batch. `outside`: a
 * client, which may be wrong about every record. All records are decoded once before the batch gets its place, because
 * afterwards it could not be taken back, and every reader would fail at it.
 */
export type BatchOrigin = 'outside' | 'builder'

/** Checks a client's batch as Kafka does, before it gets a place. Changes nothing. */
export function checkAppended(partition: Partition, batch: Uint8Array, origin: BatchOrigin, now: number): void {
  checkOwn(partition.at)
  const { maxMessageBytes, cleanupPolicy } = partition.topic.config
  if (batch.length > maxMessageBytes)
    throw new LogError(
      'MESSAGE_TOO_LARGE',
      `a batch of ${batch.length} bytes for ${partition.name}, which takes at most ${maxMessageBytes}: send less at once or raise maxMessageBytes`,
      { at: partition.at, size: batch.length, maxMessageBytes },
    )
  if (checkedEnd(partition, batch, origin) !== batch.length)
    throw invalid(partition, 'more than one batch at once: append them one after the other', { size: batch.length })
  const count = recordCountOf(batch, 0)
  if (count === 0 || isControl(batch, 0))
    throw invalid(partition, 'an empty or control batch: send records, and end transactions by endTransaction', {
      count,
    })
  if (count !== lastOffsetDeltaOf(batch, 0) + 1)
    throw invalid(
      partition,
      `a batch of ${count} records that takes ${lastOffsetDeltaOf(batch, 0) + 1} offsets: each record takes exactly one`,
      { count },
    )
  if (codecOf(batch, 0) > codecMax)
    throw new LogError(
      'UNSUPPORTED_COMPRESSION',
      `a batch for ${partition.name} has codec ${codecOf(batch, 0)}: use none, gzip, snappy, lz4 or zstd`,
      { at: partition.at, codec: codecOf(batch, 0) },
    )
  const needsKeys = cleanupPolicy !== 'delete'
  if (origin === 'outside') {
    checkAttributes(partition, batch)
    checkRecords(partition, batch, needsKeys, now)
  } else if (needsKeys) checkKeys(partition, new BatchCursor([batch], 0))
}

/** Throws INVALID_TOPIC for topics that only the log itself writes. */
export function checkOwn(at: TopicPartition): void {
  if (!isInternalTopic(at.topic)) return
  throw new LogError('INVALID_TOPIC', `${at.topic} belongs to the log; use a topic of your own`, { ...at })
}

/** What is remembered of the batch if it is a duplicate, else null. Throws if its producer may not write it now. */
export function checkProduced(partition: Partition, batch: ProducedRecords): RememberedBatch | null {
  if (batch.firstSequence < 0 || batch.producerEpoch < 0)
    throw invalid(
      partition,
      `a batch of producer ${batch.producerId} with epoch ${batch.producerEpoch} and sequence ${batch.firstSequence}: number it from 0`,
      { producerId: batch.producerId },
    )
  return partition.checkProduced(batch)
}

/** The highest codec number: zstd. */
const codecMax = 4

function checkedEnd(partition: Partition, batch: Uint8Array, origin: BatchOrigin): number {
  try {
    return origin === 'builder' ? checkBatchFields(batch, 0, batch.length) : checkBatch(batch, 0, batch.length)
  } catch (error) {
    if (!(error instanceof LogError)) throw error
    throw new LogError(
      error.code,
      `a batch for ${partition.name} is damaged (${reasonOf(error)}): nothing of it was written, send it again or rebuild it`,
      { at: partition.at, ...error.values },
      { cause: error },
    )
  }
}

/** Refuses two attributes that only the log may set. */
function checkAttributes(partition: Partition, batch: Uint8Array): void {
  if (isLogAppendTime(batch, 0))
    throw new LogError(
      'INVALID_TIMESTAMP',
      `a batch for ${partition.name} claims that the log set its timestamps: send it with the records' own timestamps`,
      { at: partition.at },
    )
  if ((attributesOf(batch, 0) & batchAttributes.deleteHorizon) !== 0)
    throw invalid(partition, 'a batch with a delete horizon, which only compaction sets: send it without bit 6', {})
}

/** Decodes every record with its headers: lengths, deltas and counts must be correct, and timestamps must be valid. */
function checkRecords(partition: Partition, batch: Uint8Array, needsKeys: boolean, now: number): void {
  const cursor = new BatchCursor([batch], 0)
  let maxTimestamp = -1
  try {
    for (let index = 0; cursor.next(); index++) {
      if (cursor.headerCount > 0) cursor.headers()
      if (cursor.timestamp < 0 || !Number.isSafeInteger(cursor.timestamp))
        throw new LogError(
          'INVALID_TIMESTAMP',
          `record ${index} for ${partition.name} has timestamp ${cursor.timestamp}: use milliseconds since 1970`,
          { at: partition.at, index, timestamp: cursor.timestamp },
        )
      checkTimestampBounds(partition.name, partition.topic.config, cursor.timestamp, now)
      if (needsKeys && cursor.keyStart < 0) throw withoutKey(partition, index)
      maxTimestamp = Math.max(maxTimestamp, cursor.timestamp)
    }
  } catch (error) {
    if (!(error instanceof LogError) || error.code !== 'CORRUPT_BATCH') throw error
    throw invalid(
      partition,
      `a batch with a correct checksum but invalid records (${reasonOf(error)}): nothing of it was written, fix the client that builds it`,
      error.values,
      error,
    )
  }
  if (maxTimestamp !== maxTimestampOf(batch, 0))
    throw invalid(
      partition,
      `a batch that claims ${maxTimestampOf(batch, 0)} as its highest timestamp, although its records have ${maxTimestamp}: lookups by time would miss them, fix the client that builds it`,
      { maxTimestamp },
    )
}

/** Compaction keeps the newest record of each key, so every record must have a key. */
function checkKeys(partition: Partition, cursor: BatchCursor): void {
  for (let index = 0; cursor.next(); index++) if (cursor.keyStart < 0) throw withoutKey(partition, index)
}

function withoutKey(partition: Partition, index: number): LogError {
  return new LogError(
    'INVALID_RECORD',
    `record ${index} for ${partition.name} has no key, but its topic is compacted: give it one`,
    { at: partition.at, index },
  )
}

function invalid(
  partition: Partition,
  what: string,
  values: { readonly [name: string]: unknown },
  cause?: LogError,
): LogError {
  return new LogError(
    'INVALID_RECORD',
    `${partition.name} refuses ${what}`,
    { at: partition.at, ...values },
    cause === undefined ? {} : { cause },
  )
}

/** The message without its code. */
function reasonOf({ code, message }: LogError): string {
  return message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message
}
