import { afterEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { json } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { BatchCursor } from '../../../src/log/format/record-cursor.ts'
import { ValueReader } from '../../../src/streams/task/value-reader.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'
import { batchOf } from '../../log/format/batch-case.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

function batch(values: readonly (string | null)[]): Uint8Array {
  return batchOf(values.map((value) => ({ key: null, value, timestamp: 0 })))
}

function numbered(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => `{"n":${from + index}}`)
}

/** Reads the value of each record; the text of the error if that fails, null if it is null. */
function readAll(reader: ValueReader, cursor: BatchCursor, isRead: (place: number) => boolean = () => true): unknown[] {
  const found: unknown[] = []
  for (let place = 0; cursor.next(); place++) {
    if (!isRead(place)) continue
    try {
      found.push(cursor.valueStart < 0 ? null : reader.read(cursor))
    } catch (error) {
      found.push(String(error))
    }
  }
  return found
}

describe('a reader of values', () => {
  test('reads most JSON values of a batch together with others, each of them once', () => {
    const parse = vi.spyOn(JSON, 'parse')
    const reader = new ValueReader(json)

    const read = readAll(reader, new BatchCursor([batch(numbered(0, 100))], 0))

    expect(parse.mock.calls.length).toBeLessThan(10)
    expect(read).toEqual(Array.from({ length: 100 }, (_, n) => ({ n })))
  })

  test('gives each record its own value, if others are null or are never read', () => {
    const values = numbered(0, 100).map((value, place) => (place % 7 === 3 ? null : value))
    const parse = vi.spyOn(JSON, 'parse')

    const read = readAll(new ValueReader(json), new BatchCursor([batch(values)], 0), (place) => place % 5 !== 2)

    expect(parse.mock.calls.length).toBeLessThan(10)
    const expected = values.filter((_, place) => place % 5 !== 2)
    expect(read).toEqual(expected.map((value) => (value === null ? null : (JSON.parse(value) as unknown))))
  })

  test('fails for a malformed value at its own record, and reads those around it', () => {
    const values = numbered(0, 100).with(20, '{"n":20').with(50, '{"__proto__":1}').with(99, '{"n":"}')

    const read = readAll(new ValueReader(json), new BatchCursor([batch(values)], 0))

    for (const place of [20, 50, 99]) {
      const bytes = Buffer.from(values[place] ?? '')
      expect(() => json.read(bytes, 0, bytes.length)).toThrow(String(read[place]).replace(/^CodecError: /, ''))
    }
    const whole = read.filter((value) => typeof value !== 'string')
    expect(whole).toEqual(numbered(0, 100).flatMap((value, n) => ([20, 50, 99].includes(n) ? [] : [JSON.parse(value)])))
  })

  test('gives no value of a chunk that was left, even if the next one has its bytes at the same place', () => {
    const reader = new ValueReader(json)
    const bytes = batch(numbered(100, 150))
    const first = new BatchCursor([bytes], 0)
    first.next()
    expect(reader.read(first)).toEqual({ n: 100 })

    bytes.set(batch(numbered(200, 250)))

    const read = readAll(reader, new BatchCursor([bytes], 0), (place) => place > 0)
    expect(read).toEqual(Array.from({ length: 49 }, (_, index) => ({ n: 201 + index })))
  })

  test('reads a value anew if it is read again', () => {
    const reader = new ValueReader(json)
    const cursor = new BatchCursor([batch(numbered(0, 40))], 0)
    cursor.next()
    const once = reader.read(cursor) as { n: number }
    once.n = 7

    expect(reader.read(cursor)).toEqual({ n: 0 })
    expect(readAll(reader, cursor)).toEqual(Array.from({ length: 39 }, (_, index) => ({ n: index + 1 })))
  })

  test('attempts more and more rarely to read values together that cannot be', () => {
    const cursor = new BatchCursor([batch(numbered(0, 5000).map((value) => `{"inner":${value}}`))], 0)
    const attempts = vi.spyOn(cursor, 'valuesAhead')

    readAll(new ValueReader(json), cursor)

    expect(attempts.mock.calls.length).toBeLessThan(10)
  })

  test('keeps no large values', () => {
    const large = numbered(0, 8).map((value) => `{"text":"${'x'.repeat(10_000)}","of":${value.slice(1, -1).slice(4)}}`)
    const parse = vi.spyOn(JSON, 'parse')
    const cursor = new BatchCursor([batch(large)], 0)
    cursor.next()

    new ValueReader(json).read(cursor)

    expect(parse.mock.calls.map(([text]) => text)).toEqual(large.slice(0, 1))
  })
})

test('a schema sees a value when it is its record’s turn, and only after the records before it were processed', async () => {
  const seen: string[] = []
  const schema = z.custom<{ n: number }>((value) => {
    seen.push(`check ${JSON.stringify(value)}`)
    return true
  })
  const builder = new StreamsBuilder()
  builder
    .stream(topic('in', { key: stringKey, value: schema, format: 'json' }), { onInvalid: 'skip' })
    .foreach((value) => seen.push(`process ${JSON.stringify(value)}`))
  const app = await StreamsHarness.open(builder.build(), { in: 1 })
  const values = numbered(0, 40).with(30, 'none')
  await app.send(
    'in',
    values.map((value) => ['k', value, 1]),
  )

  await app.start()
  await app.settle()

  expect(seen).toEqual(values.flatMap((value) => (value === 'none' ? [] : [`check ${value}`, `process ${value}`])))
  await app.close()
})
