import { describe, expect, test } from 'vitest'
import { partitionOfKey } from '../../../src/base/murmur2.ts'
import { commitsTopic, offsetsTopic } from '../../../src/log/api/internal-topics.ts'
import type { TaskSection } from '../../../src/log/api/commit-section.ts'
import { SlowDisk } from '../../harness/slow-disk.ts'
import { LogHarness, readAll, recordOf } from '../../harness/log-harness.ts'
import { TransactionalWriter } from '../../harness/transactional-writer.ts'

const hour = 3_600_000

test('retention by time counts from the append, not from the timestamps of the records', async () => {
  const log = await LogHarness.open({ retentionCheckIntervalMs: 1000 })
  await log.topic('events', 1, { segmentBytes: 1024, retentionMs: hour })
  await log.append('events', 0, [['k', 'read in today, of 1970'.padEnd(900), 0]])
  await log.append('events', 0, [['k', 'second'.padEnd(900), 0]])

  await log.clock.run(hour / 2)
  expect(await log.values('events', 0)).toHaveLength(2)

  await log.clock.run(hour)
  expect(await log.values('events', 0)).toEqual(['second'.padEnd(900)])
  await log.close()
})

test('retention by size keeps the newest segments', async () => {
  const log = await LogHarness.open({ retentionCheckIntervalMs: 1000 })
  await log.topic('events', 1, { segmentBytes: 1024, retentionBytes: 2048 })
  for (let index = 0; index < 10; index++) await log.append('events', 0, [`${index}`.padEnd(900)])

  await log.clock.run(2000)
  expect((await log.values('events', 0)).map((value) => value.trim())).toEqual(['7', '8', '9'])
  await log.close()
})

test('files of removed segments are deleted after two checkpoints, not before', async () => {
  const log = await LogHarness.open({ retentionCheckIntervalMs: 1000, checkpointIntervalMs: 10_000 })
  await log.topic('events', 1, { segmentBytes: 1024, retentionBytes: 0 })
  for (let index = 0; index < 5; index++) await log.append('events', 0, [`${index}`.padEnd(900)])
  const files = (): number => log.disk.list('/log/events-0').filter((name) => name.endsWith('.log')).length

  await log.clock.run(2000)
  expect(await log.values('events', 0)).toHaveLength(1)
  expect(files()).toBe(5)

  await log.clock.run(10_000)
  expect(files()).toBe(5)

  await log.clock.run(10_000)
  expect(files()).toBe(1)
  await log.reopen()
  expect(await log.values('events', 0)).toHaveLength(1)
  await log.close()
})

test('a checkpoint that takes longer than the interval is not begun again meanwhile', async () => {
  const { before, after } = await checkpointsWhileHeld({ sync: 'commit', holds: () => true })

  expect([before, after]).toEqual([0, 1])
})

test('under sync: os a checkpoint waits for the segments and not for the journal', async () => {
  const isJournal = (path: string): boolean => path.endsWith('.journal')

  expect(await checkpointsWhileHeld({ sync: 'os', holds: isJournal })).toEqual({ before: 1, after: 1 })
  expect(await checkpointsWhileHeld({ sync: 'os', holds: (path) => !isJournal(path) })).toEqual({ before: 0, after: 1 })
})

/** Number of checkpoints during thirty intervals in which some syncs do not end, and in all soon after they do. */
async function checkpointsWhileHeld(options: {
  readonly sync: 'commit' | 'os'
  readonly holds: (path: string) => boolean
}): Promise<{ before: number; after: number }> {
  const disk = new SlowDisk()
  const log = await LogHarness.open({ disk, sync: options.sync, checkpointIntervalMs: 1000 })
  await log.topic('events', 1)
  let count = 0
  disk.onOperation = ({ kind, path }) => {
    if (kind === 'rename' && /checkpoint-\d$/.test(path)) count++
  }
  disk.holds = options.holds
  await log.append('events', 0, ['one'])
  await log.clock.run(30_000)
  const before = count
  disk.holds = () => false
  disk.release()
  await log.clock.run(500)
  await log.clock.nextTurn()
  const after = count
  await log.close()
  return { before, after }
}

