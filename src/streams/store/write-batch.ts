import { copyBytes } from '../../base/bytes.ts'
import type { StoreOperations } from './ordered-store.ts'
import { checkStoreKey, storeKeyBytesMax } from './store-error.ts'

/*
 * Building and reading the packed operations of a store batch.
 *
 * - Operations are packed in the order in which they are added, into memory of their own, so that all of it can be
 *   transferred to a flush thread without a copy.
 * - Engines apply them sorted. They sort by themselves (`sortedOperations`), which in the flush thread costs the worker
 *   nothing.
 * - If several operations have the same key, the last one wins.
 *
 *   | u16 space | u32 key length | i32 value length, -1: delete | key | value |   all big-endian, no padding
 *
 * An operation that was dropped stays where it is; its space is 65,535.
 */

const headerBytes = 10
const dropped = 0xffff
const firstCapacity = 16 * 1024

/** `bytes[start, end)`. The same object may be used for many calls, because packing copies. */
export interface Slice {
  bytes: Uint8Array
  start: number
  end: number
}

/** Packs operations. One builder makes many batches, one after another. */
export class WriteBatch {
  #bytes: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(this.#bytes.buffer)
  #length = 0
  #count = 0
  readonly #spare: (atLeast: number) => ArrayBuffer | null

  /** `spare` is asked for memory when a batch begins; the builder owns what it returns. */
  constructor(spare: (atLeast: number) => ArrayBuffer | null = () => null) {
    this.#spare = spare
  }

  get count(): number {
    return this.#count
  }

  /** Bytes packed so far. */
  get byteLength(): number {
    return this.#length
  }

  put(space: number, key: Uint8Array, value: Uint8Array): void {
    this.putSlices(space, { bytes: key, start: 0, end: key.length }, { bytes: value, start: 0, end: value.length })
  }

  delete(space: number, key: Uint8Array): void {
    this.deleteSlice(space, { bytes: key, start: 0, end: key.length })
  }

