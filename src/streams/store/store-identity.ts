import { StreamsError } from '../errors.ts'
import type { StoreShape, StoreSpec } from '../topology/node.ts'

/**
 * What the bytes of a store mean, as one line: `shape | key codec | value codec | schema versions | how long rows are kept`.
 * Every commit records it beside the store's clock, so it is known wherever there are rows: no file or topic has to be asked.
 *
 * Stored values begin with the number of their schema's version, so versions can only be added at the end: what was
 * recorded must be what is declared now, or its beginning.
 */
export function storeIdentity(spec: StoreSpec): string {
  return [shapeName(spec.shape), spec.key.id, spec.value.id, spec.schema ?? '', rowsKept(spec.shape)].join(separator)
}

function shapeName(shape: StoreShape): string {
  if (shape.kind === 'window') return `window ${shape.sizeMs} ms`
  return shape.kind === 'keyValue' ? 'key-value' : shape.kind
}

/** Empty for shapes whose rows stand where they stand whatever their age. */
function rowsKept(shape: StoreShape): string {
  return 'retentionMs' in shape ? `${shape.retentionMs} ms` : ''
}

/**
 * Whether the rows on disk stand elsewhere than a store declared like this looks for them: a grace or a retention is
 * another one, and where a row stands follows from how long rows are kept. The store has to be made anew from its changelog,
 * whose records say nothing of places.
 */
export function isPlacedOtherwise(spec: StoreSpec, recorded: unknown): boolean {
  if (typeof recorded !== 'string') return false
  const kept = recorded.split(separator)[4]
  return kept !== undefined && kept !== rowsKept(spec.shape)
}

/** Throws STORE_MISMATCH unless a store declared like this can read what the recorded one has written. */
export function checkStoreIdentity(spec: StoreSpec, recorded: unknown): void {
  // Nothing was recorded: the task never committed.
  if (typeof recorded !== 'string') return
  const before = recorded.split(separator)
  const now = storeIdentity(spec).split(separator)
  const [schema = '', schemaNow = ''] = [before[3], now[3]]
  const part = ['shape', 'key codec', 'value codec'].findIndex((_, index) => before[index] !== now[index])
  if (part >= 0) {
    const what = ['shape', 'key codec', 'value codec'][part]
    throw mismatch(spec, `was written with ${what} ${before[part]}, it is declared with ${now[part]}`, {
      has: before[part],
      wanted: now[part],
    })
  }
  if (schema === schemaNow || schemaNow.startsWith(`${schema}${versionSeparator}`)) return
  const values = { has: schema, wanted: schemaNow }
  if (schema.startsWith(`${schemaNow}${versionSeparator}`)) {
    throw mismatch(spec, 'was written by a newer build, with a later version of its value schema', values)
  }
  throw mismatch(
    spec,
    `was written with another value schema (${schema === '' ? 'none' : schema}, now ${schemaNow === '' ? 'none' : schemaNow}): declare versions(old, new, upgrade) to read what is there`,
    values,
  )
}

function mismatch(spec: StoreSpec, text: string, values: { readonly [name: string]: unknown }): StreamsError {
  return new StreamsError(
    'STORE_MISMATCH',
    `store ${spec.name} ${text}; go back to the former declaration, or give the store another name to begin anew`,
    { store: spec.name, ...values },
  )
}

const separator = ' | '
/** Between the fingerprints of a schema's versions, oldest first; see `schemaFingerprint`. */
const versionSeparator = '>'
