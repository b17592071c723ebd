import { describe, expect, test } from 'vitest'
import { LogError } from '../../../../src/log/api/errors.ts'
import { defaultTopicConfig, type TopicSpec } from '../../../../src/log/api/topic.ts'
import { Catalog } from '../../../../src/log/broker/topics/catalog.ts'
import { LogHarness, readAll } from '../../../harness/log-harness.ts'

const hour = 3_600_000

async function codeOf(act: () => Promise<unknown>): Promise<string> {
  try {
    await act()
    return 'no error'
  } catch (error) {
    if (!(error instanceof LogError)) throw error
    return error.code
  }
}

function segmentsOf(log: LogHarness, partition: string): number {
  return log.disk.list(`/log/${partition}`).filter((name) => name.endsWith('.log')).length
}

describe('a segment closes', () => {
  test('before a batch would make it larger than segmentBytes', async () => {
    const log = await LogHarness.open()
    await log.topic('events', 1, { segmentBytes: 2048 })
    for (let index = 0; index < 6; index++) await log.append('events', 0, ['x'.repeat(900)])
    expect(segmentsOf(log, 'events-0')).toBe(3)
    await log.close()
  })

  test('at the first append that finds it older than segmentMs, also after opening again', async () => {
    const log = await LogHarness.open()
    await log.topic('events', 1, { segmentMs: hour })
    await log.append('events', 0, ['a'])
    await log.clock.run(hour - 1)
    await log.append('events', 0, ['b'])
    expect(segmentsOf(log, 'events-0')).toBe(1)
    await log.close()
    await log.reopen()
    await log.clock.run(2)
    await log.append('events', 0, ['c'])
    expect(segmentsOf(log, 'events-0')).toBe(2)
    await log.close()
  })

  test('up to segmentJitterMs earlier, not all at once, and never later', async () => {
    const log = await LogHarness.open()
    const partitions = 20
    await log.topic('events', partitions, { segmentMs: hour, segmentJitterMs: hour / 2 })
    const all = Array.from({ length: partitions }, (_, index) => index)
    const rolled = (): number => all.filter((index) => segmentsOf(log, `events-${index}`) > 1).length
    const appendToAll = async (): Promise<void> => {
      for (const index of all) await log.append('events', index, ['x'])
    }
    await appendToAll()
    await log.clock.run(hour / 2 - 1)
    await appendToAll()
    expect(rolled()).toBe(0)
    await log.clock.run(hour / 4)
    await appendToAll()
    expect(rolled()).toBeGreaterThan(2)
    expect(rolled()).toBeLessThan(18)
    await log.clock.run(hour / 4 + 2)
    await appendToAll()
    expect(rolled()).toBe(partitions)
    await log.close()
  })

  test('when its index is full, also after opening again', async () => {
    const log = await LogHarness.open()
    // 40 entries of 12 bytes, one of which is reserved for closing the segment.
    await log.topic('events', 1, { segmentIndexBytes: 480, indexIntervalBytes: 0 })
    for (let index = 0; index < 60; index++) await log.append('events', 0, ['x'])
    await log.close()
    await log.reopen()
    for (let index = 0; index < 60; index++) await log.append('events', 0, ['x'])
    await log.close()
    const sizes = log.disk.list('/log/events-0').flatMap((name) => {
      if (!name.endsWith('index')) return []
      const file = log.disk.open(`/log/events-0/${name}`, 'read')
      const size = file.size()
      file.close()
      return [size]
    })
    expect(segmentsOf(log, 'events-0')).toBeGreaterThanOrEqual(3)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(480)
  })

  test('of a compacted topic when it is older than maxCompactionLagMs', async () => {
    const log = await LogHarness.open()
    await log.topic('table', 1, { cleanupPolicy: 'compact', maxCompactionLagMs: 1000 })
    await log.append('table', 0, [['k', 'a']])
    await log.clock.run(1001)
    await log.append('table', 0, [['k', 'b']])
    expect(segmentsOf(log, 'table-0')).toBe(2)
    await log.close()
  })
})

describe('a clock that moves backwards', () => {
  test('closes no segment and deletes no record', async () => {
    const log = await LogHarness.open({ retentionCheckIntervalMs: 1000 })
    await log.topic('events', 1, { segmentMs: hour, retentionMs: hour })
    await log.append('events', 0, ['before'])
    log.clock.jumpTo(log.clock.now() - 1000 * hour)
    await log.append('events', 0, ['back'])
    await log.clock.run(5000)
    expect(segmentsOf(log, 'events-0')).toBe(1)
    expect(await log.values('events', 0)).toEqual(['before', 'back'])
    log.crash({ powerCutSeed: 3 })
    await log.reopen()
    expect(await log.values('events', 0)).toEqual(['before', 'back'])
    await log.close()
  })
})

