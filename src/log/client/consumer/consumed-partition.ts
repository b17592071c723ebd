import { ViewedBytes } from '../../../base/bytes.ts'
import { reasonFor } from '../../../base/coded-error.ts'
import { LogError } from '../../api/errors.ts'
import type { Chunk, OffsetEntry } from '../../api/log.ts'
import {
  noBytes,
  partitionName,
  type Header,
  type Offset,
  type RecordCursor,
  type TopicPartition,
} from '../../api/record.ts'
import type { RecordFormat } from '../record-format.ts'
import type { ConsumerRecord } from './consumer-options.ts'

/**
 * One partition of a consumer: the fetched records that were not returned yet, and the position.
 *
 * - `position` is the offset of the next record. It moves only past records that were returned, and past the end of a
 *   chunk without further records.
 * - A record that cannot be read remains the next one until the caller seeks past it.
 * - *Open* records were returned to a caller that will report when they are done. The committable offset is that of the
 *   first open record: it never passes a record that was not processed, even if later ones were.
 */
export class ConsumedPartition {
  readonly at: TopicPartition
  /** The topic that it is of: another one may get its name. */
  readonly topicId: string
  readonly #format: RecordFormat
  readonly #chunks: Chunk[] = []
  #cursor: RecordCursor | null = null
  /** The bytes of the cursor's last record. A chunk can lie in several pieces of memory. */
  #viewed: ViewedBytes = nothingViewed
  /** The cursor is at a record that was not returned yet. */
  #held = false
  /** Why the next record cannot be returned. */
  #failure: unknown = null
  #position: Offset
  #committed: Offset
  #leaderEpoch = -1
  /** Offsets that were returned and may not be done, ascending; the first `#openFrom` of them are done. */
  #open: Offset[] = []
  #openFrom = 0
  /** Those of them that are done although an earlier one is not. */
  readonly #done = new Set<Offset>()
  /** No position is known yet: the next fetch has to find one. */
  unresolved = false
  paused = false

  constructor(at: TopicPartition, topicId: string, format: RecordFormat, start: Offset) {
    this.at = at
    this.topicId = topicId
    this.#format = format
    this.#position = start
    this.#committed = start
  }

  get position(): Offset {
    return this.#position
  }

  /** The offset at which to fetch after the buffered records. */
  get fetchAt(): Offset {
    return this.#chunks.at(-1)?.nextOffset ?? this.#position
  }