test('the journal does not grow forever: its files are recycled below both checkpoints', async () => {
  const log = await LogHarness.open({ checkpointEveryCommits: 5, journalFileBytesMax: 32 * 1024 })
  await log.topic('events', 1)
  const sizes: number[] = []
  for (let index = 0; index < 200; index++) {
    await log.append('events', 0, [`${index}`.padEnd(4000)])
    await log.clock.nextTurn()
    sizes.push(log.disk.list('/log/journal').length)
  }
  expect(Math.max(...sizes)).toBeLessThan(12)
  expect(await log.values('events', 0)).toHaveLength(200)
  await log.close()
})

test('compaction keeps the newest record of each key, also after a power cut', async () => {
  const log = await LogHarness.open({ recentBytesMax: 0, compactionIntervalMs: 1000, checkpointIntervalMs: 5000 })
  await log.topic('table', 1, { segmentBytes: 2048, cleanupPolicy: 'compact' })
  for (let index = 0; index < 40; index++) await log.append('table', 0, [[`k${index % 3}`, `${index}`.padEnd(400)]])
  const before = await readAll(log.log, { topic: 'table', partition: 0 })

  await log.clock.run(20_000)
  const after = await readAll(log.log, { topic: 'table', partition: 0 })
  expect(after.length).toBeLessThan(12)
  expect(table(after)).toEqual(table(before))
  // Offsets never change.
  const offsets = new Map(before.map(({ offset, value }) => [offset, value]))
  for (const { offset, value } of after) expect(value).toBe(offsets.get(offset))

  log.crash({ powerCutSeed: 5 })
  await log.reopen()
  expect(await readAll(log.log, { topic: 'table', partition: 0 })).toEqual(after)
  await log.append('table', 0, [['k0', 'new']])
  expect((await readAll(log.log, { topic: 'table', partition: 0 })).at(-1)?.value).toBe('new')
  await log.close()
})

test('committed offsets do not grow forever: they are compacted', async () => {
  const log = await LogHarness.open({
    recentBytesMax: 0,
    compactionIntervalMs: 1000,
    checkpointIntervalMs: 5000,
    segmentBytes: 2048,
  })
  await log.topic('events', 1)
  const at = { topic: 'events', partition: 0 }
  for (let offset = 0; offset < 200; offset++)
    await log.log.broker.commitOffsets('group', -1, [{ at, offset, leaderEpoch: 0, metadata: '' }])
  const records = async (): Promise<number> => {
    const counts = Array.from({ length: 50 }, (_, partition) => readAll(log.log, { topic: offsetsTopic, partition }))
    return (await Promise.all(counts)).flat().length
  }
  expect(await records()).toBe(200)

  for (let second = 0; second < 60; second++) await log.clock.run(1000)
  expect(await records()).toBeLessThan(40)
  log.crash()
  await log.reopen()
  expect(log.log.broker.committedOffsets('group', [at])[0]?.offset).toBe(199)
  await log.close()
})

test('a changelog is compacted only up to the oldest commit that can be rewound to', async () => {
  const log = await LogHarness.open({
    recentBytesMax: 0,
    compactionIntervalMs: 1000,
    retentionCheckIntervalMs: 1000,
    rewindRetentionMs: hour,
    checkpointIntervalMs: 5000,
  })
  await log.topic('app-store-changelog', 1, { segmentBytes: 1024, cleanupPolicy: 'compact' })
  const changelog = { topic: 'app-store-changelog', partition: 0 }
  const committer = log.log.broker.openCommitter({ id: 'app' })
  const commit = async (value: string): Promise<void> => {
    const staged = committer.begin()
    staged.to(changelog).append(recordOf(['k', value.padEnd(700)]), 0, 'changelog')
    const progress = { group: 'app', generation: -1, offsets: [], build: null, configuration: '' }
    await staged.commit({ ...progress, sections: [section] }).durable
  }
  for (let index = 0; index < 10; index++) await commit(`${index}`)
  const values = async (): Promise<string[]> =>
    (await log.values('app-store-changelog', 0)).map((value) => value.trim())

  await log.clock.run(10_000)
  expect(await values()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])

  await log.clock.run(2 * hour)
  for (let index = 10; index < 13; index++) await commit(`${index}`)
  await log.clock.run(60_000)
  // These stay: the newest below the oldest recorded commit, that commit and all later ones, the active segment.
  expect(await values()).toEqual(['10', '11', '12'])
  await log.close()
})

