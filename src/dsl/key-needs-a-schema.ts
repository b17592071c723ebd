import type { Codec } from '../codec/codec.ts'
import type { Schema } from '../codec/schema.ts'
import type { Grouping } from './options.ts'

type Atom = string | number | bigint | boolean

/** A key that needs no declaration: the built-in codec writes it. */
export type PlainKey = Atom | readonly Atom[]

/** What declares keys of type K. */
export type KeySource<K> = Codec<K> | Schema<K, K>

/** A grouping whose declared key, if any, is of type K; null needs none, it drops out. */
export interface GroupingOf<K> extends Omit<Grouping, 'key'> {
  readonly key?: KeySource<K> | KeySource<NonNullable<K>>
}

/** What stands in place of a handle whose key nobody can write: its one property says what to do. */
export interface KeyNeedsASchema<out K> {
  readonly 'pass { key: schema } to groupBy, groupByKey or repartition': K
}

/** R where the key is plain, null or declared, else {@link KeyNeedsASchema}. */
export type Keyed<K, O, R> = [K] extends [PlainKey | null]
  ? R
  : O extends { readonly key: object }
    ? R
    : KeyNeedsASchema<K>
