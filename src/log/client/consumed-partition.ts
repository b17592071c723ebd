import { LogError } from '../api/errors.ts'
import type { Chunk, OffsetEntry } from '../api/log.ts'
import { partitionName, type Offset, type RecordCursor, type TopicPartition } from '../api/record.ts'
import type { ConsumerRecord } from './consumer.ts'
import type { RecordFormat } from './record-format.ts'

/**
 * One partition in a consumer's hands: what was fetched of it and not yet given out, and the position.
 *
 * - `position` is the offset of the record that comes next; it moves only past records that were given out, and past
 *   the end of a chunk that has no more.
 * - A record that cannot be read stays next, until somebody seeks past it.
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

  /** Drops what is buffered. */
  moveTo(offset: Offset): void {
    this.#chunks.length = 0
    this.#cursor = null
    this.#held = false
    this.#failure = null
    this.#position = offset
  }

  /** Whether the position has moved since it was committed. */
  get hasProgress(): boolean {
    return this.#position !== this.#committed
  }

  progress(): OffsetEntry {
    return { at: this.at, offset: this.#position, leaderEpoch: this.#leaderEpoch, metadata: '' }
  }

  committed(offset: Offset): void {
    this.#committed = offset
  }

  /**
   * Moves records to `into` until it has `countMax`. What fails behind records that can be given out is kept for the poll
   * that would start with it, and stays until somebody seeks past it.
   */
  take(into: ConsumerRecord<unknown, unknown>[], countMax: number): void {
    if (this.#failure === null) this.#takeUntilFailure(into, countMax)
    if (this.#failure !== null && into.length === 0) throw this.#failure
  }

  #takeUntilFailure(into: ConsumerRecord<unknown, unknown>[], countMax: number): void {
    try {
      while (this.#advance()) {
        // Not given out, but looked at: past the last record of a chunk the position is the chunk's end, which may lie
        // behind markers and holes.
        if (into.length >= countMax) return
        const cursor = this.#cursor as RecordCursor
        into.push(this.#record(cursor))
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