test('recorded commits older than rewindRetentionMs are deleted, and the newest section stays known', async () => {
  const log = await LogHarness.open({ retentionCheckIntervalMs: 1000, rewindRetentionMs: hour })
  const committer = log.log.broker.openCommitter({ id: 'app' })
  const commit = async (): Promise<void> => {
    const progress = { group: 'app', generation: -1, offsets: [], build: null, configuration: '' }
    await committer.begin().commit({ ...progress, sections: [section] }).durable
  }
  const recorded = async (): Promise<number> => {
    const all = Array.from({ length: 16 }, (_, partition) => readAll(log.log, { topic: commitsTopic, partition }))
    return (await Promise.all(all)).flat().length
  }
  await commit()
  await log.clock.run(hour / 2)
  await commit()
  expect(await recorded()).toBe(2)

  await log.clock.run(hour / 2 + 5000)
  expect(await recorded()).toBe(1)
  await log.clock.run(hour)
  expect(await recorded()).toBe(0)
  expect(log.log.broker.lastSections('app', ['0_0'])).toHaveLength(1)
  await log.close()
})

test('rewindRetentionBytes applies to each application separately', async () => {
  const log = await LogHarness.open({
    recentBytesMax: 0,
    compactionIntervalMs: 1000,
    retentionCheckIntervalMs: 1000,
    checkpointIntervalMs: 5000,
    rewindRetentionBytes: 20_000,
  })
  // Both record their commits in the same partition.
  const [busy, quiet] = twoOfOnePartition()
  for (const name of [busy, quiet])
    await log.topic(`${name}-store-changelog`, 1, { segmentBytes: 1024, cleanupPolicy: 'compact' })
  const commit = async (application: string, value: string): Promise<void> => {
    const committer = log.log.broker.openCommitter({ id: application })
    const staged = committer.begin()
    const at = { topic: `${application}-store-changelog`, partition: 0 }
    staged.to(at).append(recordOf(['k', value.padEnd(700)]), 0, 'changelog')
    const progress = { group: application, generation: -1, offsets: [], build: null, configuration: '' }
    await staged.commit({ ...progress, sections: [section] }).durable
    await committer.close()
  }
  for (let index = 0; index < 10; index++) await commit(quiet, `${index}`)
  for (let index = 0; index < 100; index++) await commit(busy, `${index}`)
  await log.clock.run(60_000)

  expect(await log.values(`${quiet}-store-changelog`, 0)).toHaveLength(10)
  const left = (await log.values(`${busy}-store-changelog`, 0)).map((value) => Number(value.trim()))
  expect(left.length).toBeLessThan(30)
  expect(left.length).toBeGreaterThan(10)
  expect(left.at(-1)).toBe(99)
  await log.close()
})

test('a changelog that no recent commit mentions is compacted like any other', async () => {
  const log = await LogHarness.open({
    recentBytesMax: 0,
    compactionIntervalMs: 1000,
    retentionCheckIntervalMs: 1000,
    checkpointIntervalMs: 5000,
    rewindRetentionMs: hour,
  })
  const changelogs = ['app-quiet-changelog', 'app-busy-changelog']
  for (const name of changelogs) await log.topic(name, 1, { segmentBytes: 1024, cleanupPolicy: 'compact' })
  const commit = async (topic: string): Promise<void> => {
    const staged = log.log.broker.openCommitter({ id: 'app' }).begin()
    staged.to({ topic, partition: 0 }).append(recordOf(['k', 'v'.padEnd(700)]), 0, 'changelog')
    const progress = { group: 'app', generation: -1, offsets: [], build: null, configuration: '' }
    await staged.commit({ ...progress, sections: [section] }).durable
  }
  for (let index = 0; index < 10; index++) await commit('app-quiet-changelog')
  for (let minute = 0; minute < 70; minute++) {
    await commit('app-busy-changelog')
    await log.clock.run(60_000)
    if (minute !== 30) continue
    expect(await log.values('app-quiet-changelog', 0)).toHaveLength(10)
    log.crash({ powerCutSeed: 9 })
    await log.reopen()
  }

  // The newest record of the key, or those in the active segment.
  expect((await log.values('app-quiet-changelog', 0)).length).toBeLessThan(3)
  await log.close()
})

