import type { Codec } from '../codec/codec.ts'
import { checkRestorable } from '../codec/restorable.ts'
import { checkDeclared, isCodec, schemaFingerprint, type Declared } from '../codec/schema.ts'
import { storedCodec } from '../codec/stored-codec.ts'

/** How a store writes its values. */
export interface StoredValue {
  readonly value: Codec<unknown>
  /** The fingerprint of their schema, by which a changed shape is noticed; undefined for a codec, which has none. */
  readonly schema: string | undefined
}

/**
 * Throws INVALID_DECLARATION unless the declared value is a codec, or a schema of values that the store can bring back;
 * `store` names the store.
 */
export function storedValue(declared: Declared, store: string): StoredValue {
  checkDeclared(declared, `value of store ${store}`)
  if (isCodec(declared)) return { value: declared, schema: undefined }
  checkRestorable(declared, `value of store ${store}`)
  return { value: storedCodec(declared), schema: schemaFingerprint(declared) }
}
