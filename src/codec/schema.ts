import { createHash } from 'node:crypto'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { shown } from '../base/shown.ts'
import { CodecError } from './codec-error.ts'
import type { Codec } from './codec.ts'

/** Any validator that implements Standard Schema: zod, valibot, arktype. It must be synchronous. */
export type Schema<In = unknown, Out = In> = StandardSchemaV1<In, Out>

/** How keys or values of a topic, a store or a grouping are declared: by a codec or by a schema. */
export type Declared = Schema | Codec<unknown>

/** The type that a declaration accepts when writing. */
export type InputOf<D extends Declared> = [D] extends [Schema]
  ? StandardSchemaV1.InferInput<D>
  : D extends Codec<infer T>
    ? T
    : never

/** The type that a declaration returns when reading. */
export type OutputOf<D extends Declared> = [D] extends [Schema]
  ? StandardSchemaV1.InferOutput<D>
  : D extends Codec<infer T>
    ? T
    : never

/** Replaces the type of a schema that cannot be written back, so that the compiler's error says why. */
export interface OneWaySchema<out From, out To> {
  readonly 'a transform cannot be undone when we write: give a codec': [From, To]
}

/** Refuses schemas whose output is not a valid input: what was read could not be written again. */
export type Writable<D extends Declared> = [OutputOf<D>] extends [InputOf<D>]
  ? unknown
  : OneWaySchema<InputOf<D>, OutputOf<D>>

/** Throws INVALID_DECLARATION unless it is a schema or a codec. The types ensure that, except with circular imports. */
export function checkDeclared(declared: unknown, what: string): asserts declared is Declared {
  // Some libraries' schemas are functions.
  const isObject = (typeof declared === 'object' && declared !== null) || typeof declared === 'function'
  if (isObject && ('~standard' in declared || ('write' in declared && 'read' in declared))) return
  const given = isObject ? 'something else' : declared === undefined ? 'undefined' : shown(declared)
  throw new CodecError('INVALID_DECLARATION', `${what}: give a schema, such as z.string(), or a codec, not ${given}`)
}

export function isCodec(declared: Declared): declared is Codec<unknown> {
  return 'write' in declared && 'read' in declared
}

/**
 * Returns a check that returns the value, with defaults filled in, or throws INVALID_RECORD with field and value. A
 * schema that returns a Promise is refused with ASYNC_SCHEMA, because records are processed without waiting.
 */
export function validatorOf<Out>(schema: Schema<unknown, Out>, what: string): (value: unknown) => Out {
  const standard = schema['~standard']
  return (value) => {
    const result = standard.validate(value)
    if (result instanceof Promise) {
      // The Promise is not awaited, so its rejection must be handled here.
      result.catch(() => undefined)
      throw new CodecError(
        'ASYNC_SCHEMA',
        `the schema of the ${what} answers with a Promise: remove asynchronous refinements, or do them in a processor`,
      )
    }
    if (result.issues === undefined) return result.value
    throw invalid(what, value, result.issues)
  }
}

const issuesShownMax = 3

function invalid(what: string, value: unknown, issues: readonly StandardSchemaV1.Issue[]): CodecError {
  const texts = issues.slice(0, issuesShownMax).map((issue) => {
    const path = pathOf(issue)
    const place = path.length === 0 ? '' : `field ${JSON.stringify(path.join('.'))}: `
    return `${place}${issue.message} (it is ${shown(valueAt(value, path))})`
  })
  const more = issues.length > issuesShownMax ? `, and ${issues.length - issuesShownMax} more` : ''
  const first = issues[0]
  const path = first === undefined ? [] : pathOf(first)
  return new CodecError('INVALID_RECORD', `the ${what} does not fit its schema: ${texts.join('; ')}${more}`, {
    path: path.join('.'),
    value: valueAt(value, path),
  })
}

function pathOf(issue: StandardSchemaV1.Issue): readonly string[] {
  return (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part))
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  let at = value
  for (const name of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined
    at = Reflect.get(at, name)
  }
  return at
}

/**
 * A fingerprint of a schema, of 16 hex digits: equal for schemas with equal definitions if the library exposes them,
 * and otherwise derived from the library's name. For a schema with versions it joins those of all versions, oldest
 * first, with `>`. It is stored with a store, so that a changed shape of its values is noticed.
 */