test('an application that has ended does not keep the commits of others in its partition', async () => {
  const log = await LogHarness.open({ retentionCheckIntervalMs: 1000, rewindRetentionMs: hour })
  const [ended, running] = twoOfOnePartition()
  const commit = async (application: string): Promise<void> => {
    const committer = log.log.broker.openCommitter({ id: application })
    const progress = { group: application, generation: -1, offsets: [], build: null, configuration: '' }
    await committer.begin().commit({ ...progress, sections: [section] }).durable
    await committer.close()
  }
  await commit(ended)
  for (let part = 0; part < 12; part++) {
    await commit(running)
    await log.clock.run(hour / 2)
  }

  const all = Array.from({ length: 16 }, (_, partition) => readAll(log.log, { topic: commitsTopic, partition }))
  expect((await Promise.all(all)).flat().length).toBeLessThan(4)
  await log.close()
})

/** Names of applications whose commits are recorded in the same partition. */
function twoOfOnePartition(): readonly [string, string] {
  const partitionOf = (name: string): number => partitionOfKey(Buffer.from(name), 0, name.length, 16)
  const first = 'app-0'
  for (let index = 1; ; index++) if (partitionOf(`app-${index}`) === partitionOf(first)) return [first, `app-${index}`]
}

test('a deleted topic’s name is free at once, its files go after two checkpoints, and groups forget it', async () => {
  const log = await LogHarness.open({ checkpointIntervalMs: 10_000 })
  await log.topic('events', 2)
  await log.append('events', 0, ['old'])
  const at = { topic: 'events', partition: 0 }
  await log.log.broker.commitOffsets('group', -1, [{ at, offset: 1, leaderEpoch: 0, metadata: '' }])

  await log.log.broker.deleteTopic('events')
  expect(log.log.broker.topic('events')).toBeUndefined()
  expect(log.log.broker.committedOffsets('group', [at])).toEqual([])
  await log.topic('events', 1)
  await log.append('events', 0, ['new'])
  expect(await log.values('events', 0)).toEqual(['new'])
  const deleted = (): number => log.disk.list('/log').filter((name) => name.endsWith('-delete')).length
  expect(deleted()).toBe(1)

  log.crash({ powerCutSeed: 1 })
  await log.reopen()
  expect(await log.values('events', 0)).toEqual(['new'])
  expect(log.log.broker.committedOffsets('group', [at])).toEqual([])
  await log.append('events', 0, ['newer'])
  await log.clock.run(10_000)
  await log.append('events', 0, ['newest'])
  await log.clock.run(10_000)
  expect(deleted()).toBe(0)
  expect(await log.values('events', 0)).toEqual(['new', 'newer', 'newest'])
  await log.close()
})

function table(
  records: readonly { readonly key: string | null; readonly value: string | null }[],
): Map<string | null, string | null> {
  return new Map(records.map(({ key, value }) => [key, value]))
}

const section: TaskSection = {
  task: '0_0',
  inputs: [],
  inputCount: 0,
  changelogDigest: '',
  outputDigest: '',
  causes: [],
  operators: {},
  partitionTimes: [],
  streamTime: 0,
  clock: [],
  punctuations: [],
  globals: [],
}

test('compaction leaves records younger than minCompactionLagMs', async () => {
  const log = await LogHarness.open({ recentBytesMax: 0, compactionIntervalMs: 1000, checkpointIntervalMs: 5000 })
  await log.topic('table', 1, { segmentBytes: 1024, cleanupPolicy: 'compact', minCompactionLagMs: hour })
  for (let index = 0; index < 5; index++) await log.append('table', 0, [['k', `${index}`.padEnd(900)]])
  await log.clock.run(hour - 10_000)
  for (let index = 5; index < 8; index++) await log.append('table', 0, [['k', `${index}`.padEnd(900)]])
  const values = async (): Promise<string[]> => (await log.values('table', 0)).map((value) => value.trim())

  expect(await values()).toHaveLength(8)
  await log.clock.run(20_000)
  expect(await values()).toEqual(['4', '5', '6', '7'])
  await log.clock.run(hour)
  expect(await values()).toEqual(['6', '7'])
  await log.close()
})

test('compaction runs for records older than maxCompactionLagMs, however clean the rest is', async () => {
  const log = await LogHarness.open({ recentBytesMax: 0, compactionIntervalMs: 1000, checkpointIntervalMs: 5000 })
  await log.topic('table', 1, {
    segmentBytes: 1024,
    cleanupPolicy: 'compact',
    minCleanableDirtyRatio: 1,
    maxCompactionLagMs: hour,
  })
  const append = async (from: number, key: (index: number) => string): Promise<void> => {
    for (let index = from; index < from + 3; index++)
      await log.append('table', 0, [[key(index), `${index}`.padEnd(900)]])
  }
  await append(0, (index) => `k${index}`)
  await log.clock.run(60_000)
  await append(3, () => 'k0')
  const count = async (): Promise<number> => (await log.values('table', 0)).length

  await log.clock.run(60_000)
  expect(await count()).toBe(6)
  await log.clock.run(hour)
  expect(await count()).toBe(4)
  await log.close()
})

