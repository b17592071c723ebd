import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { TopicPartitioner } from '../../src/codec/partitioner.ts'
import { topic } from '../../src/codec/topic.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { openLog } from '../../src/log/open-log.ts'
import { planApplication, type ApplicationPlan } from '../../src/streams/runtime/application-plan.ts'
import { topologyToJson } from '../../src/streams/topology/describe.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { MemoryDisk } from '../../src/testing/memory-disk.ts'
import { TopologyTestDriver } from '../../src/testing/topology-test-driver.ts'

const byLength: TopicPartitioner<string, unknown> = {
  id: 'by-length',
  partition: (key, _value, partitions) => key.length % partitions,
}
const byFirst: TopicPartitioner<string, unknown> = {
  id: 'by-first',
  partition: (key, _value, partitions) => key.charCodeAt(0) % partitions,
}
const text = { key: z.string(), value: z.string(), partitions: 4 }
const plain = topic('plain', text)
const long = topic('long', { ...text, partitioner: byLength })
const alsoLong = topic('also-long', { ...text, partitioner: { ...byLength } })
const first = topic('first', { ...text, partitioner: byFirst })
type Words = typeof plain

describe('a join of topics with different partitioners is refused', () => {
  const joins: { readonly [kind: string]: (builder: StreamsBuilder, left: Words, right: Words) => unknown } = {
    'a stream and a stream': (builder, left, right) =>
      builder.stream(left).join(builder.stream(right), (a, b) => a + b, { name: 'pairs', within: '1m' }),
    'a stream and a table': (builder, left, right) =>
      builder.stream(left).joinTable(builder.table(right), (a, b) => a + b),
    'a table and a table': (builder, left, right) => builder.table(left).join(builder.table(right), (a, b) => a + b),
  }
  const built = (kind: string, left: Words, right: Words) => () => {
    const builder = new StreamsBuilder()
    joins[kind]?.(builder, left, right)
    return builder.build()
  }

  test.each(Object.keys(joins))('%s', (kind) => {
    expect(built(kind, long, alsoLong)).not.toThrow()
    expect(built(kind, long, first)).toThrow(
      /NOT_COPARTITIONED: (long is partitioned by "by-length" and first is partitioned by "by-first"|first is .* and long is .*).*repartition\(\{ partitioner \}\)/,
    )
    expect(built(kind, plain, long)).toThrow(/NOT_COPARTITIONED.*murmur2.*repartition\(\) on the stream of long/)
    expect(built(kind, long, plain)).toThrow(
      /long is partitioned by "by-length".*repartition\(\) on the stream of long/,
    )
  })

  test('a topic that two sinks write with different partitioners cannot be joined', () => {
    const builder = new StreamsBuilder()
    const mixed = topic('mixed', text)
    builder.stream(first).to(mixed, { partitioner: byLength })
    builder.stream(alsoLong).to(mixed)
    builder.stream(mixed).joinTable(builder.table(long), (a, b) => a + b)
    expect(() => builder.build()).toThrow(/NOT_COPARTITIONED.*mixed is written with different partitioners/)
  })

  test('a repartition with the partitioner of the other side makes the join possible', () => {
    const builder = new StreamsBuilder()
    builder
      .stream(plain)
      .repartition({ name: 'r', partitioner: byLength })
      .joinTable(builder.table(long), (a, b) => a + b)
    const topology = builder.build()
    expect(topology.internalTopics.find(({ name }) => name === 'r-repartition')?.config.partitioner).toBe('by-length')
  })
})

test('a sink cannot contradict a declared partitioner or choose between topics of different partitioners', () => {
  const to = (act: (builder: StreamsBuilder) => void) => () => {
    const builder = new StreamsBuilder()
    act(builder)
    return builder.build()
  }
  expect(to((builder) => builder.stream(plain).to(long, { partitioner: byLength }))).not.toThrow()
  expect(to((builder) => builder.stream(plain).to(long, { partitioner: byFirst }))).toThrow(
    /TOPOLOGY_INVALID.*long with the partitioner "by-first".*declared with "by-length"/,
  )
  expect(to((builder) => builder.stream(plain).to(long, { partitioner: () => 0 }))).toThrow(
    /long with a partitioner of its own.*declared with "by-length"/,
  )
  expect(to((builder) => builder.stream(plain).to([long, first], { choose: () => 'long' }))).toThrow(
    /chooses between long and first.*"by-length".*"by-first"/,
  )
  expect(to((builder) => builder.stream(plain).to([long, alsoLong], { choose: () => 'long' }))).not.toThrow()
  const none = 'by-length' as unknown as typeof byLength
  expect(to((builder) => builder.stream(plain).to(first, { partitioner: none }))).toThrow(
    /CONFIG_INVALID: to: .*"by-len/,
  )
  expect(to((builder) => builder.stream(plain).repartition({ partitioner: none }))).toThrow(
    /CONFIG_INVALID: repartition/,
  )
})

