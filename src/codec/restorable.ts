import { CodecError } from './codec-error.ts'
import type { Schema, ZodDefinition } from './schema.ts'
import { definitionOf, versionsOf } from './schema.ts'

/**
 * Throws INVALID_DECLARATION if a zod schema has a Set or a Map somewhere in its values. msgpack and JSON bring them back
 * as arrays and objects, so the program would work until it reads its first value back, for example after a restart.
 *
 * It looks only where a definition says what its values are: not behind transforms, pipes and `lazy`, nor into
 * schemas of other libraries.
 */
export function checkRestorable(schema: Schema, what: string): void {
  const newest = versionsOf(schema).at(-1)?.schema
  const found = lostTypeIn(newest, [], new Set())
  if (found === null) return
  const { type, path } = found
  const place = path.length === 0 ? 'is' : `has, at ${JSON.stringify(path.join('.'))},`
  const [name, becomes, instead] =
    type === 'set' ? ['Set', 'an array', 'z.array(...)'] : ['Map', 'an object', 'z.record(...)']
  throw new CodecError(
    'INVALID_DECLARATION',
    `${what}: the schema ${place} a ${name}, which is read back as ${becomes}: use ${instead}, or give a codec that keeps it`,
    { path: path.join('.') },
  )
}

interface LostType {
  readonly type: 'set' | 'map'
  readonly path: readonly string[]
}

/** `seen`: the schemas looked at, because a schema may contain itself. */
function lostTypeIn(schema: unknown, path: readonly string[], seen: Set<unknown>): LostType | null {
  const definition = definitionOf(schema)
  if (definition === undefined || seen.has(schema) || seen.size > schemasMax) return null
  seen.add(schema)
  const { type } = definition
  if (type === 'set' || type === 'map') return { type, path }
  for (const [name, part] of partsOf(definition)) {
    const found = lostTypeIn(part, name === null ? path : [...path, name], seen)
    if (found !== null) return found
  }
  return null
}

type Part = readonly [name: string | null, schema: unknown]

/** The schemas inside of a definition, with the names of the fields that they describe, if they describe fields. */
function partsOf(definition: ZodDefinition): readonly Part[] {
  const of = (schemas: unknown): Part[] => (Array.isArray(schemas) ? schemas.map((schema) => [null, schema]) : [])
  switch (definition.type) {
    case 'object':
      return Object.entries(definition['shape'] ?? {})
    case 'array':
      return [['[]', definition['element']]]
    case 'record':
      return [['[]', definition['valueType']]]
    case 'tuple':
      return of(definition['items'])
        .concat([[null, definition['rest']]])
        .map(([, schema]) => ['[]', schema])
    case 'union':
      return of(definition['options'])
    case 'intersection':
      return of([definition['left'], definition['right']])
    case 'pipe':
      // What it makes of a value that was read may well be a Set again.
      return []
    default:
      return of([definition['innerType']])
  }
}

/** Getters could go on making new ones for ever. */
const schemasMax = 10_000