  add(chunk: Chunk): void {
    this.#chunks.push(chunk)
    if (this.#cursor === null) this.#nextCursor()
  }

  /** Number of records that were returned and are not done. */
  get openCount(): number {
    return this.#open.length - this.#openFrom - this.#done.size
  }

  /** Marks the record at this offset as done. */
  complete(offset: Offset): void {
    if (this.#openFrom === this.#open.length || offset < (this.#open[this.#openFrom] as Offset)) return
    this.#done.add(offset)
    while (this.#openFrom < this.#open.length && this.#done.delete(this.#open[this.#openFrom] as Offset))
      this.#openFrom += 1
    if (this.#openFrom === this.#open.length) this.completeAll()
    else if (this.#openFrom > openSlackMax) {
      this.#open = this.#open.slice(this.#openFrom)
      this.#openFrom = 0
    }
  }

  /** Marks all open records as done. */
  completeAll(): void {
    this.#open.length = 0
    this.#openFrom = 0
    this.#done.clear()
  }

  /** Open records will not be processed by their current holder: they are returned again. */
  giveBack(): void {
    const first = this.#open[this.#openFrom]
    this.completeAll()
    if (first !== undefined) this.moveTo(first)
  }

  /** Goes back to a record that was returned but not processed; open records before it stay open. */
  rewindTo(offset: Offset): void {
    const first = this.#open[this.#openFrom]
    this.completeAll()
    if (first !== undefined && first < offset) this.#open.push(first)
    this.moveTo(offset)
  }

  /** The offset that may be committed: everything before it is done. */
  get committable(): Offset {
    return this.#open[this.#openFrom] ?? this.#position
  }

  /** Sets the offset at which reading begins. This consumer commits nothing before it. */
  startAt(offset: Offset): void {
    this.moveTo(offset)
    this.#committed = offset
  }

  /** Moves the position and discards what is buffered. */
  moveTo(offset: Offset): void {
    this.unresolved = false
    this.#chunks.length = 0
    this.#nextCursor()
    this.#failure = null
    this.#position = offset
  }

  /** Whether the committable offset differs from the committed one. */
  get hasProgress(): boolean {
    return !this.unresolved && this.committable !== this.#committed
  }

  progress(): OffsetEntry {
    return { at: this.at, offset: this.committable, leaderEpoch: this.#leaderEpoch, metadata: '' }
  }

  committed(offset: Offset): void {
    this.#committed = offset
  }

  /**
   * Moves records to `into` until it has `countMax`. An error behind records that can be returned is kept for the next
   * call, and stays until the caller seeks past it. With `open`, the records are open until they are completed, and the
   * key of each is added to `open` as a string that is equal for equal bytes (`null` if there is no key).
   */
  take(into: ConsumerRecord<unknown, unknown>[], countMax: number, open: (string | null)[] | null = null): void {
    if (this.#failure === null) this.#takeUntilFailure(into, countMax, open)
    if (this.#failure !== null && into.length === 0) throw this.#failure
  }

  #takeUntilFailure(into: ConsumerRecord<unknown, unknown>[], countMax: number, open: (string | null)[] | null): void {
    try {
      while (this.#advance()) {
        // The record is looked at before the count is checked: after the last record of a chunk, the position becomes
        // the chunk's end, which may lie behind markers and gaps.
        if (into.length >= countMax) return
        const cursor = this.#cursor as RecordCursor
        into.push(this.#record(cursor))
        if (open !== null) {
          this.#open.push(cursor.offset)
          open.push(keyText(cursor))
        }
        this.#held = false
        this.#position = cursor.offset + 1
      }
    } catch (error) {
      this.#failure = error
    }
  }

  /** Moves the cursor to a record that was not returned yet; false if nothing is buffered. */
  #advance(): boolean {
    while (!this.#held) {
      if (this.#cursor === null) return false
      if (this.#cursor.next()) this.#held = true
      else this.#chunkEnds()
    }
    return true
  }

  #chunkEnds(): void {
    const chunk = this.#chunks.shift()
    if (chunk !== undefined) {
      this.#position = chunk.nextOffset
      this.#leaderEpoch = chunk.leaderEpoch
    }
    this.#nextCursor()
  }

  #nextCursor(): void {
    const chunk = this.#chunks[0]
    this.#cursor = chunk === undefined ? null : chunk.cursor()
    this.#viewed = nothingViewed
    this.#held = false
  }

  #record(cursor: RecordCursor): ConsumerRecord<unknown, unknown> {
    const { bytes, offset, timestamp } = cursor
    const { topic, partition } = this.at
    if (this.#viewed.bytes !== bytes) this.#viewed = new ViewedBytes(bytes)
    try {
      const key = this.#format.readKey(this.#viewed, cursor.keyStart, cursor.keyEnd)
      const value = this.#format.readValue(this.#viewed, cursor.valueStart, cursor.valueEnd)
      return new PlainRecord(topic, partition, offset, timestamp, key, value, cursor.headers())
    } catch (cause) {
      if (cause instanceof LogError && cause.code === 'CORRUPT_BATCH') throw cause
      const reason = reasonFor('INVALID_RECORD', cause)
      throw new LogError(
        'INVALID_RECORD',
        `offset ${offset} of ${partitionName(this.at)} cannot be read as declared: ${reason}; seek past it to go on`,
        { ...this.at, offset },
        { cause },
      )
    }
  }
}

/**
 * Makes what an object literal would make. But V8 watches the objects of a literal: if most of those it sees outlive a
 * collection, as records of a large poll do, it puts all later ones among the old objects, which are collected rarely
 * and keep alive the young ones that they refer to, here all keys and values.
 */
const PlainRecord = plainRecord as unknown as new (
  ...fields: Parameters<typeof plainRecord>
) => ConsumerRecord<unknown, unknown>

function plainRecord(
  this: { -readonly [Field in keyof ConsumerRecord<unknown, unknown>]: unknown },
  topic: string,
  partition: number,
  offset: Offset,
  timestamp: number,
  key: unknown,
  value: unknown,
  headers: readonly Header[],
): void {
  this.topic = topic
  this.partition = partition
  this.offset = offset
  this.timestamp = timestamp
  this.key = key
  this.value = value
  this.headers = headers
}
plainRecord.prototype = Object.prototype

const nothingViewed = new ViewedBytes(noBytes)

/** How many offsets of completed records are kept before the list is trimmed. */
const openSlackMax = 1024

function keyText(cursor: RecordCursor): string | null {
  if (cursor.keyStart < 0) return null
  const { buffer, byteOffset } = cursor.bytes
  return Buffer.from(buffer, byteOffset + cursor.keyStart, cursor.keyEnd - cursor.keyStart).toString('latin1')
}
