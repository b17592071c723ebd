import type { StoreOperations, StorePosition } from '../ordered-store.ts'
import { type Slice, WriteBatch } from '../write-batch.ts'
import { grown } from '../../../base/columns.ts'
import type { OverlayEntry } from './overlay-entry.ts'
import { newColumns, type SpareMemory } from './spare-memory.ts'

/**
 * Committed values that are to be written to the store: the newest value of each row, packed as the store takes them. A
 * set is open while commits add to it, and is then sealed. Nothing is added to a sealed set, so it can be written while
 * newer commits collect in the next set. It may be written only when the last commit in it is durable: the store must
 * never be ahead of its changelog.
 *
 * A value is packed when it is committed, because its bytes are at hand then. But a number in a window or session store,
 * which takes no time to encode again, is only noted, and packed when the set is sealed: most rows of such a store expire
 * before that under full load, or change again, and the others need no memory until then.
 */
export class FlushSet {
  /** The sets of a store have ascending numbers from 1 on and are flushed in this order. */
  readonly number: number
  /** The rows, if they are objects. */
  entries: OverlayEntry[] = []
  /** Number of rows. */
  count = 0
  /** The place of each row's operation in the batch; {@link noted} or {@link dropped} if it has none. */
  #places: Int32Array
  /** The number of each row, if rows are numbers. */
  #rows: Int32Array
  /** The time by which each row expires. */
  #times: Float64Array
  /** Bytes of the operations that were taken. */
  #taken = 0
  /** The position of the store after this set; null until the placement of its last commit is known. */
  position: StorePosition | null = null
  /** The store's clock after its last commit. */
  storeTime = -1
  /**
   * Whether the store contains all of it. Rows may still refer to this set, so one flag here replaces an update of each
   * row.
   */
  isFinished = false
  readonly #batch: WriteBatch
  readonly #spare: SpareMemory

  /** `spare` has the memory of sets that are finished. */
  constructor(number: number, spare: SpareMemory) {
    this.number = number
    this.#spare = spare
    this.#batch = new WriteBatch((atLeast) => spare.takeOperations(atLeast))
    const columns = spare.takeColumns()
    this.#places = columns.places
    this.#rows = columns.rows
    this.#times = columns.times
  }

  /** Bytes in memory, with the operations that were replaced by later ones. */
  get bytes(): number {
    return this.#batch.byteLength
  }

  /**
   * Adds the newest value of a row and returns its index; `index` is that of its older value in this set, or -1. `space`
   * and `key` are those of the row in the store.
   */
  put(index: number, space: number, key: Slice, value: Slice, time: number): number {
    const place = index < 0 ? dropped : (this.#places[index] as number)
    if (place >= 0 && this.#batch.overwrite(place, value)) return index
    return this.#set(index, this.#batch.putSlices(space, key, value), time)
  }

  delete(index: number, space: number, key: Slice, time: number): number {
    return this.#set(index, this.#batch.deleteSlice(space, key), time)
  }

  /** Adds a row whose newest value will be packed when the set is sealed; otherwise as {@link put}. */
  note(index: number, row: number, time: number): number {
    const at = this.#set(index, noted, time)
    this.#rows[at] = row
    return at
  }

  /** The row with that index if it is still to be packed, or -1. */
  notedRow(index: number): number {
    return this.#places[index] === noted ? (this.#rows[index] as number) : -1
  }

  /** The time by which the row with that index expires. */
  time(index: number): number {
    return this.#times[index] as number
  }

  /** Leaves out the rows with indexes from `from` to `to`, exclusive, whose time is at most `horizon`. */
  dropExpired(horizon: number, from: number, to: number): void {
    const last = Math.min(to, this.count)
    for (let index = from; index < last; index++) {
      if ((this.#times[index] as number) > horizon) continue
      const place = this.#places[index] as number
      if (place >= 0) this.#batch.drop(place)
      this.#places[index] = dropped
    }
  }

  /** The operations of a sealed set. They can be taken once. */
  take(): StoreOperations {
    this.#taken = this.#batch.byteLength
    return this.#batch.take()
  }

  /** Releases everything, once the store contains it; `operations` is the memory that the store gave back. */
  finish(operations: ArrayBuffer | null): void {
    this.#spare.keepColumns({ places: this.#places, rows: this.#rows, times: this.#times }, this.count)
    this.#spare.keepOperations(operations, this.#taken)
    this.isFinished = true
    this.entries = []
    this.count = 0
    const none = newColumns(0)
    this.#places = none.places
    this.#rows = none.rows
    this.#times = none.times
  }

  #set(index: number, place: number, time: number): number {
    if (index >= 0) {
      const former = this.#places[index] as number
      if (former >= 0) this.#batch.drop(former)
      this.#places[index] = place
      return index
    }
    const added = this.count
    if (added === this.#places.length) {
      this.#places = grown(this.#places, new Int32Array(added * 2))
      this.#rows = grown(this.#rows, new Int32Array(added * 2))
      this.#times = grown(this.#times, new Float64Array(added * 2))
    }
    this.#places[added] = place
    this.#times[added] = time
    this.count = added + 1
    return added
  }
}

/** The place of a row that is packed when the set is sealed. */
const noted = -1
/** The place of a row that is left out. */
const dropped = -2
