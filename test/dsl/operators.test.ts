import { describe, expect, test } from 'vitest'
import { readsOf } from '../../src/dsl/callback-parameters.ts'
import { filterSupplier } from '../../src/dsl/operators/filter.ts'
import { flatMapSupplier } from '../../src/dsl/operators/flat-map.ts'
import { flatMapValuesSupplier } from '../../src/dsl/operators/flat-map-values.ts'
import { mapSupplier } from '../../src/dsl/operators/map.ts'
import { mapValuesSupplier } from '../../src/dsl/operators/map-values.ts'
import { printSupplier } from '../../src/dsl/operators/print.ts'
import type { RecordProcessor, ValueContext, ValueProcessor } from '../../src/dsl/operators/process.ts'
import { processSupplier, processValuesSupplier } from '../../src/dsl/operators/process.ts'
import { selectKeySupplier } from '../../src/dsl/operators/select-key.ts'
import { toStreamSupplier } from '../../src/dsl/operators/to-stream.ts'
import type { Header, Processor } from '../../src/streams/processor/processor.ts'

/** Runs one processor on records and returns what it forwards, with the headers. */
function piped(
  supplier: () => Processor,
  records: readonly (readonly [unknown, unknown])[],
): readonly (readonly unknown[])[] {
  const forwarded: (readonly unknown[])[] = []
  const context = {
    headers: [] as readonly Header[],
    forward(key: unknown, value: unknown, timestamp: number): void {
      forwarded.push(context.headers.length === 0 ? [key, value, timestamp] : [key, value, timestamp, context.headers])
    },
  }
  const processor = supplier()
  processor.init?.(context as never)
  for (const [index, [key, value]] of records.entries()) processor.process(key, value, index)
  return forwarded
}

describe('stateless operators', () => {
  const records = [
    ['a', 1],
    [null, 2],
    ['c', null],
  ] as const

  test('process null keys and null values like any other, and keep the timestamps', () => {
    expect(
      piped(
        filterSupplier((value) => value !== 1, true),
        records,
      ),
    ).toEqual([
      [null, 2, 1],
      ['c', null, 2],
    ])
    expect(
      piped(
        filterSupplier((value) => value !== 1, false),
        records,
      ),
    ).toEqual([['a', 1, 0]])
    expect(
      piped(
        mapSupplier('m', (value, key) => [value, key]),
        records,
      ),
    ).toEqual([
      [1, 'a', 0],
      [2, null, 1],
      [null, 'c', 2],
    ])
    expect(
      piped(
        mapValuesSupplier('m', () => null),
        records,
      ).map(([, value]) => value),
    ).toEqual([null, null, null])
    expect(
      piped(
        selectKeySupplier('s', (value) => value),
        records,
      ).map(([key]) => key),
    ).toEqual([1, 2, null])
    expect(
      piped(
        flatMapValuesSupplier('f', (value) => (value === null ? [] : [value, value])),
        records,
      ),
    ).toHaveLength(4)
    expect(piped(toStreamSupplier(), [['k', { newValue: 2, oldValue: 1 }]])).toEqual([['k', 2, 0]])
  })

  test('fail with UNDEFINED_RESULT, naming the operator, if a callback returns undefined', () => {
    const undefined_ = (): never => undefined as never
    for (const supplier of [
      mapSupplier('it', undefined_),
      mapSupplier('it', () => ['k', undefined]),
      mapValuesSupplier('it', undefined_),
      selectKeySupplier('it', undefined_),
      flatMapSupplier('it', undefined_),
      flatMapSupplier('it', () => [['k', undefined]]),
      flatMapValuesSupplier('it', undefined_),
      flatMapValuesSupplier('it', () => [undefined]),
    ]) {
      expect(() => piped(supplier, [['a', 1]])).toThrow(/UNDEFINED_RESULT: .* of it returned undefined/)
    }
  })

  test('print a label, the key and the value with print()', () => {
    const lines: string[] = []
    piped(
      printSupplier('counts', (line) => lines.push(line)),
      [
        ['a', { n: 1 }],
        [null, 'x'],
      ],
    )
    expect(lines).toEqual(['[counts]: a, {"n":1}', '[counts]: null, x'])
  })
})

