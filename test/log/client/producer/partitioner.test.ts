import { expect, test } from 'vitest'
import { z } from 'zod'
import type { TopicPartitioner } from '../../../../src/codec/partitioner.ts'
import { topic } from '../../../../src/codec/topic.ts'
import type { LogError } from '../../../../src/log/api/errors.ts'
import { ClientHarness, codeOf } from '../client-harness.ts'

const byLength: TopicPartitioner<string, unknown> = {
  id: 'by-length',
  partition: (key, _value, partitions) => key.length % partitions,
}
const words = topic('words', { key: z.string(), value: z.number(), partitions: 3, partitioner: byLength })

async function failure(act: Promise<unknown>): Promise<LogError> {
  return await act.then(
    () => expect.unreachable('it was taken'),
    (error: LogError) => error,
  )
}

test('a declared partitioner chooses the partition from typed keys and values', async () => {
  const seen: unknown[] = []
  const orders = topic('orders', {
    key: z.object({ region: z.number() }),
    value: z.object({ total: z.number().default(7) }),
    tombstones: true,
    partitions: 4,
    partitioner: {
      id: 'by-region',
      partition: (key, value, partitions) => {
        seen.push([key, value, partitions])
        return key.region % partitions
      },
    },
  })
  const log = await ClientHarness.open([orders])
  const producer = log.producer()
  const sent = [
    await producer.send({ topic: orders, key: { region: 6 }, value: {} }),
    await producer.send({ topic: orders, key: { region: 3 }, value: null }),
    await producer.send({ topic: orders, key: { region: 3 }, value: null, partition: 0 }),
  ]

  expect(sent.map(({ partition }) => partition)).toEqual([2, 3, 0])
  expect(seen).toEqual([
    [{ region: 6 }, { total: 7 }, 4],
    [{ region: 3 }, null, 4],
  ])
  expect(log.admin.describeTopic('orders').config.partitioner).toBe('by-region')
  await log.close()
})

test('a declaration’s partitioner takes precedence over the producer’s own', async () => {
  const log = await ClientHarness.open([words, { name: 'plain', partitions: 3 }])
  const producer = log.producer({ partitioner: { id: 'last', partition: (_key, partitions) => partitions - 1 } })
  expect((await producer.send({ topic: words, key: 'abcd', value: 1 })).partition).toBe(1)
  expect((await producer.send({ topic: 'plain', key: 'abcd', value: 'x' })).partition).toBe(2)
  await log.close()
})

test('a topic with a recorded partitioner refuses others, and accepts records that name a partition', async () => {
  const log = await ClientHarness.open([words])
  const producer = log.producer()
  const undeclared = topic('words', { key: z.string(), value: z.number() })
  const other = topic('words', { key: z.string(), value: z.number(), partitioner: { ...byLength, id: 'other' } })

  const refused = await failure(producer.send({ topic: undeclared, key: 'a', value: 1 }))
  expect(refused.code).toBe('TOPIC_MISMATCH')
  expect(refused.message).toMatch(
    /words is partitioned by "by-length".*murmur2.*declare the topic with that partitioner/,
  )
  expect((await failure(producer.send({ topic: other, key: 'a', value: 1 }))).message).toMatch(/"by-length".*"other"/)
  expect(await codeOf(() => log.admin.ensureTopics([{ ...other, partitions: 3 }]))).toBe('TOPIC_MISMATCH')
  expect((await producer.send({ topic: undeclared, key: 'a', value: 1, partition: 2 })).partition).toBe(2)
  await log.close()
})

test('a topic that was created without a partitioner accepts any', async () => {
  const log = await ClientHarness.open([{ name: 'words', partitions: 3 }])
  await log.admin.ensureTopics([words])
  expect((await log.producer().send({ topic: words, key: 'ab', value: 1 })).partition).toBe(2)
  await log.close()
})

test.each([3, -1, 1.5, Number.NaN, undefined, '1', null])(
  'a partitioner that returns %s is UNKNOWN_PARTITION',
  async (chosen) => {
    const wrong = topic('words', {
      key: z.string(),
      value: z.number(),
      partitions: 3,
      partitioner: { id: 'wrong', partition: () => chosen as number },
    })
    const log = await ClientHarness.open([wrong])
    const error = await failure(log.producer().send({ topic: wrong, key: 'a', value: 1 }))

    expect(error.code).toBe('UNKNOWN_PARTITION')
    expect(error.message).toContain(
      `wrong chose ${String(chosen === '1' ? '"1"' : chosen)} for a record of topic words`,
    )
    expect(error.message).toContain('3 partitions: return a whole number from 0 to 2')
    await log.close()
  },
)

test('an error thrown by a partitioner names the partitioner, and the producer goes on', async () => {
  const odd = topic('words', {
    key: z.string(),
    value: z.number(),
    partitions: 3,
    partitioner: {
      id: 'odd',
      partition: (key): number => {
        if (key === 'bad') throw new TypeError('no region')
        return 1
      },
    },
  })
  const log = await ClientHarness.open([odd, { name: 'plain', partitions: 3 }])
  const producer = log.producer()
  const own = log.producer({
    partitioner: {
      id: 'own',
      partition: (): number => {
        throw new TypeError('none')
      },
    },
  })
  const error = await failure(producer.send({ topic: odd, key: 'bad', value: 1 }))

  expect(error.code).toBe('PARTITIONER_FAILED')
  expect(error.message).toMatch(/partitioner odd threw for a record of topic words: TypeError: no region/)
  expect(error.cause).toBeInstanceOf(TypeError)
  expect((await producer.send({ topic: odd, key: 'good', value: 1 })).partition).toBe(1)
  expect((await failure(own.send({ topic: 'plain', value: 'x' }))).message).toMatch(/partitioner own threw.*plain/)
  await log.close()
})

test.each<unknown>([
  { id: '', partition: () => 0 },
  { id: 'x'.repeat(250), partition: () => 0 },
  { id: 'x' },
  { partition: () => 0 },
  () => 0,
  null,
])('%o is no partitioner of a topic', (partitioner: unknown) => {
  const options = { key: z.string(), value: z.number(), partitioner } as unknown as Parameters<typeof topic>[1]
  expect(() => topic('words', options)).toThrow(
    /INVALID_DECLARATION: topic words: a partitioner is \{ id, partition \}/,
  )
})