describe('settings changed at run time', () => {
  test('apply to the next append and the next retention check', async () => {
    const log = await LogHarness.open({ retentionCheckIntervalMs: 1000 })
    await log.topic('events', 1)
    for (let index = 0; index < 3; index++) await log.append('events', 0, ['x'.repeat(900)])
    expect(segmentsOf(log, 'events-0')).toBe(1)
    await log.log.admin.alterTopicConfig('events', { segmentBytes: 1024 })
    for (let index = 0; index < 3; index++) await log.append('events', 0, ['y'.repeat(900)])
    expect(segmentsOf(log, 'events-0')).toBe(4)
    await log.log.admin.alterTopicConfig('events', { retentionBytes: 1000, maxMessageBytes: 500 })
    expect(await codeOf(() => log.append('events', 0, ['z'.repeat(900)]))).toBe('MESSAGE_TOO_LARGE')
    await log.clock.run(2000)
    expect(await log.values('events', 0)).toHaveLength(2)
    await log.close()
  })

  test('are all kept when two callers change them at once, and survive a power cut', async () => {
    const log = await LogHarness.open()
    await log.topic('events', 1)
    await Promise.all([
      log.log.admin.alterTopicConfig('events', { retentionMs: 5 }),
      log.log.admin.alterTopicConfig('events', { segmentMs: 7 }),
    ])
    log.crash({ powerCutSeed: 1 })
    await log.reopen()
    expect(log.log.admin.describeTopic('events').config).toMatchObject({ retentionMs: 5, segmentMs: 7 })
    await log.close()
  })

  test('with an unknown name or a wrong type are INVALID_CONFIG, also when a topic is created', async () => {
    const log = await LogHarness.open()
    const { admin } = log.log
    await log.topic('events', 1)
    const before = admin.describeTopic('events').config
    const wrong: readonly object[] = [{ 'retention.ms': 5 }, { retentionMS: 5 }, { keyCodec: 7 }, { partitioner: null }]
    for (const config of wrong) {
      expect(await codeOf(() => admin.alterTopicConfig('events', config))).toBe('INVALID_CONFIG')
      expect(await codeOf(() => admin.createTopics([{ name: 'others', partitions: 1, config }]))).toBe('INVALID_CONFIG')
    }
    expect(admin.describeTopic('events').config).toEqual(before)
    expect(admin.listTopics()).toHaveLength(1)
    await log.close()
  })

  test('with values out of bounds are INVALID_CONFIG, and nothing changes', async () => {
    const log = await LogHarness.open()
    await log.topic('events', 1)
    const before = log.log.admin.describeTopic('events').config
    for (const change of [
      { segmentJitterMs: before.segmentMs },
      { segmentIndexBytes: 63 },
      { minCompactionLagMs: -1 },
      { minCompactionLagMs: 10, maxCompactionLagMs: 9 },
    ])
      expect(await codeOf(() => log.log.admin.alterTopicConfig('events', change))).toBe('INVALID_CONFIG')
    expect(log.log.admin.describeTopic('events').config).toEqual(before)
    await log.close()
  })
})

describe('a topic whose name differs from that of another one only in dots and underscores', () => {
  const named = (name: string): TopicSpec => ({ name, partitions: 1 })

  test('is INVALID_TOPIC, as in Kafka, whether the other exists, is being created or is in the same call', async () => {
    const log = await LogHarness.open()
    await log.log.admin.createTopics([named('a.b_c')])
    await expect(log.log.admin.createTopics([named('a_b.c')])).rejects.toThrow(
      "INVALID_TOPIC: topic a_b.c differs from topic a.b_c only in '.' and '_': use a.b_c, or another name",
    )
    expect(await codeOf(() => log.log.admin.ensureTopics([named('x'), named('a_b_c')]))).toBe('INVALID_TOPIC')
    expect(await codeOf(() => log.log.admin.createTopics([named('d.e'), named('d_e')]))).toBe('INVALID_TOPIC')
    const [first, second] = [log.log.admin.createTopics([named('f.g')]), log.log.admin.createTopics([named('f_g')])]
    expect([await codeOf(() => first), await codeOf(() => second)]).toEqual(['no error', 'INVALID_TOPIC'])
    expect(log.log.admin.listTopics().map((topic) => topic.name)).toEqual(['a.b_c', 'f.g'])
    await log.close()
  })

  test('can be created once the other is deleted, and the other is still ensured', async () => {
    const log = await LogHarness.open()
    await log.log.admin.createTopics([named('a.b')])
    expect(await codeOf(() => log.log.admin.ensureTopics([named('a.b')]))).toBe('no error')
    await log.log.admin.deleteTopic('a.b')
    expect(await codeOf(() => log.log.admin.createTopics([named('a_b')]))).toBe('no error')
    await log.close()
  })

  test('is refused until the last of several is deleted, which only an old log has', () => {
    const catalog = new Catalog()
    const topics = ['a.b', 'a_b'].map((name) =>
      catalog.promoteCreated({ name, id: name, partitions: 1, config: defaultTopicConfig }),
    )
    const found: (string | undefined)[] = []
    for (const topic of topics) {
      found.push(catalog.alike('a_b')?.name)
      catalog.promoteDeleted(topic.id)
    }
    expect([...found, catalog.alike('a_b')]).toEqual(['a.b', 'a_b', undefined])
  })
})

