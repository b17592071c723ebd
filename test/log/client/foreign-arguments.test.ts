import { describe, expect, test } from 'vitest'
import { LogError } from '../../../src/log/api/errors.ts'
import type { EmbeddedLog } from '../../../src/log/embedded-log.ts'
import { openLog } from '../../../src/log/open-log.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'

/** What callers without types may pass. What is not valid for a call must be refused with a LogError. */
const loop: { self?: unknown } = {}
loop.self = loop
const foreign: readonly unknown[] = [
  null,
  true,
  -1,
  1.5,
  Number.NaN,
  Infinity,
  2 ** 60,
  5n,
  Symbol('text'),
  '',
  '..',
  'a/b',
  'a\0b',
  '\u{1f600}',
  '\ud800',
  'x'.repeat(40_000),
  '__proto__',
  [],
  [null],
  [{}],
  [5],
  {},
  (): number => 1,
  new Date(Number.NaN),
  new Map(),
  Buffer.from('bytes'),
  Object.create(null),
  /./,
  loop,
]

const place = { topic: 'events', partition: 0 }
const entry = { at: place, offset: 0, leaderEpoch: -1, metadata: '' }
const metadata = { group: 'g', generation: -1, memberId: '', groupInstanceId: null }

type Call = (log: EmbeddedLog, given: never) => unknown

function ofConsumer(act: (consumer: ReturnType<EmbeddedLog['consumer']>, given: never) => unknown): Call {
  return async (log, given) => {
    const consumer = log.consumer({ group: 'readers', autoOffsetReset: 'earliest' })
    try {
      consumer.assign([place])
      await act(consumer, given)
    } finally {
      await consumer.close()
    }
  }
}

function ofTransaction(act: (producer: ReturnType<EmbeddedLog['producer']>, given: never) => unknown): Call {
  return async (log, given) => {
    const producer = log.producer({ transactionalId: 'writer' })
    try {
      await producer.initTransactions()
      producer.beginTransaction()
      await act(producer, given)
    } finally {
      await producer.close()
    }
  }
}

function ofProducer(act: (producer: ReturnType<EmbeddedLog['producer']>, given: never) => unknown): Call {
  return async (log, given) => {
    const producer = log.producer()
    try {
      await act(producer, given)
    } finally {
      await producer.close()
    }
  }
}

const stopped = AbortSignal.abort()

