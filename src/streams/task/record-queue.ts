import type { Chunk } from '../../log/api/log.ts'
import type { RecordCursor, TopicPartition } from '../../log/api/record.ts'
import type { StampTarget } from './order-stamp.ts'

/**
 * The records of one input partition that are fetched but not yet processed. The cursor is always at the head, which is
 * the next record of the partition: offset order never changes. Only the head's timestamp and order stamp are read in
 * advance; its key and value are decoded early only if the timestamp is extracted from them.
 *
 * Heads of several queues are compared by (clock, sequence, rank). Without an order stamp, the clock is the timestamp
 * and the sequence is -1.
 */
export class RecordQueue implements StampTarget {
  readonly at: TopicPartition
  /** Order among all inputs of the worker, by topic and partition. It decides when clock and sequence are equal. */
  readonly rank: number
  /** The task's number for this input. */
  readonly input: number
  hasHead = false
  headTimestamp = -1
  headClock = -1
  /** -1 if the head has no stamp. */
  headSequence = -1
  /** Positioned at the head, if there is one. */
  cursor: RecordCursor = noRecords
  /** The decoded head, if its timestamp had to be extracted. */
  head: HeadContent | null = null
  /** The offset at which processing continues; commits record it. */
  position: number
  /** Value of `position` at the last commit. */
  committed: number
  leaderEpoch = 0
  /** Highest timestamp processed. */
  partitionTime = -1
  bufferedBytes = 0
  /** Records dropped because their extracted time was negative. */
  negativeTimes = 0
  readonly #chunks: Chunk[] = []
  #current: Chunk | null = null
  #fetched: number
  #end: number
  readonly #extract: HeadExtractor | null
  readonly #readStamp: StampReader | null

  constructor(
    at: TopicPartition,
    rank: number,
    input: number,
    position: number,
    extract: HeadExtractor | null,
    readStamp: StampReader | null = null,
  ) {
    this.at = at
    this.rank = rank
    this.input = input
    this.position = position
    this.committed = position
    this.#fetched = position
    this.#end = position
    this.#extract = extract
    this.#readStamp = readStamp
  }

  /** Notes that the partition contains records up to `offset`, exclusive. */
  reachesTo(offset: number): void {
    if (offset > this.#end) this.#end = offset
  }

  /**
   * Whether its next record is in the log but not fetched yet: no input of the task may be picked before it arrives.
   */
  get isHungry(): boolean {
    return !this.hasHead && this.#fetched < this.#end
  }

  /** Number of offsets between the position and the known end. This is an estimate, because logs have gaps. */
  get lag(): number {
    return Math.max(0, this.#end - this.position)
  }

  get fetchedTo(): number {
    return this.#fetched
  }

  add(chunk: Chunk): void {
    this.#chunks.push(chunk)
    this.bufferedBytes += chunk.bytes
    this.#fetched = chunk.nextOffset
    this.leaderEpoch = chunk.leaderEpoch
    this.reachesTo(chunk.endOffset)
    if (!this.hasHead) this.advance()
  }

  /** Moves on to the next record; the one before it is done. */
  advance(): void {
    for (;;) {
      while (!this.cursor.next()) {
        if (this.#current !== null) {
          this.position = this.#current.nextOffset
          this.bufferedBytes -= this.#current.bytes
          this.#current.release?.()
          this.#current = null
        }
        const chunk = this.#chunks.shift()
        if (chunk === undefined) {
          this.cursor = noRecords
          this.hasHead = false
          return
        }
        this.#current = chunk
        this.cursor = chunk.cursor()
      }
      this.position = this.cursor.offset
      this.hasHead = true
      if (this.#extract === null) {
        this.#place(this.cursor.timestamp)
        return
      }
      const head = this.#extract(this.cursor, this.partitionTime)
      this.head = head
      this.#place(head.timestamp)
      if (head.timestamp >= 0) return
      this.negativeTimes += 1
    }
  }

  #place(timestamp: number): void {
    this.headTimestamp = timestamp
    this.headClock = timestamp
    if (this.#readStamp === null) return
    this.headSequence = -1
    this.#readStamp(this.cursor, this)
  }
}

/** Whether the head of `left` is taken before that of `right`. Both queues must have a head. */
export function isBefore(left: RecordQueue, right: RecordQueue): boolean {
  return isPlacedBefore(left.headClock, left.headSequence, left.rank, right)
}

/** The same for a head that has been taken since, given by its place. */
export function isPlacedBefore(clock: number, sequence: number, rank: number, right: RecordQueue): boolean {
  if (clock !== right.headClock) return clock < right.headClock
  if (sequence !== right.headSequence) return sequence < right.headSequence
  return rank < right.rank
}

/**
 * A head that had to be decoded to learn its timestamp. `error` is what decoding threw; it is reported when the record
 * is processed.
 */
export interface HeadContent {
  readonly key: unknown
  readonly value: unknown
  readonly timestamp: number
  readonly error: unknown
}

export type HeadExtractor = (cursor: RecordCursor, partitionTime: number) => HeadContent

export type StampReader = (cursor: RecordCursor, target: StampTarget) => void

const noRecords: RecordCursor = {
  next: () => false,
  offset: -1,
  timestamp: -1,
  bytes: new Uint8Array(0),
  keyStart: -1,
  keyEnd: -1,
  valueStart: -1,
  valueEnd: -1,
  headerCount: 0,
  headersStart: 0,
  headers: () => [],
}
