import { ByteReader, ByteWriter } from '../../base/bytes.ts'
import { noHeaders, type Header, type RecordCursor } from '../../log/api/record.ts'

/**
 * The order stamp of a record in a repartition topic: its place in the order in which the sub-topology that wrote it
 * went through its own inputs, over all its tasks and partitions. It travels as the first header, which readers take off
 * again; user code, digests and topics that the application did not make for itself never see it.
 *
 * ```
 * header key    "_mr"
 * header value  varint clock - timestamp of the record, varint sequence        zig-zag, as everywhere in a record
 * ```
 * Mostly the value has two bytes: a record that is not late has the clock for its timestamp, and the sequence counts from
 * there on. Records of an older version have no stamp; they stand in the order by their timestamp.
 */
export const stampKey = '_mr'

/** A place in the order, first by clock and then by sequence. */
export interface Stamp {
  /** In ms, as timestamps are. */
  readonly clock: number
  readonly sequence: number
}

/** What {@link readStamp} fills. */
export interface StampTarget {
  headClock: number
  headSequence: number
}

/** Writes stamps in front of headers. Its lists are valid until the next one, which is enough to stage a record. */
export class StampWriter {
  readonly #bytes = new ByteWriter(valueBytesMax)
  /** By the length of the value, so that no record costs an object. */
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

  /** The headers of a record of that timestamp, with the stamp in front. */
  before(headers: readonly Header[], stamp: Stamp, timestamp: number): readonly Header[] {
    const to = this.#bytes
    to.clear()
    to.varint(stamp.clock - timestamp)
    to.varint(stamp.sequence)
    if (headers.length === 0) return this.#alone[to.length] as readonly Header[]
    return [this.#stamps[to.length] as Header, ...headers]
  }
}

/** Puts the stamp of the cursor's record into `target`; leaves it alone if the record has none. */
export function readStamp(cursor: RecordCursor, target: StampTarget): void {
  if (cursor.headerCount === 0) return
  const { bytes, headersStart: at } = cursor
  if (bytes[at] !== keyLength || bytes[at + 1] !== 0x5f || bytes[at + 2] !== 0x6d || bytes[at + 3] !== 0x72) return
  // Both numbers in one byte each, unless the record was late or is one of many at its time.
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

/** The headers of a stamped record as they were before. */
export function headersBehindStamp(cursor: RecordCursor): readonly Header[] {
  return cursor.headerCount === 1 ? noHeaders : cursor.headers().slice(1)
}

/** The headers of a record of a repartition topic, stamped or not. */
export function headersWithoutStamp(cursor: RecordCursor): readonly Header[] {
  const headers = cursor.headers()
  return headers[0]?.key === stampKey ? headers.slice(1) : headers
}

/** Zig-zag of the key's length, and of a value of two bytes. */
const keyLength = stampKey.length * 2
const twoBytes = 2 * 2
/** Two varints of safe integers. */
const valueBytesMax = 20
