import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { SystemClock } from '../../../src/base/clock.ts'
import type { Disk, DiskFile } from '../../../src/base/disk.ts'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import type { Broker } from '../../../src/log/broker/broker.ts'
import { openBroker } from '../../../src/log/broker/open-broker.ts'
import { logConfig } from '../../../src/log/config.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import { outgoingRecord } from '../../../src/log/api/record.ts'
import { LogError } from '../../../src/log/api/errors.ts'
import { offsetsTopic, transactionsTopic } from '../../../src/log/api/internal-topics.ts'
import { batchOf, LogHarness, recordOf } from '../../harness/log-harness.ts'
import { outside, TransactionalWriter } from '../../harness/transactional-writer.ts'

const at = { topic: 'events', partition: 0 }
const progress = { group: 'app', generation: -1, offsets: [], sections: [], build: null, configuration: '' }

test('after a failed sync a sequenced commit is ABORTED for its committer and for readers that have read it', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events', 1)
  await harness.append('events', 0, ['durable'])
  const reader = harness.log.broker.openReader({ isolation: 'sequenced' })
  const durable = harness.log.broker.openReader({ isolation: 'durable' })
  reader.assign([{ at, offset: 1 }])
  durable.assign([{ at, offset: 0 }])
  const staged = harness.log.broker.openCommitter({ id: 'app' }).begin()
  staged.to(at).append(recordOf('lost'), -1, 'output')

  harness.disk.faults.failSyncAt = harness.disk.counts.sync + harness.disk.counts.syncDirectory + 1
  const { sequenced, durable: outcome } = staged.commit(progress)
  const polled = reader.poll({ bytesMax: 1e6, waitMs: 0 })
  await sequenced
  const [chunk] = await polled
  expect(chunk?.nextOffset).toBe(2)

  await expect(outcome).rejects.toMatchObject({ code: 'ABORTED' })
  await expect(reader.poll({ bytesMax: 1e6, waitMs: 0 })).rejects.toMatchObject({ code: 'ABORTED' })
  // A reader of durable records can read on; every write is refused.
  expect((await durable.poll({ bytesMax: 1e6, waitMs: 0 }))[0]?.nextOffset).toBe(1)
  expect(harness.log.broker.bounds([at], 'sequenced')[0]?.end).toBe(1)
  await expect(harness.append('events', 0, ['more'])).rejects.toMatchObject({ code: 'WRITE_FAILED' })
  await expect(harness.log.broker.ready()).rejects.toMatchObject({ code: 'WRITE_FAILED' })
  reader.assign([{ at, offset: 0 }])
  expect((await reader.poll({ bytesMax: 1e6, waitMs: 0 }))[0]?.nextOffset).toBe(1)
  await harness.close()
})

test('after compaction fails to sync a directory nothing more is acknowledged, and acknowledged records are kept', async () => {
  for (const which of [1, 2]) {
    const harness = await LogHarness.open({ compactionIntervalMs: 1000, checkpointIntervalMs: 20_000 })
    await harness.topic('table', 1, { segmentBytes: 2048, cleanupPolicy: 'compact' })
    const acknowledged: string[] = []
    const put = async (index: number): Promise<void> => {
      await harness.append('table', 0, [[`k${index % 3}`, `${index}`.padEnd(400)]])
      acknowledged.push(`${index}`)
    }
    for (let index = 0; index < 40; index++) await put(index)
    const { disk } = harness
    let left = which
    disk.onOperation = ({ kind }) => {
      if (kind === 'syncDirectory' && --left === 0)
        disk.faults.failSyncAt = disk.counts.sync + disk.counts.syncDirectory + 1
    }
    await harness.clock.run(3000)
    expect(left).toBeLessThanOrEqual(0)

    await expect(put(40)).rejects.toMatchObject({ code: 'WRITE_FAILED' })
    await harness.clock.run(40_000)
    for (let seed = 0; seed < 8; seed++) {
      const after = LogHarness.on(disk.cut(new SeededRandom(seed)))
      await after.reopen()
      expect((await after.values('table', 0)).slice(-3).map((value) => value.trim())).toEqual(acknowledged.slice(-3))
      await after.close()
    }
    await harness.close().catch(() => {})
  }
})

