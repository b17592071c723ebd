import { CodecError } from './codec-error.ts'
import type { KeyCodec } from './codec.ts'
import { stringKey, taggedKey } from './key-codecs.ts'
import type { Declared, ZodDefinition } from './schema.ts'
import { checkDeclared, definitionOf, isCodec, validatorOf } from './schema.ts'

/** How the keys of a topic, grouping or store are written, and how they are checked. */
export interface KeyDeclaration {
  readonly codec: KeyCodec<unknown>
  /** Absent if the codec alone guarantees the type. */
  readonly validate?: (key: unknown) => unknown
  /** Whether null keys are valid: the schema is nullable, or a codec was given, in which case nothing is checked. */
  readonly allowsNull: boolean
}

/**
 * Chooses the codec of a declared key. A codec is used as it is. For a zod schema the choice is based on its
 * definition, never on values, so that it cannot depend on data:
 *
 * - schemas of strings only (`z.string()` with any checks and formats, enums, string literals, template literals): raw
 *   UTF-8, as other Kafka clients write it
 * - numbers, bigints, booleans, tuples, arrays, plain objects, unions of these or with strings: the tagged codec
 * - `nullable`, `optional`, `default`, `readonly`, `brand`, `lazy`, `catch`, `pipe` (its output side): the choice for
 *   the inner schema
 *
 * Everything else (dates, maps, custom checks, and other libraries, whose schemas do not describe their values) is an
 * error that asks for a codec. msgpack never encodes a key, because it is not canonical.
 */
export function keyDeclaration(declared: Declared, what: string): KeyDeclaration {
  checkDeclared(declared, what)
  if (isCodec(declared)) return { codec: asKeyCodec(declared, what), allowsNull: true }
  const definition = definitionOf(declared)
  if (definition === undefined) {
    throw new CodecError(
      'INVALID_DECLARATION',
      `${what}: a schema of ${declared['~standard'].vendor} does not describe its values; give a codec: stringKey, taggedKey, bytesKey or your own`,
    )
  }
  const kind = kindOf(definition, what, 0)
  const codec = kind.onlyStrings ? stringKey : taggedKey
  if (isBareString(definition)) return { codec, allowsNull: false }
  return { codec, validate: validatorOf(declared, what), allowsNull: kind.nullable }
}

function asKeyCodec(codec: object, what: string): KeyCodec<unknown> {
  if ('identity' in codec) return codec as KeyCodec<unknown>
  const id = 'id' in codec ? String(codec.id) : '?'
  throw new CodecError(
    'INVALID_DECLARATION',
    `${what}: the codec "${id}" has no identity(), so it cannot be a codec for keys`,
  )
}

interface KeyKind {
  readonly onlyStrings: boolean
  readonly nullable: boolean
}

const strings: KeyKind = { onlyStrings: true, nullable: false }
const tagged: KeyKind = { onlyStrings: false, nullable: false }
const depthMax = 16

function kindOf(definition: ZodDefinition | undefined, what: string, depth: number): KeyKind {
  const inner = (part: unknown): KeyKind => kindOf(definitionOf(part), what, depth + 1)
  if (definition === undefined || depth > depthMax) throw unsuitable('a schema of another library', what)
  switch (definition.type) {
    case 'string':
    case 'template_literal':
      return strings
    case 'enum':
      return Object.values(definition['entries'] as object).every(isString) ? strings : tagged
    case 'literal': {
      const values = definition['values'] as readonly unknown[]
      return { onlyStrings: values.every(isString), nullable: values.includes(null) }
    }
    case 'number':
    case 'int':
    case 'bigint':
    case 'boolean':
      return tagged
    case 'tuple':
      for (const item of definition['items'] as readonly unknown[]) inner(item)
      return tagged
    case 'array':
      inner(definition['element'])
      return tagged
    case 'object':
      for (const field of Object.values(definition['shape'] as object)) inner(field)
      return tagged
    case 'union': {
      const kinds = (definition['options'] as readonly unknown[]).map(inner)
      return { onlyStrings: kinds.every((kind) => kind.onlyStrings), nullable: kinds.some((kind) => kind.nullable) }
    }
    case 'nullable':
      return { ...inner(definition['innerType']), nullable: true }
    case 'null':
      return { onlyStrings: false, nullable: true }
    case 'optional':
    case 'nonoptional':
    case 'default':
    case 'prefault':
    case 'readonly':
    case 'catch':
      return inner(definition['innerType'])
    case 'lazy':
      return inner((definition['getter'] as () => unknown)())
    case 'pipe':
      return inner(definition['out'])
    default:
      throw unsuitable(`z.${definition.type}()`, what)
  }
}

function isString(value: unknown): value is string {
  return typeof value === 'string'
}

/** Whether it is `z.string()` without checks: reading UTF-8 yields a string, so there is nothing to check. */
function isBareString(definition: ZodDefinition): boolean {
  const checks = definition['checks']
  return (
    definition.type === 'string' &&
    definition['check'] === undefined &&
    definition['format'] === undefined &&
    definition['coerce'] !== true &&
    (!Array.isArray(checks) || checks.length === 0)
  )
}

function unsuitable(schema: string, what: string): CodecError {
  return new CodecError(
    'INVALID_DECLARATION',
    `${what}: ${schema} has no canonical bytes; use strings, numbers, bigints, booleans, tuples or plain objects of these, or give a codec`,
  )
}