  /**
   * Like {@link put}, from slices, so that no view is created for a key or value in a slab. Returns the place of the
   * operation.
   */
  putSlices(space: number, key: Slice, value: Slice): number {
    const place = this.#length
    const length = value.end - value.start
    const at = this.#header(space, key, length, length)
    copyBytes(value.bytes, value.start, value.end, this.#bytes, at)
    return place
  }

  deleteSlice(space: number, key: Slice): number {
    const place = this.#length
    this.#header(space, key, -1, 0)
    return place
  }

  /** Gives the put at that place another value of the same length. Returns false if its length is different. */
  overwrite(place: number, value: Slice): boolean {
    if (this.#view.getInt32(place + 6) !== value.end - value.start) return false
    const at = place + headerBytes + this.#view.getUint32(place + 2)
    copyBytes(value.bytes, value.start, value.end, this.#bytes, at)
    return true
  }

  /** Takes the operation at that place out of the batch. */
  drop(place: number): void {
    this.#view.setUint16(place, dropped)
  }

  /** Returns what was packed. The caller owns it from then on, and the builder is empty again. */
  take(): StoreOperations {
    const operations = { bytes: this.#bytes.subarray(0, this.#length), count: this.#count }
    this.#bytes = new Uint8Array(0)
    this.#view = new DataView(this.#bytes.buffer)
    this.#length = 0
    this.#count = 0
    return operations
  }

  #header(space: number, key: Slice, valueLength: number, valueBytes: number): number {
    const keyLength = key.end - key.start
    if (keyLength > storeKeyBytesMax) checkStoreKey(key.bytes.subarray(key.start, key.end))
    const at = this.#length
    const keyAt = at + headerBytes
    const end = keyAt + keyLength + valueBytes
    if (end > this.#bytes.length) this.#grow(end)
    this.#view.setUint16(at, space)
    this.#view.setUint32(at + 2, keyLength)
    this.#view.setInt32(at + 6, valueLength)
    copyBytes(key.bytes, key.start, key.end, this.#bytes, keyAt)
    this.#length = end
    this.#count++
    return keyAt + keyLength
  }

  #grow(atLeast: number): void {
    const spare = this.#length === 0 ? this.#spare(atLeast) : null
    const memory = spare ?? new ArrayBuffer(Math.max(firstCapacity, atLeast, this.#bytes.length * 2))
    const bigger = new Uint8Array(memory)
    bigger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = bigger
    this.#view = new DataView(memory)
  }
}

/**
 * Iterates over packed operations in sorted order. The fields describe the current one; nothing is allocated per step.
 */
export class OperationCursor {
  readonly bytes: Uint8Array
  space = 0
  keyStart = 0
  keyEnd = 0
  /** End of the value, which starts at `keyEnd`; -1 for a delete. */
  valueEnd = 0
  readonly #view: DataView
  readonly #order: Uint32Array
  #next = 0

  constructor(operations: StoreOperations) {
    this.bytes = operations.bytes
    this.#view = viewOf(operations.bytes)
    this.#order = sortedOperations(operations)
  }

  /**
   * The highest space of all operations, or -1 without any, to check before the first step whether all spaces exist.
   */
  get spaceMax(): number {
    const last = this.#order.at(-1)
    return last === undefined ? -1 : this.#view.getUint16(last)
  }

  next(): boolean {
    const at = this.#order[this.#next]
    if (at === undefined) return false
    this.#next++
    this.space = this.#view.getUint16(at)
    this.keyStart = at + headerBytes
    this.keyEnd = this.keyStart + this.#view.getUint32(at + 2)
    const valueLength = this.#view.getInt32(at + 6)
    this.valueEnd = valueLength < 0 ? -1 : this.keyEnd + valueLength
    return true
  }

  /** The key, sharing memory. */
  key(): Uint8Array {
    return this.bytes.subarray(this.keyStart, this.keyEnd)
  }

  /** The value, sharing memory; null for a delete. */
  value(): Uint8Array | null {
    return this.valueEnd < 0 ? null : this.bytes.subarray(this.keyEnd, this.valueEnd)
  }
}

/**
 * The positions of the operations, sorted by space and key; equal keys stay in the order given, and dropped operations
 * are left out. Throws if the lengths do not add up.
 */
export function sortedOperations(operations: StoreOperations): Uint32Array {
  const { bytes, count } = operations
  const view = viewOf(bytes)
  const starts = new Uint32Array(count)
  let kept = 0
  let at = 0
  let sorted = true
  for (let index = 0; index < count; index++) {
    if (view.getUint16(at) !== dropped) {
      starts[kept] = at
      if (sorted && kept > 0 && compareOperations(bytes, view, starts[kept - 1] as number, at) > 0) sorted = false
      kept += 1
    }
    at += headerBytes + view.getUint32(at + 2) + Math.max(0, view.getInt32(at + 6))
  }
  if (at !== bytes.length) throw new RangeError(`${count} operations take ${at} bytes, not ${bytes.length}`)
  if (!sorted) sortStarts(starts, kept, bytes, view)
  return starts.subarray(0, kept)
}

/**
 * Sorts `starts[0, count)`: a quicksort in three parts by one symbol of the operations at a time (a multikey quicksort).
 * It looks at each byte that matters about once, where a sort that compares whole keys would look at their common
 * beginnings again and again, through a callback per comparison.
 */
function sortStarts(starts: Uint32Array, count: number, bytes: Uint8Array, view: DataView): void {
  /** Ranges whose operations agree in their first `depth` symbols. */
  const unsorted = [{ low: 0, high: count, depth: 0 }]
  for (let range = unsorted.pop(); range !== undefined; range = unsorted.pop()) {
    const { low, high, depth } = range
    if (high - low <= insertionMax) {
      insertionSort(starts, bytes, view, low, high)
      continue
    }
    const pivot = symbolOf(starts[(low + high) >>> 1] as number, depth, bytes, view)
    let less = low
    let more = high
    for (let next = low; next < more;) {
      const start = starts[next] as number
      const symbol = symbolOf(start, depth, bytes, view)
      if (symbol < pivot) {
        starts[next++] = starts[less] as number
        starts[less++] = start
      } else if (symbol > pivot) {
        starts[next] = starts[--more] as number
        starts[more] = start
      } else next++
    }
    unsorted.push({ low, high: less, depth }, { low: more, high, depth })
    if (pivot !== keyEnd) unsorted.push({ low: less, high: more, depth: depth + 1 })
    // Equal keys: positions rise in the order given.
    else starts.subarray(less, more).sort()
  }
}

/** The space of an operation, then the bytes of its key, then {@link keyEnd}. */
function symbolOf(start: number, depth: number, bytes: Uint8Array, view: DataView): number {
  if (depth === 0) return view.getUint16(start)
  return depth > view.getUint32(start + 2) ? keyEnd : (bytes[start + headerBytes + depth - 1] as number)
}

function insertionSort(starts: Uint32Array, bytes: Uint8Array, view: DataView, low: number, high: number): void {
  for (let index = low + 1; index < high; index++) {
    const start = starts[index] as number
    let place = index
    for (; place > low; place--) {
      const before = starts[place - 1] as number
      const order = compareOperations(bytes, view, before, start)
      if (order < 0 || (order === 0 && before < start)) break
      starts[place] = before
    }
    starts[place] = start
  }
}

/** Ranges up to this length are sorted by insertion. */
const insertionMax = 8
/** Before every byte, because a prefix comes first. */
const keyEnd = -1

function compareOperations(bytes: Uint8Array, view: DataView, left: number, right: number): number {
  const spaces = view.getUint16(left) - view.getUint16(right)
  if (spaces !== 0) return spaces
  const leftLength = view.getUint32(left + 2)
  const rightLength = view.getUint32(right + 2)
  const length = Math.min(leftLength, rightLength)
  const leftKey = left + headerBytes
  const rightKey = right + headerBytes
  for (let index = 0; index < length; index++) {
    const difference = (bytes[leftKey + index] as number) - (bytes[rightKey + index] as number)
    if (difference !== 0) return difference
  }
  return leftLength - rightLength
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
