import type { Codec } from '../codec/codec.ts'
import type { Schema } from '../codec/schema.ts'
import type { Grouping } from './options.ts'

type Atom = string | number | bigint | boolean

/** A key that needs no declaration, because the built-in codec can write it. */
export type PlainKey = Atom | readonly Atom[]

/** What can declare keys of type K. */
export type KeySource<K> = Codec<K> | Schema<K, K>

/**
 * A grouping whose declared key, if any, is of type K. Null needs no declaration, because records with a null key are
 * dropped.
 */
export interface GroupingOf<K> extends Omit<Grouping, 'key'> {
  readonly key?: KeySource<K> | KeySource<NonNullable<K>>
}

/** Replaces a handle whose key cannot be written; its only property says what to do. */
export interface KeyNeedsASchema<out K> {
  readonly 'pass { key: schema } to groupBy, groupByKey or repartition': K
}

/** R if the key is plain, null or declared, else {@link KeyNeedsASchema}. */
export type Keyed<K, O, R> = [K] extends [PlainKey | null]
  ? R
  : O extends { readonly key: object }
    ? R
    : KeyNeedsASchema<K>
