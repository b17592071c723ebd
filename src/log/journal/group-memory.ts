import { assert } from '../../base/assert.ts'
import { copySharedBytes } from '../../base/bytes.ts'
import { writeEntry, type EntryPart } from './entry.ts'
import { alignGroup, completeSums, headerBytes, type SummedRange } from './group.ts'
import type { AppendedEntry } from './journal.ts'

/**
 * The memory that collects groups. It consists of slabs, so that the journal thread, the applier and the tail ring use
 * a group by reference. A batch is copied once, from its builder into a slab.
 *
 * - Written bytes do not change until `release` says that they are no longer read. The exceptions are the group's header
 *   and missing checksums of batches, which the writer fills in. After the release the slab is reused, because touching
 *   new memory for the first time costs several times as much as the work done with it.
 * - A group that outgrows its slab moves to another one. Callers that were told earlier where their batches are find
 *   them in the former copy, which remains. The writer will not see that copy, so it gets its missing checksums before
 *   the move.
 * - The memory retained is a small multiple of the most that was in use at one time; back-pressure on callers bounds
 *   that. It is a multiple because a group uses one slab, whose rest may be too small for the next. A group of more than
 *   32 MiB gets memory of its own, which is left to the garbage collector.
 *
 * If threads need access, slabs are shared memory. V8 does not count shared memory as pressure on its garbage
 * collector, so a log that dropped shared memory would still hold it for a long time. Therefore slabs are never
 * dropped, and larger memory is not shared.
 */
export class GroupMemory {
  readonly #shared: boolean
  #slab: Slab
  /** Offset of the open group in the slab; a multiple of 64. */
  #start = 0
  #length = headerBytes
  /** Size of the previous group: an estimate of what the open one will need. */
  #lastGroupBytes = 0
  /** Ranges of the open group that have checksums of their own, known or still missing. */
  #summed: SummedRange[] = []
  /** Full slabs in the order in which groups left them; not released yet. */
  readonly #used: Slab[] = []
  readonly #free: Slab[] = []

  constructor(options: { readonly shared: boolean } = { shared: false }) {
    this.#shared = options.shared
    this.#slab = this.#newSlab(firstSlabBytes)
  }

  /** Number of bytes that the open group will take in the file. */
  get groupBytes(): number {
    return alignGroup(this.#length)
  }

  get isEmpty(): boolean {
    return this.#length === headerBytes
  }

  /** Whether the open group stays where it is if `size` bytes are appended; otherwise it is moved. */
  hasRoomFor(size: number): boolean {
    return alignGroup(this.#length + size) <= this.#slab.bytes.length - this.#start
  }

  /** Copies an entry, measured as `size` bytes, into the open group `sequence`; returns where its batches are. */
  append(parts: readonly EntryPart[], size: number, sequence: number): AppendedEntry {
    const left = this.#slab.bytes.length - this.#start
    const needed = alignGroup(this.#length + size)
    // A group that will probably not fit into the rest of the slab starts in another one, so that it need not be
    // copied.
    if (needed > left || (this.isEmpty && this.#lastGroupBytes > left)) this.#move(needed)
    const slab = this.#slab
    const starts = writeEntry(parts, slab.bytes, this.#start + this.#length)
    this.#noteSums(parts, starts)
    this.#length += size
    slab.lastSequence = sequence
    return { sequence, memory: slab.bytes, starts }
  }

  #noteSums(parts: readonly EntryPart[], starts: readonly number[]): void {
    let index = 0
    for (const part of parts) {
      if (part.kind !== 'batch') continue
      const start = (starts[index++] as number) - this.#start
      if (part.summed === undefined) continue
      const { from, checksum } = part.summed
      this.#summed.push({ start: start + from, end: start + part.bytes.length, checksum })
    }
  }

  /**
   * Ends the open group, padded with zeros to 64 bytes, and starts the next. The header's space is included, not
   * filled.
   */
  take(): CollectedGroup {
    assert(!this.isEmpty, 'a group without entries')
    const { bytes } = this.#slab
    const end = this.#start + this.groupBytes
    bytes.fill(0, this.#start + this.#length, end)
    const group = bytes.subarray(this.#start, end)
    this.#start = end
    this.#length = headerBytes
    this.#lastGroupBytes = group.length
    const summed = this.#summed
    this.#summed = []
    return { bytes: group, summed }
  }

  /** Groups below `sequence` are no longer read: their slabs are reused. */
  release(sequence: number): void {
    for (let slab = this.#used[0]; slab !== undefined && slab.lastSequence < sequence; slab = this.#used[0]) {
      this.#used.shift()
      if (slab.bytes.length <= slabBytesMax) this.#free.push(slab)
    }
  }

  /** Moves the open group to a slab that has room for it. */
  #move(needed: number): void {
    const former = this.#slab
    const slab = this.#slabFor(needed)
    if (!this.isEmpty) {
      const group = former.bytes.subarray(this.#start, this.#start + this.#length)
      this.#summed = completeSums(group, this.#summed)
      copySharedBytes(group, 0, group.length, slab.bytes, 0)
    }
    this.#used.push(former)
    this.#slab = slab
    this.#start = 0
  }

  #slabFor(needed: number): Slab {
    if (needed > slabBytesMax) return new Slab(Buffer.allocUnsafeSlow(needed))
    const fits = this.#free.findLastIndex(({ bytes }) => bytes.length >= needed)
    const [free] = fits < 0 ? [] : this.#free.splice(fits, 1)
    if (free !== undefined) return free
    // Powers of two, so that one fits groups of similar sizes.
    const fitting = 2 ** Math.ceil(Math.log2(needed))
    return this.#newSlab(Math.max(fitting, Math.min(slabBytes, this.#slab.bytes.length * 4)))
  }

  /** The system provides the zeroed pages when they are first touched, so the unused part of a slab costs nothing. */
  #newSlab(bytes: number): Slab {
    return new Slab(Buffer.from(this.#shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes)))
  }
}

/** A group that is complete except for its header. */
export interface CollectedGroup {
  readonly bytes: Buffer
  readonly summed: readonly SummedRange[]
}

class Slab {
  readonly bytes: Buffer
  /** Sequence of the newest group that has used the slab, even if it moved on to another. */
  lastSequence = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }
}

/** Twice the largest group of more than one entry, so that little of a slab is wasted. */
const slabBytes = 8 * 1024 * 1024
/** A commit under full load is a larger group. Beyond this, memory would be kept for what hardly ever happens again. */
const slabBytesMax = 32 * 1024 * 1024
/** Small, so that a log that is opened for a few commits is opened quickly. */
const firstSlabBytes = 64 * 1024
