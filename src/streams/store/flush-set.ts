import { ByteSlabs } from './byte-slabs.ts'
import type { OverlayEntry } from './overlay-entry.ts'
import type { StorePosition } from './ordered-store.ts'

/**
 * Committed values on their way into the store: the newest of each entry, as bytes. A set is open while commits add to
 * it, then sealed; sealed it never changes, so it can be written while newer commits collect in the next one. It may be
 * written only when the last commit in it is durable: the store must never be ahead of its changelog.
 */
export class FlushSet {
  entries: OverlayEntry[] = []
  /** Per entry the slab of its value and where it stands there; `valueStarts` -1: deleted. */
  slabs: Uint8Array[] = []
  valueStarts: number[] = []
  valueEnds: number[] = []
  /** Bytes of values in it, replaced ones included. */
  bytes = 0
  /** Where it brings the store to; null until the placement of its last commit is known. */
  position: StorePosition | null = null
  /** The store's clock after its last commit. */
  storeTime = -1
  /** The store holds all of it. Entries may still point here: told once for all instead of to each. */
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

  /** The store has it: lets go of everything. */
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
