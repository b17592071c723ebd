import type { Offset } from '../../api/record.ts'

/**
 * A segment's `.timeindex`: the highest timestamp up to some of its batches. Kafka's bytes:
 *
 * ```
 * 0 timestamp i64 │ 8 offset - base i32        the LAST offset of the batch that has it; ascending in both
 * ```
 *
 * Every record before an entry's batch has a lower timestamp. It is a cache, like the offset index.
 */
export class TimeIndex {
  static readonly entryBytes = 12
  readonly base: Offset
  #timestamps: number[] = []
  #offsets: Offset[] = []

  constructor(base: Offset) {
    this.base = base
  }

  static decode(base: Offset, bytes: Uint8Array): TimeIndex {
    const index = new TimeIndex(base)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = 0; at + TimeIndex.entryBytes <= bytes.length; at += TimeIndex.entryBytes) {
      const timestamp = view.getInt32(at) * 0x1_0000_0000 + view.getUint32(at + 4)
      const delta = view.getInt32(at + 8)
      // Zero padding after the first entry does not ascend, so it ends the loop. All zeros as the first entry is a
      // batch of one record at the base offset with timestamp 0; it is kept, as it only claims that nothing precedes
      // it.
      if (delta < 0 || timestamp <= index.lastTimestamp || base + delta <= index.lastOffset) break
      index.append(timestamp, base + delta)
    }
    return index
  }

  get count(): number {
    return this.#offsets.length
  }

  get lastTimestamp(): number {
    return this.#timestamps.at(-1) ?? -1
  }

  get lastOffset(): Offset {
    return this.#offsets.at(-1) ?? this.base - 1
  }

  timestampAt(entry: number): number {
    return this.#timestamps[entry] as number
  }

  offsetAt(entry: number): Offset {
    return this.#offsets[entry] as Offset
  }

  append(timestamp: number, offset: Offset): void {
    this.#timestamps.push(timestamp)
    this.#offsets.push(offset)
  }

  /** The last entry at or below `timestamp`, or -1. */
  floor(timestamp: number): number {
    let low = 0
    let high = this.#timestamps.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#timestamps[middle] as number) <= timestamp) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** Drops entries whose offset lies above `offset`. */
  dropAbove(offset: Offset): void {
    while (this.count > 0 && this.lastOffset > offset) {
      this.#timestamps.pop()
      this.#offsets.pop()
    }
  }

  encode(from = 0): Buffer {
    const bytes = Buffer.allocUnsafeSlow((this.count - from) * TimeIndex.entryBytes)
    for (let entry = from; entry < this.count; entry++) {
      const at = (entry - from) * TimeIndex.entryBytes
      const timestamp = this.timestampAt(entry)
      bytes.writeInt32BE(Math.floor(timestamp / 0x1_0000_0000), at)
      bytes.writeUInt32BE(timestamp >>> 0, at + 4)
      bytes.writeInt32BE(this.offsetAt(entry) - this.base, at + 8)
    }
    return bytes
  }
}