test('a disk failure while a log is opened is READ_FAILED or WRITE_FAILED, as the operation was', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events', 1)
  await harness.append('events', 0, ['kept'])
  harness.crash()
  const { disk } = harness
  const seen = new Set<string>()
  for (const fault of ['failReadAt', 'failWriteAt', 'failSyncAt'] as const)
    for (let at = 1; at < 40; at++) {
      const broken = disk.clone()
      broken.faults[fault] = at
      try {
        await LogHarness.on(broken).reopen()
      } catch (error) {
        const { code, message } = error as LogError
        seen.add(`${fault} ${code}`)
        expect(message).toContain(
          fault === 'failReadAt'
            ? 'EIO: i/o error, read'
            : (/EIO: i\/o error, (write|f.*sync)/.exec(message)?.[0] ?? 'a call'),
        )
        if (fault !== 'failReadAt') expect(message).not.toContain('read')
      }
    }
  expect([...seen].sort()).toEqual(['failReadAt READ_FAILED', 'failSyncAt WRITE_FAILED', 'failWriteAt WRITE_FAILED'])
})

test('a new data directory and its parents are durable before anything in it is acknowledged', async () => {
  const dataDir = '/var/app/log'
  const opened = async (disk: MemoryDisk): Promise<LogHarness> => {
    const harness = LogHarness.on(disk, { dataDir })
    await harness.reopen()
    return harness
  }
  // The process dies at each step of the first opening, the next one acknowledges a record, then the power is cut.
  let died = true
  for (let step = 1; died; step++) {
    const first = new MemoryDisk({ cutAt: step })
    died = await opened(first).then(
      () => false,
      () => true,
    )
    const harness = await opened(first.crashProcess())
    await harness.topic('events', 1)
    await harness.append('events', 0, ['acknowledged'])
    const after = await opened(harness.disk.cut(new SeededRandom(step)))
    expect(await after.values('events', 0), `the process died at step ${step}`).toEqual(['acknowledged'])
    await after.close()
  }
})

test('a full disk refuses what does not fit and keeps every acknowledged record', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events', 1)
  harness.disk.faults.capacityBytes = harness.disk.usedBytes + 40_000
  const acknowledged: string[] = []
  const fill = async (): Promise<void> => {
    for (let index = 0; index < 100; index++) {
      const value = `${index}`.padEnd(1000)
      await harness.append('events', 0, [value])
      acknowledged.push(value)
    }
  }
  await expect(fill()).rejects.toMatchObject({ code: 'DISK_FULL' })
  await harness.close().catch(() => {})
  harness.disk.faults.capacityBytes = undefined
  await harness.reopen()
  const values = await harness.values('events', 0)
  expect(values.slice(0, acknowledged.length)).toEqual(acknowledged)
  expect(values.length).toBeLessThanOrEqual(acknowledged.length + 1)
  await harness.close()
})

test('a commit beyond commitBytesMax is COMMIT_TOO_LARGE, names the largest partition and writes nothing', async () => {
  const harness = await LogHarness.open({ commitBytesMax: 64 * 1024 })
  await harness.topic('events', 2)
  const committer = harness.log.broker.openCommitter({ id: 'app' })
  const staged = committer.begin()
  staged.to(at).append(recordOf('small'), -1, 'output')
  for (let index = 0; index < 80; index++)
    staged.to({ topic: 'events', partition: 1 }).append(recordOf('x'.repeat(1000)), -1, 'output')
  const { sequenced } = staged.commit(progress)
  await expect(sequenced).rejects.toMatchObject({
    code: 'COMMIT_TOO_LARGE',
    message: expect.stringContaining('events-1'),
  })
  expect(await harness.values('events', 0)).toEqual([])

  const next = committer.begin()
  next.to(at).append(recordOf('next'), -1, 'output')
  await next.commit(progress).durable
  expect(await harness.values('events', 0)).toEqual(['next'])
  await harness.close()
})

