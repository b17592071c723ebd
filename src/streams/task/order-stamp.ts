import { ByteReader, ByteWriter } from '../../base/bytes.ts'
import { noHeaders, type Header, type RecordCursor } from '../../log/api/record.ts'

/**
 * The order stamp of a record in a repartition topic: the record's place in the order in which the sub-topology that
 * wrote it processed its own inputs, over all tasks and partitions. It is stored as the first header, which readers
 * remove again. User code, digests and all topics other than repartition topics never see it.
 *
 * ```
 * header key    "_mr"
 * header value  varint clock - timestamp of the record, varint sequence        zig-zag, as everywhere in a record
 * ```
 * The value usually has two bytes: the clock of a record that is not late equals its timestamp, and the sequence starts
 * over with each clock. Records that an older version wrote have no stamp; their place in the order is given by their
 * timestamp.
 */
export const stampKey = '_mr'

/** A place in the order: by clock first, then by sequence. */
export interface Stamp {
  /** In ms, as timestamps are. */
  readonly clock: number
  readonly sequence: number
}

/** What {@link readStamp} fills in. */
export interface StampTarget {
  headClock: number
  headSequence: number
}

/**
 * Writes stamps in front of headers. The returned list is valid until the next call, which is long enough to stage a
 * record.
 */
export class StampWriter {
  readonly #bytes = new ByteWriter(valueBytesMax)
  /** Indexed by the length of the value, so that no object is allocated per record. */
  readonly #stamps: readonly Header[]
  readonly #alone: readonly (readonly Header[])[]

  constructor() {
    const { bytes } = this.#bytes
    this.#stamps = Array.from({ length: valueBytesMax + 1 }, (_, length) => ({
      key: stampKey,
      value: bytes.subarray(0, length),
    }))
    this.#alone = this.#stamps.map((stamp) => [stamp])
  }

  /** Returns the headers of a record with that timestamp, with the stamp in front. */
  before(headers: readonly Header[], stamp: Stamp, timestamp: number): readonly Header[] {
    const to = this.#bytes
    to.clear()
    to.varint(stamp.clock - timestamp)
    to.varint(stamp.sequence)
    if (headers.length === 0) return this.#alone[to.length] as readonly Header[]
    return [this.#stamps[to.length] as Header, ...headers]
  }
}

/** Writes the stamp of the cursor's record into `target`, which stays unchanged if the record has no stamp. */
export function readStamp(cursor: RecordCursor, target: StampTarget): void {
  if (cursor.headerCount === 0) return
  const { bytes, headersStart: at } = cursor
  if (bytes[at] !== keyLength || bytes[at + 1] !== 0x5f || bytes[at + 2] !== 0x6d || bytes[at + 3] !== 0x72) return
  // Each number takes one byte, unless the record was late or is one of many with the same clock.
  const [delta, sequence] = [bytes[at + 5] as number, bytes[at + 6] as number]
  if (bytes[at + 4] === twoBytes && delta < 0x80 && sequence < 0x80) {
    target.headClock = cursor.timestamp + ((delta >>> 1) ^ -(delta & 1))
    target.headSequence = sequence >>> 1
    return
  }
  readLongStamp(cursor, target)
}

function readLongStamp({ bytes, headersStart, timestamp }: RecordCursor, target: StampTarget): void {
  const from = new ByteReader(bytes, headersStart + 4)
  from.varint()
  target.headClock = timestamp + from.varint()
  target.headSequence = from.varint()
}

/** The headers of a stamped record without the stamp. */
export function headersBehindStamp(cursor: RecordCursor): readonly Header[] {
  return cursor.headerCount === 1 ? noHeaders : cursor.headers().slice(1)
}

/** The headers of a record of a repartition topic, stamped or not. */
export function headersWithoutStamp(cursor: RecordCursor): readonly Header[] {
  const headers = cursor.headers()
  return headers[0]?.key === stampKey ? headers.slice(1) : headers
}

/** Zig-zag encodings of the key's length and of the length of a two-byte value. */
const keyLength = stampKey.length * 2
const twoBytes = 2 * 2
/** Two varints of safe integers. */
const valueBytesMax = 20
