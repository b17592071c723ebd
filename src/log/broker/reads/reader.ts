import { assert } from '../../../base/assert.ts'
import { copySharedBytes } from '../../../base/bytes.ts'
import { LogError } from '../../api/errors.ts'
import type { Chunk, Isolation, Position, Reader } from '../../api/log.ts'
import { partitionName, type Offset, type RecordCursor, type TopicPartition } from '../../api/record.ts'
import { BatchCursor, type BatchCursorOptions } from '../../format/record-cursor.ts'
import type { PartitionReaders } from '../../storage/read/partition-readers.ts'
import type { Sequencer } from '../sequencer.ts'
import type { Catalog } from '../topics/catalog.ts'
import type { Partition, TailBatch } from '../topics/partition.ts'
import { ChunkMemory } from './chunk-memory.ts'
import type { FetchWait, FetchWaiters } from './fetch-waiters.ts'

/**
 * The only way to read: from the tail ring what is still there, otherwise from the segment files.
 *
 * - Reads up to the pending end for `sequenced`, otherwise up to the promoted end. Batches are read whole, as they are
 *   stored.
 * - A poll gives each partition its share of the bytes, and starts one partition further than the previous poll, so
 *   that a busy partition cannot starve the others.
 * - A partition that cannot be read fails the poll only if the poll has read nothing yet; otherwise the records read
 *   from other partitions are returned first.
 * - If records were read as sequenced and then dropped, every poll fails with ABORTED until the next `assign`.
 *
 * `durable` shows the records of transactions whether they are decided or not (Kafka's read_uncommitted). The other two
 * show committed records only (read_committed): they stop where the oldest open transaction starts, and skip aborted
 * records. For `sequenced`, a transaction is decided as soon as its end has its place in the order.
 */
export class PartitionsReader implements Reader {
  readonly #parts: ReaderParts
  readonly #isolation: Isolation
  #positions: ReadPosition[] = []
  #byName = new Map<string, ReadPosition>()
  /** The index of the partition that comes first in the next poll. */
  #first = 0
  /** The highest sequence of a group that was read before it was promoted. */
  #takenSequence = 0
  readonly #memory = new ChunkMemory()
  readonly #wait: FetchWait
  /** Whether the wait watches the partitions that are read now. */
  #isWatching = false
  #phase: 'idle' | 'polling' | 'closed' = 'idle'
  #woken = false

  constructor(parts: ReaderParts, isolation: Isolation) {
    this.#parts = parts
    this.#isolation = isolation
    this.#wait = parts.waiters.open({ sequenced: isolation === 'sequenced' })
  }

  assign(at: readonly Position[]): void {
    const positions = at.map((position) => {
      const partition = this.#parts.catalog.partition(position.at)
      return { partition, offset: position.offset, paused: false }
    })
    const byName = new Map(positions.map((position) => [position.partition.name, position]))
    assert(byName.size === positions.length, 'a partition is assigned twice')
    this.#positions = positions
    this.#byName = byName
    this.#first = 0
    this.#takenSequence = 0
    this.#isWatching = false
    // It may be a while until the next wait, and the lists would keep a deleted partition in memory.
    this.#wait.watch([])
    this.#wait.end()
  }