describe('user-defined processors', () => {
  test('headers given to forward() apply to that record only', () => {
    const header = { key: 'h', value: null }
    class Twice implements RecordProcessor<unknown, unknown, unknown, unknown> {
      #forward!: (record: { key: unknown; value: unknown; timestamp: number; headers?: readonly Header[] }) => void
      init(context: { forward: (record: { key: unknown; value: unknown; timestamp: number }) => void }): void {
        this.#forward = (record) => context.forward(record)
      }
      process(record: { key: unknown; value: unknown; timestamp: number }): void {
        this.#forward({ ...record, headers: [header] })
        this.#forward({ key: record.key, value: 'plain', timestamp: record.timestamp + 5 })
      }
    }
    expect(
      piped(
        processSupplier('p', () => new Twice()),
        [['a', 1]],
      ),
    ).toEqual([
      ['a', 1, 0, [header]],
      ['a', 'plain', 5],
    ])
  })

  test('a value processor forwards under the current key, and cannot forward outside process()', () => {
    let context: ValueContext<unknown> | undefined
    const supplier = (): ValueProcessor<unknown, unknown, unknown> => ({
      init: (given) => void (context = given),
      process: (record) => context?.forward([record.value]),
    })
    expect(piped(processValuesSupplier('p', supplier), [['a', 1]])).toEqual([['a', [1], 0]])
    expect(() => context?.forward(1)).toThrow(/p forwards a value outside process/)
  })

  test('a value processor can set timestamp and headers, and an invalid timestamp is refused', () => {
    const header = { key: 'h', value: new Uint8Array([1]) }
    const supplier = (): ValueProcessor<unknown, unknown, unknown> => {
      let context: ValueContext<unknown> | undefined
      return {
        init: (given) => void (context = given),
        process: (record) => {
          context?.forward(record.value, { timestamp: 7 })
          context?.forward(record.value, { headers: [header] })
          context?.forward(record.value)
        },
      }
    }
    expect(piped(processValuesSupplier('p', supplier), [['a', 1]])).toEqual([
      ['a', 1, 7],
      ['a', 1, 0, [header]],
      ['a', 1, 0],
    ])
    const wrong = (): ValueProcessor<unknown, unknown, unknown> => {
      let context: ValueContext<unknown> | undefined
      return {
        init: (given) => void (context = given),
        process: (record) => context?.forward(record.value, { timestamp: -1 }),
      }
    }
    expect(() => piped(processValuesSupplier('p', wrong), [['a', 1]])).toThrow(/p forwards a record with timestamp -1/)
  })
})

test('a callback is taken to read only the parameters it names, and key and value if in doubt', () => {
  const both = { readsValue: true, readsKey: true }
  expect(readsOf('map', (value: never) => value)).toEqual({ readsValue: true, readsKey: false })
  expect(readsOf('map', () => 1)).toEqual({ readsValue: false, readsKey: false })
  expect(readsOf('map', (_: never, key: never) => key)).toEqual(both)
  expect(readsOf('map', (...all: never[]) => all)).toEqual(both)
  expect(readsOf('map', (value: never, ...rest: never[]) => [value, rest])).toEqual(both)
  expect(readsOf('map', (value: never, key: number = 1) => [value, key])).toEqual(both)
  expect(
    readsOf('map', function (this: unknown, value: never) {
      return [value, arguments[1]]
    }),
  ).toEqual(both)
  expect(readsOf('map', String.prototype.concat.bind('x') as (value: never) => unknown)).toEqual(both)
  const methods = {
    one(this: void, value: { a: number }) {
      return value.a === 1
    },
    two(this: void, value: number, key = 2) {
      return value + key
    },
  }
  const { one, two } = methods
  expect(readsOf('map', one)).toEqual({ readsValue: true, readsKey: false })
  expect(readsOf('map', two)).toEqual(both)
})

test('a parameter after a destructured one is found, in functions, generators and methods too', () => {
  const both = { readsValue: true, readsKey: true }
  interface Value {
    readonly a: number
  }
  const { withDefault } = {
    withDefault(this: void, { a }: Value, key = 2) {
      return a + key
    },
  }

  expect(readsOf('map', withDefault)).toEqual(both)
  expect(
    readsOf('map', function ({ a }: Value, key = 2) {
      return a + key
    }),
  ).toEqual(both)
  expect(
    readsOf('map', function ({ a }: Value, ...rest: never[]) {
      return [a, rest]
    }),
  ).toEqual(both)
  expect(
    readsOf('flatMapValues', function* ({ a }: Value, key = 2) {
      yield a + key
    }),
  ).toEqual(both)
  expect(readsOf('map', ({ a }: Value) => a)).toEqual({ readsValue: true, readsKey: false })
})
