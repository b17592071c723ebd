/** The place of a record in its partition. Gaps are normal: compaction and Kafka's markers leave them. */
export type Offset = number

/** A partition of a topic, counted from 0. */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** `topic-3`, the name of a partition's directory and its key in maps. */
export function partitionName(at: TopicPartition): string {
  return `${at.topic}-${at.partition}`
}

/** A header of a record. Keys may repeat and keep their order, as in Kafka. */
export interface Header {
  readonly key: string
  /** Bytes; `Buffer.from(value).toString()` where they are text. */
  readonly value: Uint8Array | null
}

export const noHeaders: readonly Header[] = []

/**
 * A record on its way into a log, as slices of bytes. Appending copies, so one object may serve for every append.
 * `keyStart` is -1 for a null key, `valueStart` is -1 for a null value; the ends are then ignored.
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
 * Walks the records of a chunk without making an object for each: after `next()` returned true, the fields describe the
 * current record as slices of `bytes`. A start of -1 means null. Control records, records of aborted transactions and
 * records before the position asked for are already left out.
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
  /** How many headers the record has; 0 costs nothing. */
  readonly headerCount: number
  /** Where the first of them starts in `bytes`, if there is one: encoded as in a record of a batch v2. */
  readonly headersStart: number
  /** Decodes the headers; copies. */
  headers(): readonly Header[]
}