export function schemaFingerprint(schema: Schema): string {
  const texts = versionsOf(schema).map((version) => schemaText(version.schema))
  return texts.map((text) => createHash('sha256').update(text).digest('hex').slice(0, 16)).join('>')
}

function schemaText(schema: Schema): string {
  const definition = definitionOf(schema)
  return definition === undefined ? schema['~standard'].vendor : printDefinition(definition, 0)
}

/** The part of a zod schema that describes its definition. Other libraries expose nothing like it. */
export interface ZodDefinition {
  readonly type: string
  readonly [part: string]: unknown
}

/** The definition of a zod schema; undefined for other libraries. */
export function definitionOf(schema: unknown): ZodDefinition | undefined {
  if (typeof schema !== 'object' || schema === null || !('_zod' in schema)) return undefined
  const inner = schema._zod
  if (typeof inner !== 'object' || inner === null || !('def' in inner)) return undefined
  const definition = inner.def
  if (typeof definition !== 'object' || definition === null || !('type' in definition)) return undefined
  return typeof definition.type === 'string' ? (definition as ZodDefinition) : undefined
}

const printDepthMax = 32

/**
 * Prints type names, field names, literals and checks with their bounds. Of functions only the presence counts, not the
 * text.
 */
function printDefinition(part: unknown, depth: number): string {
  if (depth > printDepthMax) return '…'
  const definition = definitionOf(part)
  if (definition !== undefined) return printDefinition(definition, depth + 1)
  if (typeof part === 'function') return 'function'
  if (typeof part === 'bigint') return `${part}n`
  if (part instanceof RegExp) return String(part)
  if (Array.isArray(part)) return `[${part.map((item) => printDefinition(item, depth + 1)).join()}]`
  if (part instanceof Map || part instanceof Set) return printDefinition([...part], depth + 1)
  if (typeof part === 'object' && part !== null) {
    const fields = Object.keys(part)
      .sort()
      .map((name) => `${name}:${printDefinition(Reflect.get(part, name), depth + 1)}`)
    return `{${fields.join()}}`
  }
  return part === undefined ? 'undefined' : JSON.stringify(part)
}

/** One shape of a stored value, and how to convert it to the next one. */
export interface SchemaVersion {
  readonly schema: Schema
  /** Converts a value to the next version; absent in the newest. */
  readonly upgrade?: (old: unknown) => unknown
}

/** A schema with its earlier versions. */
export interface VersionedSchema<In, Out> extends Schema<In, Out> {
  readonly '~versions': readonly SchemaVersion[]
}

/**
 * The schema `newest` for a store whose values had the schema `older` before. Stored values carry the number of their
 * version, and old values are upgraded when read. Calls nest: `versions(versions(v1, v2, up1), v3, up2)`.
 * @example
 * versions(z.object({ pages: z.number() }), z.object({ pages: z.number(), entry: z.string() }), (old) => ({
 *   ...old,
 *   entry: '',
 * }))
 */
export function versions<Older extends Schema, Newest extends Schema>(
  older: Older,
  newest: Newest,
  upgrade: (old: OutputOf<Older>) => InputOf<Newest>,
): VersionedSchema<InputOf<Newest>, OutputOf<Newest>> {
  const before = versionsOf(older)
  const last = before[before.length - 1]
  if (versionsOf(newest).length !== 1 || last === undefined) {
    throw new CodecError('INVALID_DECLARATION', 'versions(older, newest, upgrade): nest the older side, not the newest')
  }
  const step: SchemaVersion = { schema: last.schema, upgrade: upgrade as (old: unknown) => unknown }
  const all: readonly SchemaVersion[] = Object.freeze([...before.slice(0, -1), step, { schema: newest }])
  const standard = newest['~standard'] as VersionedSchema<InputOf<Newest>, OutputOf<Newest>>['~standard']
  return Object.freeze({ '~standard': standard, '~versions': all })
}

/** The versions of a schema, oldest first; one for a plain schema. */
export function versionsOf(schema: Schema): readonly SchemaVersion[] {
  return '~versions' in schema ? (schema as VersionedSchema<unknown, unknown>)['~versions'] : [{ schema }]
}
