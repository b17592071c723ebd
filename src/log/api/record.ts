/** The position of a record in its partition. Gaps are normal: compaction and Kafka's markers leave them. */
export type Offset = number

/** A partition of a topic, numbered from 0. */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** The name of a partition's directory and its key in maps, like `topic-3`. */
export function partitionName(at: TopicPartition): string {
  return `${at.topic}-${at.partition}`
}

/** A header of a record. Keys may repeat and keep their order, as in Kafka. */
export interface Header {
  readonly key: string
  /** Bytes, or null; use `Buffer.from(value).toString()` for text. */
  readonly value: Uint8Array | null
}

export const noHeaders: readonly Header[] = []

/**
 * A record to be appended to a log, as slices of bytes. Appending copies them, so one object can be reused for every
 * append. `keyStart` is -1 for a null key, `valueStart` is -1 for a null value; the ends are then ignored.
 */
export interface OutgoingRecord {
  key: Uint8Array
  keyStart: number
  keyEnd: number
  value: Uint8Array
  valueStart: number
  valueEnd: number
  /** Milliseconds since the epoch, 0 or more. */
  timestamp: number
  headers: readonly Header[]
}

export const noBytes: Uint8Array = new Uint8Array(0)

/** A reusable {@link OutgoingRecord} with null key and null value. */
export function outgoingRecord(): OutgoingRecord {
  return {
    key: noBytes,
    keyStart: -1,
    keyEnd: -1,
    value: noBytes,
    valueStart: -1,
    valueEnd: -1,
    timestamp: 0,
    headers: noHeaders,
  }
}

/**
 * Iterates over the records of a chunk without allocating an object for each. After `next()` returns true, the fields
 * describe the current record as slices of `bytes`; a start of -1 means null. Control records, records of aborted
 * transactions and records before the requested position are skipped.
 */
export interface RecordCursor {
  next(): boolean
  readonly offset: Offset
  readonly timestamp: number
  readonly bytes: Uint8Array
  readonly keyStart: number
  readonly keyEnd: number
  readonly valueStart: number
  readonly valueEnd: number
  /** The number of the record's headers. Reading it is cheap. */
  readonly headerCount: number
  /** The position of the first header in `bytes`, if there is one; headers are encoded as in a batch v2. */
  readonly headersStart: number
  /** Decodes the headers into copies. */
  headers(): readonly Header[]
  /**
   * Writes to `ranges` where in `bytes` the values of the next records begin and end, alternately, as far as `ranges`
   * has room and the values have `bytesMax` bytes together, and returns their number. Null values are left out. The
   * records are not checked, so a range is that of a value only if `next()` comes to a record with that range.
   */
  valuesAhead?(ranges: Int32Array, bytesMax: number): number
}