test('appends above unappliedBytesMax wait in line, and all are written in order', async () => {
  const harness = await LogHarness.open({ unappliedBytesMax: 64 * 1024 })
  await harness.topic('events', 1)
  const { broker } = harness.log
  const appends: Promise<unknown>[] = []
  let waited = false
  for (let index = 0; index < 100; index++) {
    waited ||= !broker.canAppend
    appends.push(broker.append(at, batchOf([`${index}`.padEnd(4000)])))
  }
  expect(waited).toBe(true)
  await Promise.all(appends)
  expect(broker.canAppend).toBe(true)
  expect((await harness.values('events', 0)).map((value) => Number(value))).toEqual(appends.map((_, index) => index))
  await harness.close()
})

test('appends that wait for room are rejected when the log fails', async () => {
  const harness = await LogHarness.open({ unappliedBytesMax: 64 * 1024 })
  await harness.topic('events', 1)
  harness.disk.faults.failSyncAt = harness.disk.counts.sync + harness.disk.counts.syncDirectory + 1
  const appends = Array.from({ length: 40 }, () => harness.log.broker.append(at, batchOf(['x'.repeat(4000)])))
  const ready = harness.log.broker.ready()
  expect(harness.log.broker.canAppend).toBe(false)
  const outcomes = await Promise.allSettled([...appends, ready])
  for (const outcome of outcomes)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'WRITE_FAILED' } })
  await harness.close()
})

test('a damaged batch, two batches at once, a missing key and an internal topic are refused before an append', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events', 1)
  await harness.topic('table', 1, { cleanupPolicy: 'compact' })
  const { broker } = harness.log
  const damaged = batchOf(['x'])
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1
  await expect(broker.append(at, damaged)).rejects.toMatchObject({ code: 'CORRUPT_BATCH' })
  const two = Buffer.concat([batchOf(['x']), batchOf(['y'])])
  await expect(broker.append(at, two)).rejects.toMatchObject({ code: 'INVALID_RECORD' })
  await expect(broker.append({ topic: 'table', partition: 0 }, batchOf(['no key']))).rejects.toMatchObject({
    code: 'INVALID_RECORD',
  })
  await expect(broker.append({ topic: '__consumer_offsets', partition: 0 }, batchOf(['x']))).rejects.toMatchObject({
    code: 'INVALID_TOPIC',
  })
  expect(broker.bounds([at], 'sequenced')[0]?.end).toBe(0)
  await harness.close()
})

test('a record with an invalid timestamp is refused, and its commit can go on', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events', 1)
  const staged = harness.log.broker.openCommitter({ id: 'app' }).begin()
  const record = outgoingRecord()
  record.timestamp = -1
  expect(() => staged.to(at).append(record, -1, 'output')).toThrow(/INVALID_TIMESTAMP/)
  staged.to(at).append(recordOf('good'), -1, 'output')
  await staged.commit(progress).durable
  expect(await harness.values('events', 0)).toEqual(['good'])
  await harness.close()
})

test('a poll after a failed read returns what could not be read before', async () => {
  const harness = await LogHarness.open({ recentBytesMax: 0 })
  await harness.topic('events', 1)
  await harness.append('events', 0, ['a'])
  const reader = harness.log.broker.openReader({ isolation: 'durable' })
  reader.assign([{ at, offset: 0 }])
  harness.disk.faults.failReadAt = harness.disk.counts.read + 1
  await expect(reader.poll({ bytesMax: 1e6, waitMs: 0 })).rejects.toMatchObject({ code: 'READ_FAILED' })
  expect((await reader.poll({ bytesMax: 1e6, waitMs: 0 }))[0]?.nextOffset).toBe(1)
  await harness.close()
})