const calls: { readonly [name: string]: Call } = {
  'producer(options)': (log, given) => log.producer(given).close(),
  'producer transactionalId': async (log, given) => {
    const producer = log.producer({ transactionalId: given })
    await producer.initTransactions()
    await producer.close()
  },
  'producer compression': (log, given) => log.producer({ compression: given }).close(),
  'producer acks': (log, given) => log.producer({ acks: given }).close(),
  'producer lingerMs': (log, given) => log.producer({ lingerMs: given }).close(),
  send: ofProducer((producer, given) => producer.send(given)),
  post: ofProducer((producer, given) => producer.post(given)),
  'send topic': ofProducer((producer, given) => producer.send({ topic: given, value: 'v' })),
  'send key': ofProducer((producer, given) => producer.send({ topic: 'events', key: given, value: 'v' })),
  'send timestamp': ofProducer((producer, given) => producer.send({ topic: 'events', value: 'v', timestamp: given })),
  'send partition': ofProducer((producer, given) => producer.send({ topic: 'events', value: 'v', partition: given })),
  'send headers': ofProducer((producer, given) => producer.send({ topic: 'events', value: 'v', headers: given })),
  'send header': ofProducer((producer, given) => producer.send({ topic: 'events', value: 'v', headers: [given] })),
  'offsets of a transaction': ofTransaction((producer, given) => producer.sendOffsetsToTransaction(given, metadata)),
  'an offset of a transaction': ofTransaction((producer, given) =>
    producer.sendOffsetsToTransaction([{ ...entry, offset: given }], metadata),
  ),
  'the group of a transaction': ofTransaction((producer, given) => producer.sendOffsetsToTransaction([entry], given)),
  'consumer(options)': (log, given) => log.consumer(given).close(),
  'consumer topics': (log, given) => log.consumer({ topics: given }).close(),
  'consumer assignors': (log, given) => log.consumer({ assignors: given }).close(),
  'consumer clientId': (log, given) => log.consumer({ clientId: given }).close(),
  'consumer groupInstanceId': (log, given) => log.consumer({ groupInstanceId: given }).close(),
  'consumer autoOffsetReset': (log, given) => log.consumer({ autoOffsetReset: given }).close(),
  'consumer isolation': (log, given) => log.consumer({ isolation: given }).close(),
  subscribe: async (log, given) => {
    const consumer = log.consumer({ group: 'subscribers' })
    try {
      consumer.subscribe(given)
    } finally {
      await consumer.close()
    }
  },
  'rebalance listener': async (log, given) => {
    const consumer = log.consumer({ group: 'subscribers' })
    try {
      consumer.subscribe(['events'], { onPartitionsAssigned: given })
    } finally {
      await consumer.close()
    }
  },
  assign: ofConsumer((consumer, given) => consumer.assign(given)),
  'assign a place': ofConsumer((consumer, given) => consumer.assign([given])),
  'assign a topic': ofConsumer((consumer, given) => consumer.assign([{ topic: given, partition: 0 }])),
  'assign a partition': ofConsumer((consumer, given) => consumer.assign([{ topic: 'events', partition: given }])),
  'poll(options)': ofConsumer((consumer, given) => consumer.poll(given)),
  'poll waitMs': ofConsumer((consumer, given) => consumer.poll({ waitMs: given, signal: stopped })),
  'poll signal': ofConsumer((consumer, given) => consumer.poll({ signal: given })),
  'records signal': ofConsumer(async (consumer, given) => {
    for await (const record of consumer.records({ signal: given })) if (record.offset === 0) break
  }),
  eachRecord: ofConsumer((consumer, given) => consumer.eachRecord(given, { signal: stopped })),
  'eachRecord signal': ofConsumer((consumer, given) => consumer.eachRecord(() => consumer.wakeup(), { signal: given })),
  'eachRecord notBefore': ofConsumer((consumer, given) =>
    consumer.eachRecord(() => {}, { signal: stopped, notBefore: given }),
  ),
  'eachBatch concurrency': ofConsumer((consumer, given) =>
    consumer.eachBatch(() => {}, { signal: stopped, concurrency: given }),
  ),
  seek: ofConsumer((consumer, given) => consumer.seek(place, given)),
  'seek at': ofConsumer((consumer, given) => consumer.seek(given, 'end')),
  'seek time': ofConsumer((consumer, given) => consumer.seek(place, { timestamp: given })),
  position: ofConsumer((consumer, given) => consumer.position(given)),
  pause: ofConsumer((consumer, given) => consumer.pause(given)),
  resume: ofConsumer((consumer, given) => consumer.resume(given)),
  commitOffsets: ofConsumer((consumer, given) => consumer.commitOffsets(given)),
  'commit at': ofConsumer((consumer, given) => consumer.commitOffsets([{ ...entry, at: given }])),
  'commit offset': ofConsumer((consumer, given) => consumer.commitOffsets([{ ...entry, offset: given }])),
  'commit leaderEpoch': ofConsumer((consumer, given) => consumer.commitOffsets([{ ...entry, leaderEpoch: given }])),
  'commit metadata': ofConsumer((consumer, given) => consumer.commitOffsets([{ ...entry, metadata: given }])),
  committed: ofConsumer((consumer, given) => consumer.committed(given)),
  createTopics: (log, given) => log.admin.createTopics(given),
  'createTopics one': (log, given) => log.admin.createTopics([given]),
  'createTopics name': (log, given) => log.admin.createTopics([{ name: given, partitions: 1 }]),
  'createTopics partitions': (log, given) => log.admin.createTopics([{ name: 'other', partitions: given }]),
  'createTopics setting': (log, given) =>
    log.admin.createTopics([{ name: 'other', partitions: 1, config: { minCleanableDirtyRatio: given } }]),
  'ensureTopics config': (log, given) => log.admin.ensureTopics([{ name: 'new', partitions: 1, config: given }]),
  deleteTopic: (log, given) => log.admin.deleteTopic(given),
  describeTopic: (log, given) => log.admin.describeTopic(given),
  'describeTopic isolation': (log, given) => log.admin.describeTopic('events', given),
  createPartitions: (log, given) => log.admin.createPartitions(given, 3),
  'createPartitions count': (log, given) => log.admin.createPartitions('events', given),
  alterTopicConfig: (log, given) => log.admin.alterTopicConfig('events', given),
  'alterTopicConfig name': (log, given) => log.admin.alterTopicConfig(given, {}),
  offsets: (log, given) => log.admin.offsets(given, 'earliest'),
  'offsets which': (log, given) => log.admin.offsets([place], given),
  'offsets time': (log, given) => log.admin.offsets([place], { timestamp: given }),
  deleteRecords: (log, given) => log.admin.deleteRecords(given),
  'deleteRecords offset': (log, given) => log.admin.deleteRecords([{ at: place, offset: given === -1 ? 0 : given }]),
  describeGroup: (log, given) => log.admin.describeGroup(given),
  deleteGroup: (log, given) => log.admin.deleteGroup(given),
  deleteGroupOffsets: (log, given) => log.admin.deleteGroupOffsets('g', given),
  'reset group': (log, given) => log.admin.resetGroupOffsets(given, { topics: ['events'], to: 'latest' }),
  'reset how': (log, given) => log.admin.resetGroupOffsets('g', given),
  'reset topics': (log, given) => log.admin.resetGroupOffsets('g', { topics: given, to: 'latest' }),
  'reset to': (log, given) => log.admin.resetGroupOffsets('g', { topics: ['events'], to: given }),
  'reset ago': (log, given) => log.admin.resetGroupOffsets('g', { topics: ['events'], to: { ago: given } }),
  describeTransaction: (log, given) => log.admin.describeTransaction(given),
  abortTransaction: (log, given) => log.admin.abortTransaction(given),
  describeProducers: (log, given) => log.admin.describeProducers(given),
  abortHangingTransaction: (log, given) => log.admin.abortHangingTransaction(place, given),
  committedOffsets: (log, given) => log.admin.committedOffsets('g', given),
  bounds: (log, given) => log.bounds(given, 'durable'),
  offsetsForTime: (log, given) => log.offsetsForTime(given),
  purgeBefore: (log, given) => log.purgeBefore(given),
  openReader: (log, given) => log.openReader(given),
  openCommitter: (log, given) => log.openCommitter(given),
  retryTopics: (log, given) => log.retryTopics(given),
  'retryTopics group': (log, given) => log.retryTopics({ group: given, topics: ['events'], process: () => {} }),
  'retryTopics topics': (log, given) => log.retryTopics({ group: 'r', topics: given, process: () => {} }),
  'retryTopics process': (log, given) => log.retryTopics({ group: 'r', topics: ['events'], process: given }),
  'retryTopics delaysMs': (log, given) =>
    log.retryTopics({ group: 'r', topics: ['events'], process: () => {}, delaysMs: given }),
  'retryTopics deadLetterTopic': (log, given) =>
    log.retryTopics({ group: 'r', topics: ['events'], process: () => {}, deadLetterTopic: given }),
}

