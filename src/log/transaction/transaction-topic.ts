import { ByteReader, type ByteWriter, utf8Slice } from '../../base/bytes.ts'
import { LogError } from '../api/errors.ts'
import type { TopicPartition } from '../api/record.ts'
import { readString, writeString } from '../format/kafka-string.ts'
import { transactionPhaseIds, transactionPhaseOf, type TransactionPhase } from './transaction-lifecycle.ts'

/** The state of a transactional id. It is immutable: a change makes a new state. */
export interface TransactionState {
  readonly transactionalId: string
  readonly producerId: number
  readonly producerEpoch: number
  /** The producer id that was replaced when its epochs were used up; -1 if there is none. */
  readonly previousProducerId: number
  readonly timeoutMs: number
  readonly phase: TransactionPhase
  /** The partitions of the open transaction, or of one that was found half ended. */
  readonly partitions: readonly TopicPartition[]
  /** When the transaction began, in ms since the epoch by the wall clock; -1 if there never was one. */
  readonly startedAt: number
  /** When the state last changed, in ms since the epoch by the wall clock. */
  readonly updatedAt: number
}

/**
 * Records of `__transaction_state` in Kafka's layouts (TransactionLogKey 0, TransactionLogValue 0 and 1), so that
 * Kafka's tools can read the directory. We write version 1:
 *
 * ```
 * key    i16 version 0 | string transactionalId
 * value  i16 version 1 | i64 producerId | i16 producerEpoch | i32 timeoutMs | i8 phase
 *        | compact array or null: compact string topic, compact array of i32 partition, tags
 *        | i64 updatedAt | i64 startedAt
 *        | tags: 0 i64 previousProducerId, 2 i16 version of the client's transactions
 * compact: length + 1 as unsigned varint, 0 is null. Version 0 has i16 and i32 lengths and no tags.
 * ```
 */
export function encodeTransactionKey(into: ByteWriter, transactionalId: string): void {
  into.i16(0)
  writeString(into, transactionalId)
}

/** The transactional id, or null for a record of another kind. */
export function decodeTransactionKey(bytes: Uint8Array): string | null {
  const from = new ByteReader(bytes)
  return from.i16() === 0 ? readString(from) : null
}

export function encodeTransactionValue(into: ByteWriter, state: TransactionState): void {
  into.i16(valueVersion)
  into.i64(state.producerId)
  into.i16(state.producerEpoch)
  into.i32(state.timeoutMs)
  into.u8(transactionPhaseIds[state.phase])
  if (state.phase === 'empty') unsignedVarint(into, 0)
  else {
    const byTopic = Map.groupBy(state.partitions, ({ topic }) => topic)
    unsignedVarint(into, byTopic.size + 1)
    for (const [topic, partitions] of byTopic) {
      const size = Buffer.byteLength(topic)
      unsignedVarint(into, size + 1)
      into.bytes.write(topic, into.reserve(size), size, 'utf8')
      unsignedVarint(into, partitions.length + 1)
      for (const { partition } of partitions) into.i32(partition)
      unsignedVarint(into, 0)
    }
  }
  into.i64(state.updatedAt)
  into.i64(state.startedAt)
  const hasPrevious = state.previousProducerId >= 0
  unsignedVarint(into, hasPrevious ? 2 : 1)
  if (hasPrevious) {
    unsignedVarint(into, 0)
    unsignedVarint(into, 8)
    into.i64(state.previousProducerId)
  }
  // Version 2 of Kafka's protocol, in which every end of a transaction moves the producer to its next epoch.
  unsignedVarint(into, 2)
  unsignedVarint(into, 2)
  into.i16(2)
}

export function decodeTransactionValue(transactionalId: string, bytes: Uint8Array): TransactionState {
  const from = new ByteReader(bytes)
  const version = from.i16()
  if (version < 0 || version > valueVersion)
    throw new LogError('NEWER_FORMAT', `a transaction's record has version ${version}, this build reads up to 1`, {
      version,
    })
  const flexible = version === 1
  const producerId = from.i64()
  const producerEpoch = from.i16()
  const timeoutMs = from.i32()
  const phaseId = from.u8()
  const phase = transactionPhaseOf(phaseId)
  if (phase === undefined)
    throw new LogError(
      'CORRUPT_BATCH',
      `transactional id ${transactionalId} is in phase ${phaseId}, which does not exist`,
    )
  const partitions: TopicPartition[] = []
  const topics = flexible ? unsignedVarintOf(from) - 1 : from.i32()
  for (let index = 0; index < topics; index++) {
    const topic = flexible ? compactString(from) : readString(from)
    const count = flexible ? unsignedVarintOf(from) - 1 : from.i32()
    for (let place = 0; place < count; place++) partitions.push({ topic, partition: from.i32() })
    if (flexible) skipTags(from, () => {})
  }
  const updatedAt = from.i64()
  const startedAt = from.i64()
  let previousProducerId = -1
  if (flexible)
    skipTags(from, (tag, field) => {
      if (tag === 0) previousProducerId = field.i64()
    })
  return {
    transactionalId,
    producerId,
    producerEpoch,
    previousProducerId,
    timeoutMs,
    phase,
    partitions,
    startedAt,
    updatedAt,
  }
}

const valueVersion = 1

function compactString(from: ByteReader): string {
  const bytes = from.raw(unsignedVarintOf(from) - 1)
  return utf8Slice(bytes, 0, bytes.length)
}

function skipTags(from: ByteReader, take: (tag: number, field: ByteReader) => void): void {
  for (let count = unsignedVarintOf(from); count > 0; count--) {
    const tag = unsignedVarintOf(from)
    take(tag, new ByteReader(from.raw(unsignedVarintOf(from))))
  }
}

function unsignedVarint(into: ByteWriter, value: number): void {
  while (value > 0x7f) {
    into.u8((value & 0x7f) | 0x80)
    value >>>= 7
  }
  into.u8(value)
}

function unsignedVarintOf(from: ByteReader): number {
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = from.u8()
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return value
  }
  throw new LogError('CORRUPT_BATCH', 'a record of a transaction has a length of more than five bytes')
}