test('a commit that fails while offsets are assigned leaves no hole behind', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events', 1)
  await harness.append('events', 0, ['first'])
  const staged = harness.log.broker.openCommitter({ id: 'app' }).begin()
  // A record of a section that the commit does not have is noticed only after its offset is assigned.
  staged.to(at).append(recordOf('refused'), 7, 'output')
  expect(() => staged.commit(progress)).toThrow('section 7')
  expect(harness.log.broker.bounds([at], 'sequenced')[0]?.end).toBe(1)

  await harness.append('events', 0, ['second'])
  harness.crash()
  await harness.reopen()
  expect(await harness.values('events', 0)).toEqual(['first', 'second'])
  await harness.close()
})

test('commits and transactions above unappliedBytesMax wait in line with the appends, and all succeed', async () => {
  const harness = await LogHarness.open({ unappliedBytesMax: 64 * 1024 })
  await harness.topic('events', 2)
  const { broker } = harness.log
  const [left, kept, begun] = await Promise.all(
    ['left', 'kept', 'begun'].map((id) => TransactionalWriter.open(broker, id)),
  )
  if (left === undefined || kept === undefined || begun === undefined) throw new Error('three writers')
  await Promise.all([left, kept].map((writer) => writer.write('events', 1, ['x'])))
  const ends = (): readonly number[] => {
    const internal = [offsetsTopic, transactionsTopic].map((name) => broker.topic(name))
    const places = internal.flatMap((topic) =>
      Array.from({ length: topic?.partitions ?? 0 }, (_, partition) => ({ topic: topic?.name ?? '', partition })),
    )
    return broker.bounds([...places, { topic: 'events', partition: 1 }], 'sequenced').map(({ end }) => end)
  }

  const appends = Array.from({ length: 20 }, () => broker.append(at, batchOf(['x'.repeat(4000)])))
  expect(broker.canAppend).toBe(false)
  const before = ends()
  const commits = [
    broker.commitOffsets('plain', -1, [{ at, offset: 7, leaderEpoch: -1, metadata: '' }]),
    kept.offset('events', 0, 3, outside('kept')),
    kept.end('commit'),
    broker.addPartitionsToTransaction(begun, [at]),
    broker.initProducer('left', 60_000),
    broker.abortTransaction('begun'),
    broker.initProducer('new', 60_000),
  ]

  expect(ends()).toEqual(before)
  await Promise.all([...appends, ...commits])
  expect(broker.committedOffsets('plain', [at])).toMatchObject([{ offset: 7 }])
  expect(broker.committedOffsets('kept', [at])).toMatchObject([{ offset: 3 }])
  expect(broker.describeTransaction('left').phase).toBe('empty')
  expect(broker.describeTransaction('begun').phase).toBe('empty')
  await harness.close()
})

test('however many commits come at once, unapplied bytes exceed their bound by one entry at most', async () => {
  const harness = await LogHarness.open({ unappliedBytesMax: 64 * 1024 })
  await harness.topic('events', 1)
  const metadata = 'm'.repeat(4000)
  const { broker } = harness.log
  const places = Array.from({ length: 50 }, (_, partition) => ({ topic: offsetsTopic, partition }))
  const sequenced = (): number => broker.bounds(places, 'sequenced').reduce((sum, { end }) => sum + end, 0)
  const durable = (): number => broker.bounds(places, 'durable').reduce((sum, { end }) => sum + end, 0)

  let pendingMax = 0
  const commits = Array.from({ length: 200 }, async (_, offset) => {
    const committed = broker.commitOffsets('g', -1, [{ at, offset, leaderEpoch: -1, metadata }])
    pendingMax = Math.max(pendingMax, sequenced() - durable())
    await committed
    pendingMax = Math.max(pendingMax, sequenced() - durable())
  })
  await Promise.all(commits)

  expect(pendingMax).toBeLessThanOrEqual(Math.ceil((64 * 1024) / 4000))
  expect(broker.committedOffsets('g', [at])).toMatchObject([{ offset: 199 }])
  await harness.close()
})