  setPaused(at: readonly TopicPartition[]): void {
    for (const position of this.#positions) position.paused = false
    for (const place of at) {
      const position = this.#byName.get(partitionName(place))
      if (position !== undefined) position.paused = true
    }
    this.#isWatching = false
    this.#wait.end()
  }

  async poll(limits: { readonly bytesMax: number; readonly waitMs: number }): Promise<readonly Chunk[]> {
    assert(this.#phase !== 'polling', 'a reader polls once at a time')
    this.#checkOpen()
    this.#phase = 'polling'
    try {
      return await this.#pollWaiting(limits)
    } finally {
      // `close` may have been called in the meantime.
      if (this.#phase === 'polling') this.#phase = 'idle'
    }
  }

  async #pollWaiting(limits: { readonly bytesMax: number; readonly waitMs: number }): Promise<readonly Chunk[]> {
    const { clock } = this.#parts.sequencer
    let chunks = this.#collect(limits.bytesMax)
    if (chunks.length > 0 || limits.waitMs <= 0) return chunks
    const deadline = clock.monotonic() + limits.waitMs
    for (;;) {
      const waitMs = deadline - clock.monotonic()
      if (this.#takeWoken() || waitMs <= 0) return noChunks
      this.#watch()
      await this.#wait.park(waitMs)
      this.#checkOpen()
      chunks = this.#collect(limits.bytesMax)
      if (chunks.length > 0) return chunks
    }
  }

  #takeWoken(): boolean {
    const woken = this.#woken
    this.#woken = false
    return woken
  }

  #watch(): void {
    if (this.#isWatching) return
    this.#isWatching = true
    const partitions: Partition[] = []
    for (const { partition, paused } of this.#positions) if (!paused) partitions.push(partition)
    this.#wait.watch(partitions)
  }

  wakeup(): void {
    if (this.#phase !== 'polling') return
    this.#woken = true
    this.#wait.end()
  }

  close(): Promise<void> {
    this.#phase = 'closed'
    this.#positions = []
    this.#byName.clear()
    this.#wait.close()
    return Promise.resolve()
  }

  #checkOpen(): void {
    if (this.#phase === 'closed') throw new LogError('CLOSED', 'the reader is closed')
    const { failure, promotedSequence } = this.#parts.sequencer
    if (failure === null) return
    if (failure.code === 'CLOSED') throw failure
    if (this.#takenSequence <= promotedSequence) return
    throw new LogError(
      'ABORTED',
      'records that were read as sequenced did not become durable: discard everything derived from them, then assign the committed offsets',
      {},
      { cause: failure },
    )
  }

  #collect(bytesMax: number): readonly Chunk[] {
    const count = this.#positions.length
    if (count === 0) return noChunks
    const chunks: Chunk[] = []
    const share = Math.max(shareMin, Math.ceil(bytesMax / count))
    let left = bytesMax
    const first = this.#first
    // Even if this read fails: a partition that cannot be read must not block the others.
    this.#first = (first + 1) % count
    for (let step = 0; step < count && left > 0; step++) {
      const position = this.#positions[(first + step) % count] as ReadPosition
      if (position.paused) continue
      let chunk: Chunk | null
      try {
        chunk = this.#read(position, { bytesMax: Math.min(share, left), first: chunks.length === 0, left })
      } catch (error) {
        if (chunks.length === 0) throw error
        // The positions have moved past the chunks already read, so these must be returned. The error recurs in a later
        // poll.
        break
      }
      if (chunk === null) continue
      left -= chunk.bytes
      chunks.push(chunk)
    }
    return chunks
  }

  #read(position: ReadPosition, limits: ReadLimits): Chunk | null {
    const { partition } = position
    const end = partition.visibleEnd(this.#isolation)
    if (position.offset < partition.logStart || position.offset > partition.pendingEnd || partition.deleted)
      throw outOfRange(position)
    const from = position.offset
    if (from >= partition.tailStart) partition.tailReadAt = this.#parts.sequencer.promotedSequence
    if (from >= end) return null
    if (from < partition.tailStart) {
      const chunk = this.#readSegments(position, end, limits)
      if (chunk !== null || position.offset === from) return chunk
    }
    // The segment files hold nothing at or after the position, because compaction removed it. Continue in memory.
    const chunk = this.#readTail(position, end, limits)
    if (chunk !== null || position.offset === from) return chunk
    // The tail holds nothing below the visible end either. A consumer that reads up to the end must learn that it has
    // arrived.
    return new ReadChunk(partition.at, from, {
      nextOffset: position.offset,
      endOffset: end,
      leaderEpoch: partition.epochAt(position.offset - 1),
      bytes: 0,
      content: noContent,
      memory: null,
      isAborted: undefined,
    })
  }

  #readTail(position: ReadPosition, end: Offset, limits: ReadLimits): Chunk | null {
    const { partition } = position
    const { tail } = partition
    const first = partition.tailIndex(position.offset)
    let bytes = 0
    let last: TailBatch | null = null
    let index = first
    for (; index < tail.length; index++) {
      const batch = tail[index] as TailBatch
      if (batch.nextOffset > end) break
      if (bytes + batch.bytes > limits.bytesMax && !this.#mayExceed(bytes, batch.bytes, limits)) break
      bytes += batch.bytes
      last = batch
    }
    if (last === null) return null
    if (last.sequence > this.#parts.sequencer.promotedSequence) this.#takenSequence = last.sequence
    const chunk = new ReadChunk(partition.at, position.offset, {
      nextOffset: last.nextOffset,
      endOffset: end,
      leaderEpoch: last.leaderEpoch,
      bytes,
      content: copyOf(tail, first, index, this.#memory.take(bytes)),
      memory: this.#memory,
      isAborted: partition.hiddenFrom(this.#isolation)?.lookup,
    })
    position.offset = last.nextOffset
    return chunk
  }

  /**
   * A partition's first batch may exceed its share if the poll has room for it, and even the poll's limit if the poll
   * is still empty.
   */
  #mayExceed(bytes: number, next: number, limits: ReadLimits): boolean {
    return bytes === 0 && (limits.first || next <= limits.left)
  }

  #readSegments(position: ReadPosition, end: Offset, limits: ReadLimits): Chunk | null {
    const { partition } = position
    const { segments, sequencer } = this.#parts
    const toRead = partition.segmentsToRead(sequencer.appliedSequence, () => segments.forget(partition.at))
    const read = segments.of(partition.at).read({
      from: position.offset,
      end: Math.min(partition.tailStart, end),
      bytesMax: limits.bytesMax,
      ...toRead,
      epochs: partition.epochs,
      memory: this.#memory,
    })
    const bytes = read.bytes.length
    if (bytes > limits.bytesMax && !this.#mayExceed(0, bytes, limits)) {
      this.#memory.give(read.bytes.buffer)
      return null
    }
    const from = position.offset
    position.offset = read.nextOffset
    if (bytes === 0) return null
    return new ReadChunk(partition.at, from, {
      nextOffset: read.nextOffset,
      endOffset: end,
      leaderEpoch: partition.epochAt(read.nextOffset - 1),
      bytes,
      content: new Uint8Array(read.bytes.buffer, read.bytes.byteOffset, bytes),
      memory: this.#memory,
      isAborted: partition.hiddenFrom(this.#isolation)?.lookup,
    })
  }
}

export interface ReaderParts {
  readonly catalog: Catalog
  readonly sequencer: Sequencer
  readonly waiters: FetchWaiters
  readonly segments: PartitionReaders
}

interface ReadPosition {
  readonly partition: Partition
  offset: Offset
  paused: boolean
}

interface ReadLimits {
  readonly bytesMax: number
  /** Whether the poll has read nothing yet. */
  readonly first: boolean
  /** The bytes that the whole poll may still read. */
  readonly left: number
}

class ReadChunk implements Chunk {
  readonly at: TopicPartition
  readonly nextOffset: Offset
  readonly endOffset: Offset
  readonly leaderEpoch: number
  readonly bytes: number
  /** Null when it was released. */
  #content: Uint8Array<ArrayBuffer> | null
  readonly #memory: ChunkMemory | null
  readonly #from: Offset
  readonly #options: BatchCursorOptions

  constructor(
    at: TopicPartition,
    from: Offset,
    read: Omit<Chunk, 'at' | 'cursor' | 'release'> & {
      readonly content: Uint8Array<ArrayBuffer>
      /** Where its memory goes when it is released. */
      readonly memory: ChunkMemory | null
      readonly isAborted: IsAborted | undefined
    },
  ) {
    this.at = at
    this.#from = from
    this.nextOffset = read.nextOffset
    this.endOffset = read.endOffset
    this.leaderEpoch = read.leaderEpoch
    this.bytes = read.bytes
    this.#content = read.content
    this.#memory = read.memory
    this.#options = read.isAborted === undefined ? {} : { isAborted: read.isAborted }
  }

  cursor(): RecordCursor {
    assert(this.#content !== null, 'a chunk is read after its release')
    return new BatchCursor([this.#content], this.#from, this.#options)
  }

  release(): void {
    const content = this.#content
    assert(content !== null, 'a chunk is released twice')
    this.#content = null
    this.#memory?.give(content.buffer)
  }
}

/** Copies a run of consecutive batches. Readers may keep what they are given, but the ring's memory is reused. */
function copyOf(
  tail: readonly TailBatch[],
  first: number,
  end: number,
  memory: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength)
  for (let index = first, at = 0; index < end; index++) {
    const batch = tail[index] as TailBatch
    copySharedBytes(batch.memory, batch.start, batch.start + batch.bytes, copy, at)
    at += batch.bytes
  }
  return copy
}

type IsAborted = NonNullable<BatchCursorOptions['isAborted']>

const noContent: Uint8Array<ArrayBuffer> = new Uint8Array(0)

const noChunks: readonly Chunk[] = []

/** With many partitions assigned, smaller shares would mean reading one batch at a time. */
const shareMin = 16 * 1024

/** The error for readers of a topic that was deleted. */
export function topicDeleted(topic: string): LogError {
  return new LogError(
    'UNKNOWN_TOPIC',
    `topic ${topic} was deleted: assign partitions of other topics, or of its successor`,
    {
      topic,
    },
  )
}

function outOfRange({ partition, offset }: ReadPosition): LogError {
  if (partition.deleted) return topicDeleted(partition.at.topic)
  return new LogError(
    'OFFSET_OUT_OF_RANGE',
    `${partition.name} has offsets ${partition.logStart} to ${partition.pendingEnd}, the position is ${offset}; start at one of them`,
    { at: partition.at, offset, start: partition.logStart, end: partition.pendingEnd },
  )
}
