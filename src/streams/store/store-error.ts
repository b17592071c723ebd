/** How a store refuses or fails. None of these errors is temporary: the task that owns the store stops. */
export type StoreErrorCode =
  /** A key is longer than a store can hold. */
  | 'STORE_KEY_TOO_LARGE'
  /** The directory contains something that is not a store, or a damaged store. */
  | 'STORE_CORRUPT'
  /** The directory contains a store of another shape or of a newer format. */
  | 'STORE_MISMATCH'
  /** A flush did not happen, or it is not known whether it did. */
  | 'STORE_FLUSH_FAILED'

export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode

  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/**
 * Longest key of a store, in bytes: LMDB's limit with pages of 4 KiB. All engines enforce it, so that one can replace
 * another.
 */
export const storeKeyBytesMax = 1978

/** Throws if the key is too long for a store. */
export function checkStoreKey(key: Uint8Array): void {
  if (key.length <= storeKeyBytesMax) return
  throw new StoreError(
    'STORE_KEY_TOO_LARGE',
    `a key of ${key.length} bytes exceeds the ${storeKeyBytesMax} bytes that a store can hold: use a shorter key, such as a digest of it`,
  )
}
