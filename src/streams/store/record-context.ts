import { noHeaders, type Header, type TopicPartition } from '../../log/api/record.ts'

/**
 * The current record of a task: everything but key, value and timestamp, which are passed as arguments. There is one
 * mutable object per task, so that records do not allocate any. It is in this folder because an entry remembers the
 * context of its last update and is emitted with it.
 *
 * While a record from a source is being processed, its bytes are here too: a sink with the same codec copies them.
 */
export class RecordContext {
  headers: readonly Header[] = noHeaders
  /** Where the record came from; null in a punctuation. */
  input: TopicPartition | null = null
  offset = -1
  /** Timestamp of the record, or of the punctuation. */
  timestamp = -1
  /**
   * Index of the record among those that its task has processed since the last commit; -1 if there is no current
   * record.
   */
  cause = -1
  /**
   * Whether a commit is forwarding the value of a row, so that this counts as happening at the time of the row's last
   * update.
   */
  isEmission = false
  /** The current node; after an exception, the one that threw. */
  node = ''

  /** The bytes of the source's record, valid while `source` is not null. */
  source: RecordSource | null = null
  bytes: Uint8Array = noSourceBytes
  keyStart = -1
  keyEnd = -1
  valueStart = -1
  valueEnd = -1
  /**
   * Key and value as the source forwarded them: if they reach a sink unchanged, their original bytes can be written.
   */
  key: unknown = null
  value: unknown = null

  /** Ends the current record: what is forwarded from now on has no input record. */
  leave(): void {
    this.headers = noHeaders
    this.input = null
    this.offset = -1
    this.cause = -1
    this.source = null
    this.key = null
    this.value = null
  }
}

/** Stands for a key or value that exists but was not decoded. Null stays null. */
export const undecoded: unique symbol = Symbol('undecoded')

/** How the current record is encoded: the ids of its codecs, or '' if its bytes must not be copied. */
export interface RecordSource {
  readonly keyCodec: string
  readonly valueCodec: string
}

const noSourceBytes = new Uint8Array(0)