test('compact,delete does both: the newest record of a key stays until its segment is too old', async () => {
  const log = await LogHarness.open({
    recentBytesMax: 0,
    compactionIntervalMs: 1000,
    retentionCheckIntervalMs: 1000,
    checkpointIntervalMs: 5000,
  })
  await log.topic('table', 1, { segmentBytes: 1024, cleanupPolicy: 'compact,delete', retentionMs: hour })
  for (let index = 0; index < 6; index++) await log.append('table', 0, [[`k${index % 2}`, `${index}`.padEnd(900)]])
  const values = async (): Promise<string[]> => (await log.values('table', 0)).map((value) => value.trim())

  await log.clock.run(30_000)
  expect(await values()).toEqual(['3', '4', '5'])
  await log.clock.run(hour)
  expect(await values()).toEqual(['5'])
  log.crash({ powerCutSeed: 9 })
  await log.reopen()
  expect(await values()).toEqual(['5'])
  await log.close()
})

test.each([
  [1, 16],
  [8, 4],
])(
  'with %d partitions and checkpointBytes of 64 KiB a mebibyte of journal causes about %d checkpoints',
  async (partitions, expected) => {
    const log = await LogHarness.open({ checkpointBytes: 64 * 1024 })
    await log.topic('events', partitions)
    const append = async (bytes: number): Promise<void> => {
      for (let index = 0; index * 8192 < bytes; index++) {
        await log.append('events', index % partitions, [`${index}`.padEnd(8000)])
        await log.clock.nextTurn()
      }
    }
    // The first checkpoint learns the number of partitions.
    await append(128 * 1024)
    let checkpoints = 0
    log.disk.onOperation = ({ kind, path }) => void (kind === 'sync' && /checkpoint-[01]/.test(path) && checkpoints++)
    await append(1024 * 1024)

    expect(checkpoints).toBeGreaterThanOrEqual(expected - 2)
    expect(checkpoints).toBeLessThanOrEqual(expected + 1)
    await log.close()
  },
)

describe('compaction that ended in the middle of a segment', () => {
  const config = {
    cleanupPolicy: 'compact',
    segmentBytes: 1024,
    minCleanableDirtyRatio: 0.01,
    deleteRetentionMs: 0,
  } as const
  const at = { topic: 'table', partition: 0 }

  /** The first segment holds `k`, the second its tombstone behind the open transaction at which compaction stops. */
  async function stopped(checkpoints: boolean): Promise<LogHarness> {
    const log = await LogHarness.open({
      recentBytesMax: 0,
      compactionIntervalMs: 1000,
      checkpointIntervalMs: checkpoints ? 3000 : 40_000,
    })
    await log.topic('table', 1, config)
    const writer = await TransactionalWriter.open(log.log.broker, 'writer', 900_000)
    await log.append('table', 0, [['a', 'first']])
    await log.append('table', 0, [['a', 'second']])
    await log.append('table', 0, [['k', 'deleted'.padEnd(800)]])
    await log.append('table', 0, [['b', 'first']])
    await log.append('table', 0, [['b', 'second'.padEnd(200)]])
    await writer.write('table', 0, [['c', 'open']])
    await log.append('table', 0, [['k', null]])
    await log.append('table', 0, [['d', 'rolls'.padEnd(900)]])
    await log.clock.run(10_000)
    expect((await readAll(log.log, at)).map(({ offset }) => offset)).toEqual([1, 2, 4, 5, 6, 7])
    await writer.end('commit')
    return log
  }

  async function keys(log: LogHarness): Promise<readonly (string | null)[]> {
    return (await readAll(log.log, at)).map(({ key }) => key)
  }

  test.each([
    ['after a clean stop', true, async (log: LogHarness) => log.close()],
    ['after a crash', true, async (log: LogHarness) => log.crash()],
    ['after a crash before its checkpoint', false, async (log: LogHarness) => log.crash()],
    ['without a stop', true, null],
  ])('continues there %s: what a tombstone deleted stays deleted', async (_when, checkpoints, stop) => {
    const log = await stopped(checkpoints)
    if (stop !== null) {
      await stop(log)
      await log.reopen()
    }
    // Several passes, each with something to do: the tombstone is read, its horizon passes, it is dropped.
    for (let pass = 0; pass < 6; pass++) {
      await log.append('table', 0, [['d', `${pass}`.padEnd(900)]])
      await log.clock.run(100_000)
    }
    expect(await keys(log)).toEqual(['a', 'b', 'c', 'd', 'd'])
    await log.close()
  })
})

