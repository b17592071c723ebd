import type { StorePosition } from '../ordered-store.ts'
import { ByteSlabs } from './byte-slabs.ts'
import type { OverlayEntry } from './overlay-entry.ts'

/**
 * Committed values that are to be written to the store: the newest value of each entry, as bytes. A set is open while
 * commits add to it, and is then sealed. A sealed set never changes, so it can be written while newer commits collect
 * in the next set. It may be written only when the last commit in it is durable: the store must never be ahead of its
 * changelog.
 */
export class FlushSet {
  entries: OverlayEntry[] = []
  /** For each entry, the slab that contains its value and the range there; `valueStarts` is -1 for a delete. */
  slabs: Uint8Array[] = []
  valueStarts: number[] = []
  valueEnds: number[] = []
  /** Total bytes of the values, including replaced ones. */
  bytes = 0
  /** The position of the store after this set; null until the placement of its last commit is known. */
  position: StorePosition | null = null
  /** The store's clock after its last commit. */
  storeTime = -1
  /**
   * Whether the store contains all of it. Entries may still refer to this set, so one flag here replaces an update of
   * each entry.
   */
  isFinished = false
  readonly #values = new ByteSlabs()

  put(entry: OverlayEntry, bytes: Uint8Array, start: number, end: number): void {
    this.#values.add(bytes, start, end)
    this.bytes += end - start
    this.#set(entry, this.#values.slab, this.#values.start, this.#values.start + end - start)
  }

  delete(entry: OverlayEntry): void {
    this.#set(entry, noValue, -1, -1)
  }

  /** Releases everything, once the store contains it. */
  finish(): void {
    this.isFinished = true
    this.entries = []
    this.slabs = []
    this.valueStarts = []
    this.valueEnds = []
    this.#values.clear()
  }

  #set(entry: OverlayEntry, slab: Uint8Array, start: number, end: number): void {
    let index = entry.flushIndex
    if (entry.flushSet !== this) {
      index = this.entries.length
      this.entries.push(entry)
      entry.flushSet = this
      entry.flushIndex = index
    }
    this.slabs[index] = slab
    this.valueStarts[index] = start
    this.valueEnds[index] = end
  }
}

const noValue = new Uint8Array(0)
