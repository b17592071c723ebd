import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ByteWriter } from '../../src/base/bytes.ts'
import type { Codec } from '../../src/codec/codec.ts'
import { keyDeclaration } from '../../src/codec/key-choice.ts'
import { bytesKey } from '../../src/codec/key-codecs.ts'
import { checkRestorable } from '../../src/codec/restorable.ts'
import type { Schema } from '../../src/codec/schema.ts'
import { schemaFingerprint, validatorOf, versions } from '../../src/codec/schema.ts'
import { storedCodec } from '../../src/codec/stored-codec.ts'
import { msgpack } from '../../src/codec/value-codecs.ts'

function encode<T>(codec: Codec<T>, value: T): Buffer {
  const writer = new ByteWriter()
  codec.write(value, writer)
  return writer.toBytes()
}
const foreign = (validate: (value: unknown) => unknown): Schema =>
  ({ '~standard': { version: 1, vendor: 'other', validate } }) as unknown as Schema

describe('validation', () => {
  test('returns the value with defaults, or throws naming field and value', () => {
    const check = validatorOf(
      z.object({ user: z.object({ age: z.number() }), region: z.string().default('eu') }),
      'value of topic t',
    )
    expect(check({ user: { age: 3 } })).toEqual({ user: { age: 3 }, region: 'eu' })
    expect(() => check({ user: { age: 'three' } })).toThrow(
      /INVALID_RECORD: the value of topic t does not fit its schema: field "user\.age": .*\(it is "three"\)/,
    )
    expect(() => check(7)).toThrow(/\(it is 7\)/)
  })

  test('refuses a schema that returns a Promise as ASYNC_SCHEMA, without an unhandled rejection', () => {
    const check = validatorOf(
      foreign(() => Promise.reject(new Error('later'))),
      'value of topic t',
    )
    expect(() => check(1)).toThrow(/ASYNC_SCHEMA.*value of topic t/)
    const refined = validatorOf(
      z.string().refine(async () => true),
      'value of topic t',
    )
    expect(() => refined('x')).toThrow(/ASYNC_SCHEMA/)
  })
})

describe('the codec of a declared key', () => {
  test('is raw UTF-8 for a schema that accepts only strings', () => {
    for (const schema of [
      z.string(),
      z.string().min(3),
      z.email(),
      z.iso.date(),
      z.enum(['a', 'b']),
      z.literal(['a', 'b']),
      z.string().brand('Id'),
      z.string().nullable(),
      z.union([z.literal('a'), z.email()]),
      z.lazy(() => z.string()),
      z.templateLiteral(['id-', z.number()]),
    ]) {
      expect(keyDeclaration(schema, 'key').codec.id).toBe('string')
    }
  })

  test('is the tagged codec for numbers, tuples, objects and unions', () => {
    for (const schema of [
      z.number(),
      z.int(),
      z.bigint(),
      z.boolean(),
      z.tuple([z.string(), z.number()]),
      z.object({ path: z.string(), status: z.number() }),
      z.union([z.string(), z.number()]),
      z.literal([1, 'a']),
    ]) {
      expect(keyDeclaration(schema, 'key').codec.id).toBe('tagged')
    }
  })

  test('must be given when the schema does not determine it', () => {
    for (const schema of [
      z.date(),
      z.map(z.string(), z.string()),
      z.instanceof(Uint8Array),
      foreign(() => ({ value: 1 })),
    ]) {
      expect(() => keyDeclaration(schema, 'key of topic t')).toThrow(/INVALID_DECLARATION: key of topic t.*codec/)
    }
    expect(keyDeclaration(bytesKey, 'key').codec).toBe(bytesKey)
    expect(() => keyDeclaration(msgpack, 'key')).toThrow(/cannot be a codec for keys/)
  })

  test('comes without validation where it already guarantees the type', () => {
    expect(keyDeclaration(z.string(), 'key').validate).toBeUndefined()
    expect(keyDeclaration(z.string().min(3), 'key').validate).toBeDefined()
    expect(keyDeclaration(z.email(), 'key').validate).toBeDefined()
    expect(keyDeclaration(z.number(), 'key').validate).toBeDefined()
    expect(keyDeclaration(z.string(), 'key').allowsNull).toBe(false)
    expect(keyDeclaration(z.string().nullable(), 'key').allowsNull).toBe(true)
  })
})

