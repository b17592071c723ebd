import { expect, test } from 'vitest'
import { z } from 'zod'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import type { StreamJoined } from '../../src/dsl/options.ts'
import { TopologyTestDriver } from '../../src/testing/topology-test-driver.ts'
import { storeIdentity } from '../../src/streams/store/store-identity.ts'

const left = topic('left', { key: stringKey, value: z.string() })
const right = topic('right', { key: stringKey, value: z.string() })
const pairs = topic('joined', { key: stringKey, value: z.string() })

function joined(options: Omit<StreamJoined, 'name'>): () => void {
  return () => {
    const builder = new StreamsBuilder()
    builder.stream(left).join(builder.stream(right), (a, b) => a + b, { name: 'pairs', ...options })
  }
}

test('a join declares how far apart its records may be', () => {
  expect(joined({})).toThrow(/CONFIG_INVALID.*pairs.*within.*before, after/)
  expect(joined({ within: '1m', after: '1m' })).toThrow(/CONFIG_INVALID.*either within/)
  expect(joined({ within: '1m' })).not.toThrow()
  expect(joined({ after: '1m' })).not.toThrow()
  expect(joined({ before: '-5s', after: '20s' })).not.toThrow()
})

test('a window that ends before it begins is refused at the call', () => {
  expect(joined({ before: '-20s', after: 10_000 })).toThrow(/CONFIG_INVALID.*-20000 ms and after 10000 ms.*at least 0/)
  expect(joined({ before: -20, after: 20 })).not.toThrow()
})

test('a negative grace, a negative within and lengths that overflow are refused at the call', () => {
  expect(joined({ within: '1m', grace: -1 })).toThrow(/CONFIG_INVALID.*grace of join pairs is -1/)
  expect(joined({ within: -1 })).toThrow(/CONFIG_INVALID.*within of join pairs is -1/)
  expect(joined({ within: 1, grace: Number.MAX_SAFE_INTEGER })).toThrow(
    /CONFIG_INVALID.*exceed what a timestamp can hold/,
  )
  expect(joined({ after: Number.MAX_SAFE_INTEGER })).toThrow(/CONFIG_INVALID.*exceed what a timestamp can hold/)
  expect(joined({ before: '1 minute' })).toThrow(/CONFIG_INVALID.*before of join pairs is "1 minute"/)
})

test.each([
  { before: 0, after: 10 },
  { before: 10, after: 0 },
  { before: 0, after: 0, grace: 10 },
  { before: -5, after: 10 },
  { before: 10, after: -5 },
  { before: 10, after: 10 },
])(
  'in-order records are joined at the far end of a window, wherever other keys have advanced time: %j',
  async (window) => {
    const [first, second] = window.after > 0 ? [left, right] : [right, left]
    const apart = Math.max(window.before, window.after)
    const builder = new StreamsBuilder()
    builder
      .stream(left)
      .join(builder.stream(right), (a, b) => a + b, { name: 'pairs', ...window })
      .to(pairs)
    const driver = await TopologyTestDriver.open(builder.build())
    await driver.input(first).pipe({ key: 'k', value: 'x', timestamp: 100 })
    await driver.input(first).pipe({ key: 'other', value: '', timestamp: 100 + apart - 1 })
    await driver.input(first).pipe({ key: 'other', value: '', timestamp: 100 + apart })
    await driver.input(second).pipe({ key: 'k', value: 'x', timestamp: 100 + apart })

    expect(await driver.output(pairs).readAll()).toMatchObject([{ key: 'k', value: 'xx', timestamp: 100 + apart }])
    await driver.close()
  },
)

test('a row without a partner whose joiner fails is dropped once, and later records are joined', async () => {
  const builder = new StreamsBuilder()
  const joiner = (a: string, b: string | null): string => {
    if (a === 'bad') throw new Error('cannot be joined')
    return `${a}${b}`
  }
  builder.stream(left).leftJoin(builder.stream(right), joiner, { name: 'pairs', within: 5 }).to(pairs)
  const driver = await TopologyTestDriver.open(builder.build(), { config: { onProcessingError: 'continue' } })
  await driver.input(left).pipe({ key: 'a', value: 'bad', timestamp: 0 })
  await driver.input(left).pipe({ key: 'b', value: 'x', timestamp: 20 })
  await driver.input(left).pipe({ key: 'c', value: 'y', timestamp: 21 })
  await driver.input(right).pipe({ key: 'c', value: 'z', timestamp: 22 })

  expect(await driver.output(pairs).readAll()).toMatchObject([{ key: 'c', value: 'yz' }])
  expect(driver.metrics().dropped).toBe(1)
  await driver.close()
})