describe('partitions added to a topic', () => {
  test('accept records at once and after a crash, and are deleted with the topic', async () => {
    const log = await LogHarness.open()
    await log.topic('events', 1)
    await log.append('events', 0, ['old'])
    expect((await log.log.admin.createPartitions('events', 3)).partitions).toBe(3)
    await log.append('events', 2, ['new'])
    log.crash({ powerCutSeed: 2 })
    await log.reopen()
    expect(log.log.admin.describeTopic('events').partitions).toBe(3)
    expect([await log.values('events', 0), await log.values('events', 2)]).toEqual([['old'], ['new']])
    await log.append('events', 1, ['more'])
    await log.close()
    await log.reopen()
    expect(await log.values('events', 1)).toEqual(['more'])
    await log.log.admin.deleteTopic('events')
    await log.close()
    expect(log.disk.list('/log').filter((name) => /^events-\d+$/.test(name))).toEqual([])
  })

  test('cannot lower the count, and two callers cannot both add the same ones', async () => {
    const log = await LogHarness.open()
    await log.topic('events', 4)
    for (const count of [4, 3, 0, 1.5, 100_000])
      expect(await codeOf(() => log.log.admin.createPartitions('events', count))).toBe('INVALID_CONFIG')
    const both = [log.log.admin.createPartitions('events', 6), log.log.admin.createPartitions('events', 6)]
    const outcomes = await Promise.allSettled(both)
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(await codeOf(() => log.log.admin.createPartitions('nope', 6))).toBe('UNKNOWN_TOPIC')
    await log.close()
  })
})

describe('deleted records', () => {
  test('are gone for readers at once and for good, and the log starts behind them', async () => {
    const log = await LogHarness.open({ recentBytesMax: 0 })
    await log.topic('events', 2)
    for (const value of ['a', 'b', 'c']) await log.append('events', 0, [value])
    const at = { topic: 'events', partition: 0 }
    const other = { topic: 'events', partition: 1 }
    expect(
      await log.log.admin.deleteRecords([
        { at, offset: 2 },
        { at: other, offset: -1 },
      ]),
    ).toEqual([
      { at, offset: 2 },
      { at: other, offset: 0 },
    ])
    expect(await log.log.admin.deleteRecords([{ at, offset: 1 }])).toEqual([{ at, offset: 2 }])
    log.crash({ powerCutSeed: 4 })
    await log.reopen()
    expect(await log.values('events', 0)).toEqual(['c'])
    const reader = await log.log.openReader({ isolation: 'durable' })
    for (const offset of [1, 4]) {
      reader.assign([{ at, offset }])
      expect(await codeOf(() => reader.poll({ bytesMax: 1000, waitMs: 0 }))).toBe('OFFSET_OUT_OF_RANGE')
    }
    await reader.close()
    expect(await log.log.admin.deleteRecords([{ at, offset: -1 }])).toEqual([{ at, offset: 3 }])
    expect(await log.values('events', 0)).toEqual([])
    await log.append('events', 0, ['d'])
    expect((await readAll(log.log, at)).map(({ offset }) => offset)).toEqual([3])
    await log.close()
  })

  test('that two callers delete at once are acknowledged to both when that is durable', async () => {
    const log = await LogHarness.open()
    await log.topic('events', 1)
    for (const value of ['a', 'b', 'c']) await log.append('events', 0, [value])
    const at = { topic: 'events', partition: 0 }
    const both = (offset: number): Promise<readonly unknown[]> =>
      Promise.all([offset, offset].map((each) => log.log.admin.deleteRecords([{ at, offset: each }]).catch(String)))
    expect(await both(2)).toEqual([[{ at, offset: 2 }], [{ at, offset: 2 }]])
    log.disk.faults.failSyncAt = log.disk.counts.sync + log.disk.counts.syncDirectory + 1
    expect(await both(3)).toEqual([expect.stringMatching('WRITE_FAILED'), expect.stringMatching('WRITE_FAILED')])
    await log.close()
  })

  test('beyond the end or below -1 are OFFSET_OUT_OF_RANGE, those of a compacted topic POLICY_VIOLATION', async () => {
    const log = await LogHarness.open()
    await log.topic('events', 1)
    await log.topic('table', 1, { cleanupPolicy: 'compact' })
    await log.topic('both', 1, { cleanupPolicy: 'compact,delete' })
    await log.append('both', 0, [['k', 'v']])
    const remove = (topic: string, offset: number): Promise<string> =>
      codeOf(() => log.log.admin.deleteRecords([{ at: { topic, partition: 0 }, offset }]))
    for (const offset of [1, -2, 0.5, Number.NaN]) expect(await remove('events', offset)).toBe('OFFSET_OUT_OF_RANGE')
    expect(await remove('table', 0)).toBe('POLICY_VIOLATION')
    expect(await remove('both', 1)).toBe('no error')
    await log.close()
  })
})