// The number of promises after the last disk operation of a pass: around there its entry is written.
test.each([-1, 0, 1, 2, 3])(
  'a compaction pass that the log start overtakes (%i) has no effect and leaves no files',
  async (hops) => {
    const log = await LogHarness.open({
      recentBytesMax: 0,
      compactionIntervalMs: 1000,
      checkpointIntervalMs: 3000,
    })
    const config = { cleanupPolicy: 'compact,delete', segmentBytes: 1024, minCleanableDirtyRatio: 0.01 } as const
    await log.topic('table', 1, { ...config, deleteRetentionMs: 0 })
    const at = { topic: 'table', partition: 0 }
    await log.append('table', 0, [['a', 'purged'.padEnd(900)]])
    await log.append('table', 0, [['k', 'deleted'.padEnd(900)]])
    await log.append('table', 0, [['k', null]])
    await log.append('table', 0, [['d', 'rolls'.padEnd(900)]])
    // All closed segments become one, and while it is written the first of them is deleted.
    await log.log.admin.alterTopicConfig('table', { segmentBytes: 1_000_000 })
    const purged: Promise<unknown>[] = []
    const purge = async (): Promise<unknown> => {
      for (let hop = 0; hop < hops; hop++) await Promise.resolve()
      return await log.log.admin.deleteRecords([{ at, offset: 1 }])
    }
    log.disk.onOperation = ({ kind, path }) => {
      const isTime = hops < 0 ? path.endsWith('.log.cleaned') : kind === 'syncDirectory'
      if (isTime && purged.length === 0) purged.push(purge())
    }
    await log.clock.run(1500)
    expect(await Promise.all(purged), 'there was a pass').toEqual([[{ at, offset: 1 }]])
    expect(log.disk.list('/log/table-0').filter((name) => name.endsWith('.cleaned'))).toEqual([])
    await log.log.admin.alterTopicConfig('table', { segmentBytes: 1024 })
    for (let pass = 0; pass < 6; pass++) {
      await log.append('table', 0, [['d', `${pass}`.padEnd(900)]])
      await log.clock.run(10_000)
    }
    expect((await readAll(log.log, at)).map(({ key }) => key)).toEqual(['d', 'd'])
    await log.close()
  },
)

test('a compaction pass still takes effect for the segments that were not deleted meanwhile', async () => {
  const log = await LogHarness.open({ recentBytesMax: 0, compactionIntervalMs: 1000, checkpointIntervalMs: 3000 })
  const config = { cleanupPolicy: 'compact,delete', segmentBytes: 1024, minCleanableDirtyRatio: 0.01 } as const
  await log.topic('table', 1, config)
  const at = { topic: 'table', partition: 0 }
  for (const key of ['a', 'b', 'c', 'd'])
    for (const value of ['old', 'new']) await log.append('table', 0, [[key, value.padEnd(400)]])
  await log.append('table', 0, [['e', 'rolls'.padEnd(900)]])
  const purged: Promise<unknown>[] = []
  log.disk.onOperation = ({ path }) => {
    if (path.endsWith('6.log.cleaned') && purged.length === 0)
      purged.push(log.log.admin.deleteRecords([{ at, offset: 3 }]))
  }

  await log.clock.run(1500)

  expect(await Promise.all(purged), 'there was a pass').toEqual([[{ at, offset: 3 }]])
  expect((await readAll(log.log, at)).map(({ offset }) => offset)).toEqual([3, 5, 7, 8])
  expect(log.disk.list('/log/table-0').filter((name) => name.endsWith('.cleaned'))).toEqual([])
  await log.close()
  log.clock.advance(1)
  await log.reopen()
  expect((await readAll(log.log, at)).map(({ offset }) => offset)).toEqual([3, 5, 7, 8])
  await log.close()
})
