/**
 * Memory of the flush sets of one store that are finished, for those that follow: touching new memory for the first time
 * takes longer than using it, and what is garbage waits for a collection, here and in the flush thread.
 */
export class SpareMemory {
  #columns: FlushSetColumns | null = null
  #operations: ArrayBuffer | null = null

  /** Keeps the columns of a set of `count` rows, unless they are far too large for such a set. */
  keepColumns(columns: FlushSetColumns, count: number): void {
    this.#columns = count * spareFactor < columns.places.length ? null : columns
  }

  /** Columns for a new set. */
  takeColumns(): FlushSetColumns {
    const columns = this.#columns ?? newColumns(firstCapacity)
    this.#columns = null
    return columns
  }

  /** Keeps the memory in which the operations of a set took `used` bytes, unless it is far too large for such a set. */
  keepOperations(memory: ArrayBuffer | null, used: number): void {
    this.#operations = memory === null || used * spareFactor < memory.byteLength ? null : memory
  }

  /** Memory of at least that size for the operations of a set, if there is any. */
  takeOperations(atLeast: number): ArrayBuffer | null {
    const memory = this.#operations
    if (memory === null || memory.byteLength < atLeast) return null
    this.#operations = null
    return memory
  }
}

/** What a set knows about each of its rows. */
export interface FlushSetColumns {
  readonly places: Int32Array
  readonly rows: Int32Array
  readonly times: Float64Array
}

export function newColumns(capacity: number): FlushSetColumns {
  return { places: new Int32Array(capacity), rows: new Int32Array(capacity), times: new Float64Array(capacity) }
}

const firstCapacity = 64
/** Memory that is more than this many times what a set has used is not kept. */
const spareFactor = 8
