import type { Codec } from '../../codec/codec.ts'
import { joinedReaderOf, type JoinedReader } from '../../codec/joined-reader.ts'
import { noBytes, type RecordCursor } from '../../log/api/record.ts'

/**
 * Reads the values of one input. If the codec can, it reads the values of the next records of the batch together with
 * the one that is asked for, which is faster, and keeps them until it is asked for them.
 *
 * - A value depends only on its bytes, so nobody can notice when it was read. Kept values are found by the place of
 *   their bytes. What is not asked for, because its record was skipped or the queue was discarded, is dropped.
 * - If the values cannot be read together, each is read alone, at its record's turn. So an error is thrown for its own
 *   record.
 * - After a failure, more and more values are read alone before the next attempt.
 */
export class ValueReader {
  readonly #codec: Codec<unknown>
  readonly #readJoined: JoinedReader | null
  /** Start and end of each value that was read together with others. */
  readonly #ranges = new Int32Array(countMax * 2)
  readonly #rangesAhead = this.#ranges.subarray(2)
  #cursor: RecordCursor | null = null
  #bytes: Uint8Array = noBytes
  #values: unknown[] = []
  #next = 0
  /** Number of values that are read alone before the next attempt, and after a failure of that. */
  #alone = 0
  #aloneNext = countMax

  constructor(codec: Codec<unknown>) {
    this.#codec = codec
    this.#readJoined = joinedReaderOf(codec)
  }

  /** The value of the cursor's record, which is not null. */
  read(cursor: RecordCursor): unknown {
    const { bytes, valueStart, valueEnd } = cursor
    if (cursor === this.#cursor && bytes === this.#bytes) {
      const kept = this.#take(valueStart, valueEnd)
      if (kept !== undefined) return kept
    }
    if (this.#readJoined !== null && this.#readAhead(cursor, this.#readJoined)) return this.#take(valueStart, valueEnd)
    return this.#codec.read(bytes, valueStart, valueEnd)
  }

  /** The kept value of these bytes, which is kept no longer; undefined if there is none. */
  #take(start: number, end: number): unknown {
    const ranges = this.#ranges
    const values = this.#values
    let next = this.#next
    while (next < values.length && (ranges[next * 2] as number) < start) next += 1
    this.#next = next
    if (next === values.length || ranges[next * 2] !== start || ranges[next * 2 + 1] !== end) return undefined
    const value = values[next]
    values[next] = undefined
    this.#next = next + 1
    return value
  }

  /** Reads the cursor's value together with those after it. Returns false if it has to be read alone. */
  #readAhead(cursor: RecordCursor, readJoined: JoinedReader): boolean {
    if (this.#alone > 0) {
      this.#alone -= 1
      return false
    }
    // What is still kept is not asked for any more.
    this.#cursor = null
    const ranges = this.#ranges
    const count = 1 + (cursor.valuesAhead?.(this.#rangesAhead, bytesMax) ?? 0)
    if (count < countMin) return false
    ranges[0] = cursor.valueStart
    ranges[1] = cursor.valueEnd
    const values = readJoined(cursor.bytes, ranges, count)
    if (values === null) {
      this.#alone = this.#aloneNext
      this.#aloneNext = Math.min(this.#aloneNext * 2, aloneMax)
      return false
    }
    this.#aloneNext = countMax
    this.#cursor = cursor
    this.#bytes = cursor.bytes
    this.#values = values
    this.#next = 0
    return true
  }
}

/** Number of values that are read together. With fewer it is hardly faster, and more gain nothing. */
const countMin = 4
const countMax = 32
/** Large values gain nothing either, and would be kept in memory for longer. */
const bytesMax = 8 * 1024
const aloneMax = 4096
