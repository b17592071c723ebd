import { assert } from '../../base/assert.ts'
import { writeEntry, type EntryPart } from './entry.ts'
import { alignGroup, headerBytes } from './group.ts'

/**
 * The memory in which groups collect: slabs, so that the tail ring, the applier and readers hold a group by reference. A
 * batch is copied once, from its builder into here.
 *
 * - Memory is handed out once and never used again; the collector frees a slab when nobody holds a view of it.
 * - What was written never changes, but for the group's header, which the writer fills in.
 * - A group that outgrows its slab moves to a bigger one. Views given out before keep the former copy, which stays.
 *
 * Slabs are not shared memory: V8 does not count that as pressure on its collector, and a log that writes 3 GB would
 * hold 3 GB. What goes to a thread is copied there.
 */
export class GroupMemory {
  #slab: Buffer = newSlab(firstSlabBytes)
  /** Where the open group starts in the slab; a multiple of 64. */
  #start = 0
  #length = headerBytes
  /** Of the group before: what the open one will probably need. */
  #lastGroupBytes = 0

  /** Bytes that the open group will take in the file. */
  get groupBytes(): number {
    return alignGroup(this.#length)
  }

  get isEmpty(): boolean {
    return this.#length === headerBytes
  }

  /** Copies an entry of `size` measured bytes into the open group; returns the views of its batches. */
  append(parts: readonly EntryPart[], size: number): Uint8Array[] {
    if (this.#start + alignGroup(this.#length + size) > this.#slab.length) this.#move(size)
    const batches = writeEntry(parts, this.#slab, this.#start + this.#length)
    this.#length += size
    return batches
  }

  /** Ends the open group and starts the next: room for the header, the body, zeros up to 64 bytes. */
  take(): Buffer {
    assert(!this.isEmpty, 'a group without entries')
    const end = this.#start + this.groupBytes
    const group = this.#slab.subarray(this.#start, end)
    this.#start = end
    this.#length = headerBytes
    this.#lastGroupBytes = group.length
    return group
  }

  #move(size: number): void {
    const needed = alignGroup(this.#length + size)
    // Under load groups grow to their bound: a slab as large holds one without moving it. Memory that a group does not
    // touch costs nothing.
    const large = needed * 4 > slabBytes || this.#lastGroupBytes > slabBytes
    const slab = newSlab(large ? Math.max(needed, largeSlabBytes) : slabBytes)
    slab.set(this.#slab.subarray(this.#start, this.#start + this.#length))
    this.#slab = slab
    this.#start = 0
  }
}

const slabBytes = 1024 * 1024
/** Small, so that a log that is opened for a few commits is opened quickly. */
const firstSlabBytes = 64 * 1024
/** As large as a group of more than one entry gets. */
const largeSlabBytes = 4 * 1024 * 1024

function newSlab(bytes: number): Buffer {
  return Buffer.alloc(bytes)
}