test("a topic is created with the partitioner id that it declares, or with that of the program's sinks", () => {
  const builder = new StreamsBuilder()
  const out = topic('out', { key: z.string(), value: z.string() })
  builder.stream(plain).to(out, { partitioner: byFirst })
  builder.stream(first).to(long)
  const topology = builder.build()
  const made = new Map(
    [...topology.declaredTopics, ...topology.undeclaredTopics].map((spec) => [spec.name, spec.config]),
  )
  expect(['plain', 'out', 'first', 'long'].map((name) => made.get(name)?.partitioner)).toEqual([
    undefined,
    'by-first',
    'by-first',
    'by-length',
  ])
  const sinks = topologyToJson(topology).subTopologies.flatMap(({ nodes }) =>
    nodes.filter(({ kind }) => kind === 'sink'),
  )
  expect(sinks.map(({ partitioner }) => partitioner)).toEqual(['by-first', 'by-length'])
})

describe('records go to the partition that the partitioner chooses', () => {
  test.each<[string, (builder: StreamsBuilder) => void]>([
    ['of the topic', (builder) => builder.stream(plain).to(long)],
    ['of the sink', (builder) => builder.stream(plain).to(topic('long', text), { partitioner: byLength })],
    [
      'of the sink, a function',
      (b) => b.stream(plain).to(topic('long', text), { partitioner: (key) => key.length % 4 }),
    ],
    [
      'of the topic, for a new key',
      (b) =>
        b
          .stream(plain)
          .map((value, key) => [key, value])
          .to(long),
    ],
  ])('%s', async (_, describe) => {
    const builder = new StreamsBuilder()
    describe(builder)
    const driver = await TopologyTestDriver.open(builder.build(), { partitions: 'declared' })
    const keys = ['a', 'bb', 'ccc', 'dddd', 'ee']
    for (const key of keys) await driver.input(plain).pipe({ key, value: key })
    const records = await driver.output(long).readAll()
    expect(Object.fromEntries(records.map(({ key, partition }) => [key, partition]))).toEqual(
      Object.fromEntries(keys.map((key) => [key, key.length % 4])),
    )
    await driver.close()
  })

  test('of a repartition, so that equal keys of both sides meet', async () => {
    const builder = new StreamsBuilder()
    const out = topic('out', text)
    builder
      .stream(plain)
      .selectKey((value) => value)
      .repartition({ name: 'r', key: z.string(), partitioner: byLength })
      .joinTable(builder.table(long), (value, row) => `${value}/${row}`)
      .to(out)
    const driver = await TopologyTestDriver.open(builder.build(), { partitions: 'declared' })
    const keys = ['a', 'bb', 'ccc', 'dddd', 'another']
    for (const key of keys) await driver.input(long).pipe({ key, value: 'row' })
    for (const value of keys) await driver.input(plain).pipe({ key: 'k', value })
    const rows = await driver.output(out).readAll()
    expect(rows.map(({ value }) => value).sort()).toEqual(keys.map((key) => `${key}/row`).sort())
    await driver.close()
  })

  test.each([1, 4])(
    'a partition that is none of %i stops the application, naming partitioner, topic and value',
    async (count) => {
      const builder = new StreamsBuilder()
      builder.stream(plain).to(topic('out', text), { partitioner: { id: 'wrong', partition: () => 4 } })
      const driver = await TopologyTestDriver.open(builder.build(), { partitions: count })
      await expect(driver.input(plain).pipe({ key: 'a', value: 'a' })).rejects.toThrow(
        new RegExp(
          `plain-\\d offset 0.*partitioner wrong chose 4.*topic out, which has ${count} partitions: return .* 0 to ${count - 1}`,
        ),
      )
      await driver.close()
    },
  )

  test('a partitioner that throws stops the application, naming operator and topic', async () => {
    const builder = new StreamsBuilder()
    const partition = (): number => {
      throw new TypeError('no region')
    }
    builder.stream(plain).to(topic('out', text), { name: 'regions', partitioner: partition })
    const driver = await TopologyTestDriver.open(builder.build())
    await expect(driver.input(plain).pipe({ key: 'a', value: 'a' })).rejects.toThrow(
      /partitioner of regions threw for a record of topic out: TypeError: no region/,
    )
    await driver.close()
  })
})

