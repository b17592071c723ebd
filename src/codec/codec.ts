import type { ByteWriter } from '../base/bytes.ts'

/** Turns values into bytes and back. Pure and synchronous. */
export interface Codec<T> {
  /** Remembered with the topic or store; a codec of another id cannot read what this one wrote. */
  readonly id: string
  /** Appends the bytes of `value`. */
  write(value: T, to: ByteWriter): void
  /** Reads `bytes[start, end)`. Throws on bytes that it did not write. The result does not share memory that changes. */
  read(bytes: Uint8Array, start: number, end: number): T
}

/** What a Map can hold a key by: equal identities mean equal keys, and the other way round. */
export type Identity = string | number | bigint | boolean

/**
 * A codec for keys: canonical, so that equal keys have equal bytes on every machine and in every version. That is what
 * partitioning, joins and stores rest on.
 */
export interface KeyCodec<K> extends Codec<K> {
  /** The key's identity in memory, equal exactly when the bytes are equal. */
  identity(key: K): Identity
  /**
   * Throws where `read` would. Present where bytes that `read` takes are those that `write` makes of what it gives: then
   * a key can be told from others by its bytes, as they came, and need not be decoded for that.
   */
  check?(bytes: Uint8Array, start: number, end: number): void
}