test('commits and ends of transactions that wait for room are rejected when the log fails', async () => {
  const harness = await LogHarness.open({ unappliedBytesMax: 64 * 1024 })
  await harness.topic('events', 1)
  const { broker } = harness.log
  const writer = await TransactionalWriter.open(broker, 'id')
  await writer.write('events', 0, ['x'])
  harness.disk.faults.failSyncAt = harness.disk.counts.sync + harness.disk.counts.syncDirectory + 1
  const appends = Array.from({ length: 20 }, () => broker.append(at, batchOf(['x'.repeat(4000)])))
  const commits = [
    broker.commitOffsets('g', -1, [{ at, offset: 1, leaderEpoch: -1, metadata: '' }]),
    writer.offset('events', 0, 1, outside('g')),
    writer.end('commit'),
  ]
  for (const outcome of await Promise.allSettled([...appends, ...commits]))
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'WRITE_FAILED' } })
  await harness.close()
})

test('a transaction that has timed out is aborted when there is room for its end', async () => {
  const harness = await LogHarness.open({ unappliedBytesMax: 64 * 1024, transactionCheckIntervalMs: 1000 })
  await harness.topic('events', 2)
  const { broker } = harness.log
  const writer = await TransactionalWriter.open(broker, 'id', 1000)
  await writer.write('events', 1, ['x'])
  const appends = Array.from({ length: 20 }, () => broker.append(at, batchOf(['x'.repeat(4000)])))
  expect(broker.canAppend).toBe(false)
  harness.clock.advance(1000)
  expect(broker.describeTransaction('id').phase).toBe('ongoing')
  await Promise.all(appends)
  await broker.ready()
  expect(broker.describeTransaction('id').phase).toBe('completeAbort')
  await harness.close()
})

test('appends and commits are refused after segment files could not be written, also without room for them', async () => {
  const harness = await LogHarness.open({ unappliedBytesMax: 64 * 1024 })
  await harness.topic('events', 1)
  harness.disk.onOperation = ({ path }) => {
    if (path.includes('/events-0/')) throw Object.assign(new Error('EIO'), { code: 'EIO' })
  }
  const appends = Array.from({ length: 20 }, () => harness.log.broker.append(at, batchOf(['x'.repeat(4000)])))
  await Promise.allSettled(appends)
  await expect(harness.log.broker.ready()).rejects.toBeInstanceOf(LogError)
  expect(harness.log.broker.canAppend).toBe(false)
  await expect(harness.append('events', 0, ['more'])).rejects.toBeInstanceOf(LogError)
  await expect(harness.log.broker.commitOffsets('g', -1, [])).rejects.toBeInstanceOf(LogError)
  harness.disk.onOperation = null
  await harness.close().catch(() => {})
})

test('a file that fails to close keeps neither the log open nor its directory locked', async () => {
  const disk = new MemoryDisk()
  let fails = false
  const failing = new Proxy<Disk>(disk, {
    get: (_, name: keyof Disk) => {
      if (name !== 'open') return disk[name].bind(disk)
      return (path: string, mode: 'read' | 'write' | 'create'): DiskFile => {
        const file = disk.open(path, mode)
        const close = file.close.bind(file)
        file.close = () => {
          close()
          if (fails && mode === 'read') throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
        }
        return file
      }
    },
  })
  let taken = 0
  const open = (): Promise<Broker> =>
    openBroker({
      config: logConfig({ dataDir: '/log', threads: false, recentBytesMax: 0 }),
      disk: failing,
      clock: new SystemClock(),
      logger: silentLogger,
      randomBytes: (count) => randomBytes(count),
      lock: () => {
        taken += 1
        return { release: () => void (taken -= 1) }
      },
    })
  const broker = await open()
  await broker.createTopics([{ name: 'events', partitions: 1 }])
  await broker.append(at, batchOf(['kept']))
  const reader = broker.openReader({ isolation: 'durable' })
  reader.assign([{ at, offset: 0 }])
  expect(await reader.poll({ bytesMax: 1e6, waitMs: 0 })).toHaveLength(1)
  await reader.close()

  fails = true
  await broker.close()

  expect(taken).toBe(0)
})
