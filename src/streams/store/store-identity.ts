import { StreamsError } from '../errors.ts'
import type { StoreShape, StoreSpec } from '../topology/node.ts'

/**
 * What the bytes of a store mean, as one line: `shape | key codec | value codec | schema versions | how long rows are
 * kept | where its changelog is`. Every commit records it beside the store's clock, so it is known wherever there are
 * rows, without reading a file or a topic.
 *
 * Stored values begin with the number of their schema's version, so versions can only be added at the end: the recorded
 * versions must be equal to the declared ones, or a prefix of them.
 */
export function storeIdentity(spec: StoreSpec): string {
  const { shape, key, value, schema = '' } = spec
  return [shapeName(shape), key.id, value.id, schema, rowsKept(shape), changelogOf(spec)].join(separator)
}

function shapeName(shape: StoreShape): string {
  if (shape.kind === 'window') return `${shape.isSliding === true ? 'sliding ' : ''}window ${shape.sizeMs} ms`
  return shape.kind === 'keyValue' ? 'key-value' : shape.kind
}

/** Empty for shapes in which the place of a row does not depend on its age. */
function rowsKept(shape: StoreShape): string {
  return 'retentionMs' in shape ? `${shape.retentionMs} ms` : ''
}

function changelogOf({ logged, sourceTopic }: StoreSpec): string {
  if (!logged) return noChangelog
  return sourceTopic === undefined ? ownChangelog : `${sourcePrefix}${sourceTopic}`
}

/**
 * The topic from which the rows on disk were made, if it is not the declared one: the store's own changelog, or a
 * source topic. The position of a store on disk is an offset in that topic.
 */
export function formerChangelog(spec: StoreSpec, recorded: unknown): 'own' | { readonly source: string } | null {
  if (typeof recorded !== 'string') return null
  const former = recorded.split(separator)[5]
  if (former === undefined || former === noChangelog || former === changelogOf(spec)) return null
  return former === ownChangelog ? 'own' : { source: former.slice(sourcePrefix.length) }
}

/**
 * Throws STORE_MISMATCH if the declared changelog does not contain the rows. Switching is possible only to a source
 * topic, which contains all records from the start, or to no changelog at all.
 */
function checkChangelog(spec: StoreSpec, former: string | undefined): void {
  const now = changelogOf(spec)
  if (former === undefined || former === now || now === noChangelog) return
  const wasAnotherSource = former !== noChangelog && former !== ownChangelog
  if (spec.sourceTopic !== undefined && !wasAnotherSource) return
  throw mismatch(spec, `was written with ${former}, but is declared with ${now}, which does not contain its rows`, {
    has: former,
    wanted: now,
  })
}

/**
 * Whether a store declared like this would look for its rows on disk in another place, because a grace or a retention
 * has changed and the place of a row depends on how long rows are kept; or whether its position refers to another
 * changelog. The store must then be rebuilt from its changelog, whose records do not depend on places.
 */
export function isPlacedOtherwise(spec: StoreSpec, recorded: unknown): boolean {
  if (typeof recorded !== 'string') return false
  const [, , , , kept, changelog] = recorded.split(separator)
  if (kept !== undefined && kept !== rowsKept(spec.shape)) return true
  return changelog !== undefined && changelog !== changelogOf(spec)
}

/** Throws STORE_MISMATCH unless a store declared like this can read what the recorded store has written. */
export function checkStoreIdentity(spec: StoreSpec, recorded: unknown): void {
  // Nothing is recorded if the task never committed.
  if (typeof recorded !== 'string') return
  const before = recorded.split(separator)
  const now = storeIdentity(spec).split(separator)
  const [schema = '', schemaNow = ''] = [before[3], now[3]]
  checkChangelog(spec, before[5])
  const part = ['shape', 'key codec', 'value codec'].findIndex((_, index) => before[index] !== now[index])
  if (part >= 0) {
    const what = ['shape', 'key codec', 'value codec'][part]
    throw mismatch(spec, `was written with ${what} ${before[part]}, but is declared with ${now[part]}`, {
      has: before[part],
      wanted: now[part],
    })
  }
  if (isPlacedOtherwise(spec, recorded) && !spec.logged && spec.engine === 'lmdb' && before[5] === noChangelog) {
    const [has, wanted] = [before[4], rowsKept(spec.shape)]
    throw mismatch(
      spec,
      `was written to keep rows for ${has}, but is declared to keep them for ${wanted}, and has no changelog to be rebuilt from`,
      { has, wanted },
    )
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
const ownChangelog = 'a changelog of its own'
const noChangelog = 'no changelog'
const sourcePrefix = 'the changelog '
/** Separates the fingerprints of a schema's versions, oldest first; see `schemaFingerprint`. */
const versionSeparator = '>'
