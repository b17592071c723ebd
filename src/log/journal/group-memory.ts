import { assert } from '../../base/assert.ts'
import { writeEntry, type EntryPart } from './entry.ts'
import { alignGroup, headerBytes, type SummedRange } from './group.ts'

/**
 * The memory in which groups collect: slabs, so that the journal thread, the applier and the tail ring have a group by
 * reference. A batch is copied once, from its builder into here.
 *
 * - What was written does not change until `release` says that nobody looks at it any more, but for the group's header,
 *   which the writer fills in. Then the slab serves again: memory that is touched for the first time costs several times
 *   what is done with it.
 * - A group that outgrows its slab moves to another one. Views given out before keep the former copy, which stays as long.
 * - What is held is what was in use at once, and that is bounded by who appends. A group larger than a slab has memory of
 *   its own, which is left to the collector.
 *
 * Where threads are to see it, slabs are shared memory. V8 does not count that as pressure on its collector, so that a log
 * that gives up shared memory holds it for long: slabs are never given up, and what is larger is not shared.
 */
export class GroupMemory {
  readonly #shared: boolean
  #slab: Slab
  /** Where the open group starts in the slab; a multiple of 64. */
  #start = 0
  #length = headerBytes
  /** Of the group before: what the open one will probably need. */
  #lastGroupBytes = 0
  /** In the open group. */
  #summed: SummedRange[] = []
  /** Left by the groups, in their order; not released. */
  readonly #used: Slab[] = []
  readonly #free: Slab[] = []

  constructor(options: { readonly shared: boolean } = { shared: false }) {
    this.#shared = options.shared
    this.#slab = this.#newSlab(firstSlabBytes)
  }

  /** Bytes that the open group will take in the file. */
  get groupBytes(): number {
    return alignGroup(this.#length)
  }

  get isEmpty(): boolean {
    return this.#length === headerBytes
  }

  /** Copies an entry of `size` measured bytes into the open group, which is `sequence`; returns the views of its batches. */
  append(parts: readonly EntryPart[], size: number, sequence: number): Uint8Array[] {
    const left = this.#slab.bytes.length - this.#start
    const needed = alignGroup(this.#length + size)
    // A group that will probably outgrow what is left begins in another slab, or it would be copied there.
    if (needed > left || (this.isEmpty && this.#lastGroupBytes > left)) this.#move(needed)
    const slab = this.#slab
    const batches = writeEntry(parts, slab.bytes, this.#start + this.#length)
    this.#noteSums(parts, batches)
    this.#length += size
    slab.lastSequence = sequence
    return batches
  }

  #noteSums(parts: readonly EntryPart[], batches: readonly Uint8Array[]): void {
    let index = 0
    for (const part of parts) {
      if (part.kind !== 'batch') continue
      const batch = batches[index++]
      if (part.summed === undefined || batch === undefined) continue
      const start = batch.byteOffset - this.#slab.bytes.byteOffset - this.#start
      const { from, checksum } = part.summed
      this.#summed.push({ start: start + from, end: start + batch.length, checksum })
    }
  }

  /** Ends the open group and starts the next: room for the header, the body, zeros up to 64 bytes. */
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

  /** Nobody looks at groups below `sequence` any more. */
  release(sequence: number): void {
    for (let slab = this.#used[0]; slab !== undefined && slab.lastSequence < sequence; slab = this.#used[0]) {
      this.#used.shift()
      if (slab.bytes.length <= slabBytes) this.#free.push(slab)
    }
  }

  /** Takes the open group to a slab that has room for it. */
  #move(needed: number): void {
    const former = this.#slab
    const slab = this.#slabFor(needed)
    if (!this.isEmpty) slab.bytes.set(former.bytes.subarray(this.#start, this.#start + this.#length))
    this.#used.push(former)
    this.#slab = slab
    this.#start = 0
  }

  #slabFor(needed: number): Slab {
    if (needed > slabBytes) return new Slab(Buffer.allocUnsafeSlow(needed))
    const fits = this.#free.findLastIndex(({ bytes }) => bytes.length >= needed)
    const [free] = fits < 0 ? [] : this.#free.splice(fits, 1)
    if (free !== undefined) return free
    return this.#newSlab(Math.min(slabBytes, Math.max(this.#slab.bytes.length * 4, 2 ** Math.ceil(Math.log2(needed)))))
  }

  /** Zeros, which the system gives out when they are touched: what a group does not use costs nothing. */
  #newSlab(bytes: number): Slab {
    return new Slab(Buffer.from(this.#shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes)))
  }
}

/** A group that is whole but for its header. */
export interface CollectedGroup {
  readonly bytes: Buffer
  readonly summed: readonly SummedRange[]
}

class Slab {
  readonly bytes: Buffer
  /** Of the newest group that has been in it, wholly or at first. */
  lastSequence = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }
}

/** Twice as large as a group of more than one entry gets, so that not much is left over. */
const slabBytes = 8 * 1024 * 1024
/** Small, so that a log that is opened for a few commits is opened quickly. */
const firstSlabBytes = 64 * 1024
