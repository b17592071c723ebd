import type { StoreOperations, StorePosition } from '../ordered-store.ts'
import { type Slice, WriteBatch } from '../write-batch.ts'
import type { OverlayEntry } from './overlay-entry.ts'

/**
 * Committed values that are to be written to the store: the newest value of each entry, packed as the store takes them.
 * A set is open while commits add to it, and is then sealed. Nothing is added to a sealed set, so it can be written while
 * newer commits collect in the next set. It may be written only when the last commit in it is durable: the store must
 * never be ahead of its changelog.
 *
 * Rows are packed when they are committed and not when the set is written, because their keys and values are at hand
 * then; later, each would have to be fetched into the processor's cache once more.
 */
export class FlushSet {
  entries: OverlayEntry[] = []
  /** The place of each entry's operation in the batch. */
  #places: number[] = []
  /** The position of the store after this set; null until the placement of its last commit is known. */
  position: StorePosition | null = null
  /** The store's clock after its last commit. */
  storeTime = -1
  /**
   * Whether the store contains all of it. Entries may still refer to this set, so one flag here replaces an update of
   * each entry.
   */
  isFinished = false
  readonly #batch = new WriteBatch()

  /** Bytes in memory, with the operations that were replaced by later ones. */
  get bytes(): number {
    return this.#batch.byteLength
  }

  /** Adds the newest value of an entry; `space` and `key` are those of its row in the store. */
  put(entry: OverlayEntry, space: number, key: Slice, value: Slice): void {
    if (entry.flushSet === this && this.#batch.overwrite(this.#places[entry.flushIndex] as number, value)) return
    this.#set(entry, this.#batch.putSlices(space, key, value))
  }

  delete(entry: OverlayEntry, space: number, key: Slice): void {
    this.#set(entry, this.#batch.deleteSlice(space, key))
  }

  /** Leaves out the entry with that index: its row has expired. */
  drop(index: number): void {
    this.#batch.drop(this.#places[index] as number)
  }

  /** The operations of a sealed set. They can be taken once. */
  take(): StoreOperations {
    return this.#batch.take()
  }

  /** Releases everything, once the store contains it. */
  finish(): void {
    this.isFinished = true
    this.entries = []
    this.#places = []
  }

  #set(entry: OverlayEntry, place: number): void {
    if (entry.flushSet === this) {
      this.#batch.drop(this.#places[entry.flushIndex] as number)
      this.#places[entry.flushIndex] = place
      return
    }
    entry.flushSet = this
    entry.flushIndex = this.entries.length
    this.entries.push(entry)
    this.#places.push(place)
  }
}
