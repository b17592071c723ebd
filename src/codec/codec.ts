import type { ByteWriter } from '../base/bytes.ts'

/** Converts values to bytes and back. It must be pure and synchronous. */
export interface Codec<T> {
  /** Stored with the topic or store; a codec with another id cannot read the bytes that this one writes. */
  readonly id: string
  /** Appends the bytes of `value`. */
  write(value: T, to: ByteWriter): void
  /**
   * Reads `bytes[start, end)`. Throws on bytes that it did not write. The result must not share memory with `bytes`,
   * which is used again for other records.
   */
  read(bytes: Uint8Array, start: number, end: number): T
}

/** A value that represents a key in a Map: two keys have equal identities exactly when the keys are equal. */
export type Identity = string | number | bigint | boolean

/**
 * A codec for keys. It must be canonical: equal keys have equal bytes on every machine and in every version, because
 * partitioning, joins and stores depend on that.
 */
export interface KeyCodec<K> extends Codec<K> {
  /** The key's identity in memory. Two keys have equal identities exactly when their bytes are equal. */
  identity(key: K): Identity
  /**
   * Throws if `read` would. Define it only if all bytes that `read` accepts are exactly those that `write` produces for
   * the result. Keys can then be compared by their bytes as they arrived, without decoding.
   */
  check?(bytes: Uint8Array, start: number, end: number): void
}
