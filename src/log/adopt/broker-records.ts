import { utf8Slice } from '../../base/bytes.ts'
import type { Offset } from '../api/record.ts'
import { decodeOffsetKey, decodeOffsetValue } from '../broker/groups/offset-records.ts'
import { isControl, isTransactional, producerIdOf, baseOffsetOf } from '../format/record-batch.ts'
import { BatchCursor } from '../format/record-cursor.ts'
import type { GroupOffsetState } from '../journal/checkpoint.ts'

// The contents of a broker's own topics that are adopted: offsets of groups, decisions on transactions, settings of
// topics.

/**
 * The committed offsets in `__consumer_offsets`, the newest for each group and partition, without those of aborted
 * transactions.
 */
export function readGroupOffsets(
  batches: readonly Buffer[],
  isAborted: (producerId: number, offset: Offset) => boolean,
): readonly GroupOffsetState[] {
  const newest = new Map<string, GroupOffsetState>()
  for (const batch of batches) {
    if (isTransactional(batch, 0) && isAborted(producerIdOf(batch, 0), baseOffsetOf(batch, 0))) continue
    eachRecord(batch, (key, value) => {
      const decoded = decodeOffsetKey(key)
      if (decoded === null) return
      const { group, at } = decoded
      const name = JSON.stringify([group, at.topic, at.partition])
      if (value === null) newest.delete(name)
      else newest.set(name, { group, at, ...offsetValue(value) })
    })
  }
  return [...newest.values()]
}

/**
 * Decodes an offset. Version 4, of brokers since 4.1, has a compact string and ends with tagged fields, among them the
 * topic's id: `i16 version 4 | i64 offset | i32 leaderEpoch | compact string metadata | i64 commitTimestamp | tagged
 * fields`.
 */
function offsetValue(value: Uint8Array): ReturnType<typeof decodeOffsetValue> {
  const bytes = Buffer.from(value)
  if (bytes.readInt16BE(0) !== 4) return decodeOffsetValue(value)
  const from = new CompactReader(bytes.subarray(14))
  const metadata = from.string() ?? ''
  const committedAt = Number(bytes.readBigInt64BE(14 + from.position))
  return { offset: Number(bytes.readBigInt64BE(2)), leaderEpoch: bytes.readInt32BE(10), metadata, committedAt }
}

/**
 * Decisions from `__transaction_state`, by producer id. The newest value of each transactional id counts.
 *
 * ```
 * key   i16 version 0 | string transactionalId
 * value i16 version 0 or 1 | i64 producerId | i16 epoch | i32 timeout | i8 status: 2 commits, 3 aborts | ...
 * ```
 */
export function readDecisions(batches: readonly Buffer[]): ReadonlyMap<number, 'commit' | 'abort'> {
  const newest = new Map<string, { readonly producerId: number; readonly status: number } | null>()
  for (const batch of batches) {
    eachRecord(batch, (key, value) => {
      const id = Buffer.from(key).toString('hex')
      if (value === null || value.length < 17) {
        newest.set(id, null)
        return
      }
      const bytes = Buffer.from(value)
      newest.set(id, { producerId: Number(bytes.readBigInt64BE(2)), status: bytes.readInt8(16) })
    })
  }
  const decisions = new Map<number, 'commit' | 'abort'>()
  for (const state of newest.values()) {
    if (state?.status === prepareCommit) decisions.set(state.producerId, 'commit')
    if (state?.status === prepareAbort) decisions.set(state.producerId, 'abort')
  }
  return decisions
}

const prepareCommit = 2
const prepareAbort = 3

/**
 * Settings of topics from `__cluster_metadata`, from its records of kind 4. The value of each record is
 *
 * ```
 * uvarint frame 1 | uvarint kind | uvarint version | kind 4: i8 resource (2: topic) | compact string resource
 *   | compact string name | compact nullable string value | tagged fields
 * ```
 */
export function readTopicConfigs(batches: readonly Buffer[]): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const configs = new Map<string, Map<string, string>>()
  for (const batch of batches) {
    eachRecord(batch, (_, value) => {
      if (value === null) return
      const from = new CompactReader(value)
      if (from.unsigned() !== 1 || from.unsigned() !== configRecord) return
      from.unsigned()
      if (from.byte() !== topicResource) return
      const [topic, name, setting] = [from.string(), from.string(), from.string()]
      if (topic === null || name === null) return
      const known = configs.get(topic) ?? new Map<string, string>()
      configs.set(topic, known)
      if (setting === null) known.delete(name)
      else known.set(name, setting)
    })
  }
  return configs
}

const configRecord = 4
const topicResource = 2

class CompactReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get position(): number {
    return this.#at
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  unsigned(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }

  string(): string | null {
    const length = this.unsigned() - 1
    if (length < 0) return null
    const start = this.#at
    this.#at += length
    return utf8Slice(this.#bytes, start, Math.min(this.#at, this.#bytes.length))
  }
}

function eachRecord(batch: Buffer, see: (key: Uint8Array, value: Uint8Array | null) => void): void {
  if (isControl(batch, 0)) return
  const cursor = new BatchCursor([batch], 0)
  while (cursor.next()) {
    const { bytes, keyStart, keyEnd, valueStart, valueEnd } = cursor
    const key = keyStart < 0 ? noKey : bytes.subarray(keyStart, keyEnd)
    see(key, valueStart < 0 ? null : bytes.subarray(valueStart, valueEnd))
  }
}

const noKey = new Uint8Array(0)