test('topics of different partition counts or key codecs cannot be joined', () => {
  const build = (a: Parameters<StreamsBuilder['stream']>[0], b: Parameters<StreamsBuilder['stream']>[0]) => () => {
    const builder = new StreamsBuilder()
    builder
      .stream(a)
      .join(builder.stream(b), () => 1, { name: 'pairs', within: '1m' })
      .foreach(() => {})
    builder.build()
  }
  const four = topic('four', { key: stringKey, value: z.string(), partitions: 4 })
  const two = topic('two', { key: stringKey, value: z.string(), partitions: 2 })
  const tagged = topic('tagged', { key: z.tuple([z.string()]), value: z.string(), partitions: 4 })

  expect(build(four, two)).toThrow(/NOT_COPARTITIONED.*four has 4 partitions and two has 2.*repartition\(\)/)
  expect(build(four, tagged)).toThrow(/NOT_COPARTITIONED.*keys of four.*tagged.*repartition\(\)/)
})

test('a topic that the program writes with a partitioner of its own cannot be joined', () => {
  const builder = new StreamsBuilder()
  const own = topic('own', { key: stringKey, value: z.string(), partitions: 4 })
  const plain = topic('plain', { key: stringKey, value: z.string(), partitions: 4 })
  builder.stream(left).to(own, { partitioner: () => 0 })
  builder
    .stream(own)
    .join(builder.stream(plain), (a, b) => a + b, { name: 'pairs', within: '1m' })
    .foreach(() => {})

  expect(() => builder.build()).toThrow(/NOT_COPARTITIONED.*own.*partitioner.*own.*plain/)
})

test('a side whose key has changed takes the key codec of the other side', () => {
  const builder = new StreamsBuilder()
  builder
    .stream(left)
    .selectKey((value) => value)
    .join(builder.stream(right), (a, b) => a + b, { name: 'pairs', within: '1m' })
    .foreach(() => {})
  const topology = builder.build()

  expect(topology.internalTopics.find(({ name }) => name === 'pairs-left-repartition')?.config.keyCodec).toBe(
    stringKey.id,
  )
})

test("changelogs of join rows are purged by their own side's clock; that of unmatched rows is compacted", () => {
  const builder = new StreamsBuilder()
  const options = { name: 'pairs', before: '1s', after: '5s', grace: '4s' }
  builder
    .stream(left)
    .outerJoin(builder.stream(right), (a, b) => `${a}${b}`, options)
    .foreach(() => {})
  const changelogs = builder.build().internalTopics

  const rows = (store: string): object => ({
    name: `${store}-changelog`,
    config: { cleanupPolicy: 'delete', windowRetentionMs: 10_000, storeClock: `store ${store}` },
  })
  expect(changelogs).toMatchObject([
    rows('pairs-outer-this-join-store'),
    rows('pairs-outer-other-join-store'),
    { name: 'pairs-outer-shared-join-store-changelog', config: { cleanupPolicy: 'compact' } },
  ])
})

test('streams of two builders cannot be joined', () => {
  const other = new StreamsBuilder().stream(right)
  expect(() => new StreamsBuilder().stream(left).join(other, () => 1, { name: 'pairs', within: 1 })).toThrow(
    /TOPOLOGY_INVALID.*different builders/,
  )
})

test('another window of a join changes the identity of its stores', () => {
  const identity = (within: string): readonly string[] => {
    const builder = new StreamsBuilder()
    builder
      .stream(left)
      .join(builder.stream(right), (a, b) => a + b, { name: 'pairs', within })
      .foreach(() => {})
    return builder.build().subTopologies.flatMap((part) => part.stores.map((store) => storeIdentity(store)))
  }

  expect(identity('1m')).toEqual(identity('60s'))
  expect(identity('1m')).not.toEqual(identity('2m'))
})