async function opened(): Promise<EmbeddedLog> {
  const log = await openLog({ dataDir: '/data', disk: new MemoryDisk(), clock: new ManualClock(1_700_000_000_000) })
  await log.admin.createTopics([{ name: 'events', partitions: 1 }])
  const producer = log.producer()
  await producer.send({ topic: 'events', value: 'before' })
  await producer.close()
  return log
}

describe('arguments of other types', () => {
  test.each(Object.keys(calls))('%s accepts valid ones and refuses all others with a LogError', async (name) => {
    const log = await opened()
    const call = calls[name]
    let refusals = 0
    for (const given of foreign) {
      const error = await Promise.resolve()
        .then(() => call?.(log, given as never))
        .then(
          () => null,
          (thrown: unknown) => thrown,
        )
      if (error === null) continue
      refusals += 1
      const which = typeof given === 'string' ? given.slice(0, 20) : Object.prototype.toString.call(given)
      expect(error, which).toBeInstanceOf(LogError)
      const { code, message } = error as LogError
      expect(message.length, `${which}: ${message}`).toBeGreaterThan(code.length + 20)
      expect(message.length, which).toBeLessThan(1000)
    }
    expect(refusals).toBeGreaterThan(3)

    // Whatever was refused, the log goes on and has lost nothing.
    const consumer = log.consumer({ autoOffsetReset: 'earliest' })
    consumer.assign([place])
    expect((await consumer.poll())[0]?.value?.toString()).toBe('before')
    await consumer.close()
    await log.close()
  })

  test.each([[{ ...place, offset: 0 }], [{ at: 'events', offset: 0 }], [null]])(
    'an entry %j without its partition as at is refused by showing the entry and the form that it lacks',
    async (given) => {
      const log = await opened()
      const consumer = log.consumer({ group: 'readers' })
      await expect(consumer.commitOffsets([given as never])).rejects.toThrow(
        `INVALID_CONFIG: offsets: ${JSON.stringify(given)} is invalid; give { at: { topic: string, partition: number }, ... }`,
      )
      await consumer.close()
      await log.close()
    },
  )

  test('openLog refuses arguments that are no options, and invalid option values, also for disk, clock and logger', async () => {
    for (const given of foreign) {
      await expect(openLog(given as never)).rejects.toBeInstanceOf(LogError)
      for (const name of ['dataDir', 'sync', 'segmentBytes', 'logger', 'disk', 'clock']) {
        const isPath = name === 'dataDir' && typeof given === 'string' && given !== ''
        if (isPath) continue
        const options = { dataDir: '/data', disk: new MemoryDisk(), [name]: given }
        await expect(openLog(options as never), name).rejects.toBeInstanceOf(LogError)
      }
    }
  })
})