describe('the partitioners and partition counts that the log has recorded are checked at start', () => {
  /** Plans the programs on one log, one after the other. */
  async function started(...topologies: readonly Topology[]): Promise<ApplicationPlan | undefined> {
    const log = await openLog({ dataDir: '/data', disk: new MemoryDisk(), clock: new ManualClock(0) })
    let plan: ApplicationPlan | undefined
    try {
      for (const [index, topology] of topologies.entries()) plan = await planApplication(`app-${index}`, topology, log)
    } finally {
      await log.close()
    }
    return plan
  }
  const program = (act: (builder: StreamsBuilder) => void): Topology => {
    const builder = new StreamsBuilder()
    act(builder)
    return builder.build()
  }
  const undeclared = topic('long', { key: z.string(), value: z.string() })
  const written = program((builder) => builder.stream(plain).to(long))
  const joined = (left: Words, right: Words): Topology =>
    program((builder) => void builder.stream(left).joinTable(builder.table(right), (a, b) => a + b))

  test('a join with a topic that another application wrote with another partitioner is refused', async () => {
    await expect(started(written, joined(plain, undeclared))).rejects.toThrow(
      /NOT_COPARTITIONED.*(long is partitioned by "by-length".*plain is partitioned by murmur2|plain.*long).*repartition\(\) on the stream of long/,
    )
    const bare = topic('also-long', { key: z.string(), value: z.string() })
    const alsoWritten = program((builder) => builder.stream(plain).to(alsoLong))
    await expect(started(written, alsoWritten, joined(undeclared, bare))).resolves.toBeDefined()
  })

  test('a join of topics is refused if only the log knows that their partition counts differ', async () => {
    const three = topic('three', { ...text, partitions: 3 })
    const bare = topic('three', { key: z.string(), value: z.string() })
    const made = program((builder) => builder.stream(plain).to(three))
    await expect(started(made, joined(plain, bare))).rejects.toThrow(
      /NOT_COPARTITIONED.*(plain has 4 partitions and three has 3|three has 3 partitions and plain has 4).*repartition/,
    )
  })

  test('a topic declared with another partitioner or key codec than it was created with is TOPIC_MISMATCH', async () => {
    const other = topic('long', { ...text, partitioner: byFirst })
    const tagged = topic('long', {
      key: z.number(),
      value: z.string(),
      partitions: 4,
      partitioner: { id: 'by-length', partition: () => 0 },
    })
    await expect(
      started(
        written,
        program((builder) => builder.stream(other).foreach(() => {})),
      ),
    ).rejects.toThrow(/TOPIC_MISMATCH.*partitioner by-length.*by-first/)
    await expect(
      started(
        written,
        program((builder) => builder.stream(tagged).foreach(() => {})),
      ),
    ).rejects.toThrow(/TOPIC_MISMATCH.*keyCodec string/)
  })

  test('a sink that would write a topic with another partitioner than recorded is TOPIC_MISMATCH', async () => {
    await expect(
      started(
        written,
        program((builder) => builder.stream(plain).to(undeclared)),
      ),
    ).rejects.toThrow(
      /TOPIC_MISMATCH.*long is partitioned by "by-length".*murmur2.*declare the topic with that partitioner/,
    )
    const own = program((builder) => builder.stream(plain).to(undeclared, { partitioner: () => 0 }))
    await expect(started(written, own)).rejects.toThrow(/TOPIC_MISMATCH.*long.*a partitioner without an id/)
  })

  test('a topic that was created without a partitioner is accepted as it is declared', async () => {
    const before = program((builder) => builder.stream(plain).to(undeclared))
    await expect(started(before, joined(long, alsoLong))).resolves.toBeDefined()
  })

  test('a repartition that changes its partitioner is TOPIC_MISMATCH', async () => {
    const counted = (partitioner?: TopicPartitioner<string, unknown>): Topology =>
      program(
        (builder) =>
          void builder
            .stream(plain)
            .repartition({ name: 'r', ...(partitioner === undefined ? {} : { partitioner }) })
            .groupByKey()
            .count({ name: 'counts' }),
      )
    const changed = async (from: Topology, to: Topology): Promise<void> => {
      const log = await openLog({ dataDir: '/data', disk: new MemoryDisk(), clock: new ManualClock(0) })
      try {
        await planApplication('app', from, log)
        await planApplication('app', to, log)
      } finally {
        await log.close()
      }
    }
    await expect(changed(counted(byLength), counted(byLength))).resolves.toBeUndefined()
    await expect(changed(counted(byLength), counted(byFirst))).rejects.toThrow(
      /TOPIC_MISMATCH.*r-repartition.*"by-length".*"by-first".*another name/,
    )
    await expect(changed(counted(), counted(byLength))).rejects.toThrow(/TOPIC_MISMATCH.*murmur2/)
    await expect(changed(counted(byLength), counted())).rejects.toThrow(/TOPIC_MISMATCH.*murmur2/)
  })
})