describe('stored values', () => {
  const first = z.object({ pages: z.number() })
  const second = z.object({ pages: z.number(), entry: z.string() })
  const third = z.object({ views: z.number(), entry: z.string() })
  const both = versions(first, second, (old) => ({ ...old, entry: '/' }))
  const all = versions(both, third, ({ pages, entry }) => ({ views: pages, entry }))

  test('carry the version of their schema and are upgraded one version at a time', () => {
    const old = encode(storedCodec(first), { pages: 3 })
    expect(old[0]).toBe(1)
    expect(storedCodec(both).read(old, 0, old.length)).toEqual({ pages: 3, entry: '/' })
    expect(storedCodec(all).read(old, 0, old.length)).toEqual({ views: 3, entry: '/' })
    const newest = encode(storedCodec(all), { views: 1, entry: '/a' })
    expect(newest[0]).toBe(3)
    expect(storedCodec(all).read(newest, 0, newest.length)).toEqual({ views: 1, entry: '/a' })
  })

  test('of a newer version, and upgrades with an invalid result, are refused', () => {
    const newest = encode(storedCodec(all), { views: 1, entry: '/a' })
    expect(() => storedCodec(first).read(newest, 0, newest.length)).toThrow(
      /UNKNOWN_VERSION.*version 3.*newest known is 1/,
    )
    const old = encode(storedCodec(first), { pages: 3 })
    const wrong = versions(first, second, () => ({ pages: 1 }) as never)
    expect(() => storedCodec(wrong).read(old, 0, old.length)).toThrow(/INVALID_RECORD.*entry/)
  })

  test('have schema fingerprints that differ exactly when their schemas do', () => {
    expect(schemaFingerprint(first)).toMatch(/^[0-9a-f]{16}$/)
    expect(schemaFingerprint(z.object({ pages: z.number() }))).toBe(schemaFingerprint(first))
    const others = [second, both, all, z.object({ pages: z.string() }), z.object({ pages: z.number().optional() })]
    expect(new Set([first, ...others].map(schemaFingerprint)).size).toBe(6)
  })
})

describe('a schema of values with a Set or a Map', () => {
  interface Page {
    readonly links: readonly Page[]
  }
  const page: z.ZodType<Page> = z.object({
    get links() {
      return z.array(page)
    },
  })
  const refusal = (schema: Schema): string => {
    try {
      checkRestorable(schema, 'value of store visits')
    } catch (error) {
      return String(error)
    }
    return 'none'
  }

  test('is refused, because the value would be read back as an array or an object', () => {
    expect(refusal(z.set(z.string()))).toMatch(
      /INVALID_DECLARATION: value of store visits: the schema is a Set, which is read back as an array: use z\.array/,
    )
    expect(refusal(z.map(z.string(), z.number()))).toMatch(/a Map, which is read back as an object: use z\.record/)
  })

  test.for<[string, Schema]>([
    ['pages.visitors', z.object({ pages: z.object({ visitors: z.set(z.string()).optional() }) })],
    ['[]', z.array(z.set(z.string()))],
    ['[]', z.tuple([z.string(), z.set(z.string())])],
    ['[]', z.tuple([z.string()], z.set(z.string()))],
    ['[].a', z.record(z.string(), z.object({ a: z.set(z.string()) }))],
    ['a', z.union([z.string(), z.object({ a: z.set(z.string()).nullable() })])],
    ['a', z.object({ b: z.string() }).and(z.object({ a: z.set(z.string()).default(new Set()) }))],
    ['a', versions(z.string(), z.object({ a: z.set(z.string()).readonly() }), () => ({ a: new Set<string>() }))],
  ])('is refused with the path %s', ([path, schema]) => {
    expect(refusal(schema)).toContain(`has, at "${path}", a Set`)
  })

  test('is not looked for behind a transform, in other libraries, or where a schema contains itself again', () => {
    const asSet = z.preprocess((value) => new Set(value as string[]), z.set(z.string()))
    for (const schema of [asSet, foreign(() => new Set()), page, z.object({ a: z.date(), b: z.bigint() })])
      expect(refusal(schema)).toBe('none')
  })
})
