import { noHeaders, type Header, type TopicPartition } from '../../log/api/record.ts'

/**
 * Which record a task is at: everything about it but key, value and timestamp, which travel as arguments. One mutable
 * object per task, so that no record costs an object. It stands with the stores because an entry remembers the context
 * of its last update and is emitted with it.
 *
 * While a source's bytes are in process they stand here too: a sink of the same codec copies them as they are.
 */
export class RecordContext {
  headers: readonly Header[] = noHeaders
  /** Where the record came from; null in a punctuation. */
  input: TopicPartition | null = null
  offset = -1
  /** Timestamp of the record, or of the punctuation. */
  timestamp = -1
  /** Index of the record among those that its task processed since the last commit; -1 outside of a record. */
  cause = -1
  /** A commit tells what became of a row: what happens now happened when the row was changed last. */
  isEmission = false
  /** The node in process: after an exception, the one that threw. */
  node = ''

  /** The source's bytes, valid while `source` is not null. */
  source: RecordSource | null = null
  bytes: Uint8Array = noSourceBytes
  keyStart = -1
  keyEnd = -1
  valueStart = -1
  valueEnd = -1
  /** Key and value as the source forwarded them: what a sink gets unchanged may leave as the bytes that it came in. */
  key: unknown = null
  value: unknown = null

  /** Leaves the record: what is forwarded now belongs to no input. */
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

/** Stands for a key or value that is there and that nobody decoded. Never null, so null stays null. */
export const undecoded: unique symbol = Symbol('undecoded')

/** How the bytes of the record in process are encoded; `keyCodec` and `valueCodec` are ids, '' where bytes must not pass. */
export interface RecordSource {
  readonly keyCodec: string
  readonly valueCodec: string
}

const noSourceBytes = new Uint8Array(0)
