import { LogError } from '../api/errors.ts'
import type { Chunk, OffsetEntry } from '../api/log.ts'
import { partitionName, type Offset, type RecordCursor, type TopicPartition } from '../api/record.ts'
import type { ConsumerRecord } from './consumer-options.ts'
import type { RecordFormat } from './record-format.ts'

/**
 * One partition in a consumer's hands: what was fetched of it and not yet given out, and the position.
 *
 * - `position` is the offset of the record that comes next; it moves only past records that were given out, and past
 *   the end of a chunk that has no more.
 * - A record that cannot be read stays next, until somebody seeks past it.
 * - Records that are *open* were given to somebody who will say when they are done. What may be committed ends before the
 *   first open one: never beyond what was processed, however many were processed out of turn behind it.
 */
export class ConsumedPartition {
  readonly at: TopicPartition
  readonly #format: RecordFormat
  readonly #chunks: Chunk[] = []
  #cursor: RecordCursor | null = null
  /** The cursor stands on a record that has not been given out. */
  #held = false
  /** Why the next record cannot be given out. */
  #failure: unknown = null
  #position: Offset
  #committed: Offset
  #leaderEpoch = -1
  /** Offsets that were given out and are not known to be done, ascending; the first `#openFrom` of them are past. */
  #open: Offset[] = []
  #openFrom = 0
  /** Of those, the ones that are done behind one that is not. */
  readonly #done = new Set<Offset>()
  /** No position is known yet: the next fetch has to find one. */
  unresolved = false
  paused = false

  constructor(at: TopicPartition, format: RecordFormat, start: Offset) {
    this.at = at
    this.#format = format
    this.#position = start
    this.#committed = start
  }

  get position(): Offset {
    return this.#position
  }

  /** Where reading goes on behind what is buffered. */
  get fetchAt(): Offset {
    return this.#chunks.at(-1)?.nextOffset ?? this.#position
  }

  add(chunk: Chunk): void {
    this.#chunks.push(chunk)
    if (this.#cursor === null) this.#nextCursor()
  }

  /** How many records are with somebody. */
  get openCount(): number {
    return this.#open.length - this.#openFrom - this.#done.size
  }

  /** The record at this offset is done. */
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

  /** Whoever has records of this partition is done with all of them. */
  completeAll(): void {
    this.#open.length = 0
    this.#openFrom = 0
    this.#done.clear()
  }

  /** Open records will not be done by those who have them: they come again. */
  giveBack(): void {
    const first = this.#open[this.#openFrom]
    this.completeAll()
    if (first !== undefined) this.moveTo(first)
  }

  /** Goes back to a record that was given out and not seen; open records before it stay open. */
  rewindTo(offset: Offset): void {
    const first = this.#open[this.#openFrom]
    this.completeAll()
    if (first !== undefined && first < offset) this.#open.push(first)
    this.moveTo(offset)
  }

  /** What may be committed: everything before it is done. */
  get committable(): Offset {
    return this.#open[this.#openFrom] ?? this.#position
  }

  /** Where reading begins: nothing before it is this consumer's to commit. */
  startAt(offset: Offset): void {
    this.moveTo(offset)
    this.#committed = offset
  }

  /** Drops what is buffered. */
  moveTo(offset: Offset): void {
    this.unresolved = false
    this.#chunks.length = 0
    this.#cursor = null
    this.#held = false
    this.#failure = null
    this.#position = offset
  }

  /** Whether there is more to commit than was committed. */
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
   * Moves records to `into` until it has `countMax`. What fails behind records that can be given out is kept for the poll
   * that would start with it, and stays until somebody seeks past it. With `open`, the records are open until they are
   * completed, and it gets the key of each as text that is equal where the bytes are (`null` where there is none).
   */
  take(into: ConsumerRecord<unknown, unknown>[], countMax: number, open: (string | null)[] | null = null): void {
    if (this.#failure === null) this.#takeUntilFailure(into, countMax, open)
    if (this.#failure !== null && into.length === 0) throw this.#failure
  }

  #takeUntilFailure(into: ConsumerRecord<unknown, unknown>[], countMax: number, open: (string | null)[] | null): void {
    try {
      while (this.#advance()) {
        // Not given out, but looked at: past the last record of a chunk the position is the chunk's end, which may lie
        // behind markers and holes.
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

  /** Makes the cursor stand on a record that was not given out; false where nothing is buffered. */
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
    this.#held = false
  }

  #record(cursor: RecordCursor): ConsumerRecord<unknown, unknown> {
    const { bytes, offset, timestamp } = cursor
    const { topic, partition } = this.at
    try {
      return {
        topic,
        partition,
        offset,
        timestamp,
        key: this.#format.readKey(bytes, cursor.keyStart, cursor.keyEnd),
        value: this.#format.readValue(bytes, cursor.valueStart, cursor.valueEnd),
        headers: cursor.headers(),
      }
    } catch (cause) {
      if (cause instanceof LogError && cause.code === 'CORRUPT_BATCH') throw cause
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new LogError(
        'INVALID_RECORD',
        `offset ${offset} of ${partitionName(this.at)} cannot be read as declared: ${reason}; seek past it to go on`,
        { ...this.at, offset },
        { cause },
      )
    }
  }
}

/** How many offsets that are past are kept before the list is cut. */
const openSlackMax = 1024

function keyText(cursor: RecordCursor): string | null {
  if (cursor.keyStart < 0) return null
  const { buffer, byteOffset } = cursor.bytes
  return Buffer.from(buffer, byteOffset + cursor.keyStart, cursor.keyEnd - cursor.keyStart).toString('latin1')
}
