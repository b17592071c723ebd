import { describe, expect, test, vi } from 'vitest'
import { ByteWriter } from '../../../src/base/bytes.ts'
import { adoptDirectory, type AdoptReport } from '../../../src/log/adopt/adopt-directory.ts'
import { LogError } from '../../../src/log/api/errors.ts'
import type { Isolation } from '../../../src/log/api/log.ts'
import type { TopicPartition } from '../../../src/log/api/record.ts'
import { encodeOffsetKey, encodeOffsetValue } from '../../../src/log/broker/groups/offset-records.ts'
import { BatchBuilder, type SealOptions } from '../../../src/log/format/batch-builder.ts'
import { writeString } from '../../../src/log/format/kafka-string.ts'
import { stampChecksum } from '../../../src/log/format/record-batch.ts'
import { openLog } from '../../../src/log/open-log.ts'
import { verifyDirectory } from '../../../src/log/verify/verify-directory.ts'
import { DiskError } from '../../../src/testing/disk-error.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { recordOf } from '../../harness/log-harness.ts'
import { BrokerDirectory, source, type BrokerPartition, type WrittenRecord } from './broker-directory.ts'

const clock = new ManualClock(1_700_000_000_000)
const ordersId = 'b3JkZXJzAAAAAAAAAAAAAA'
const tableId = 'dGFibGUAAAAAAAAAAAAAAA'

function adopt(directory: BrokerDirectory, from = source): Promise<AdoptReport> {
  return adoptDirectory({ source: from, target: '/log', disk: directory.disk, clock })
}

/** Every record of the partition in the adopted directory, and where it starts and ends. */
async function found(
  directory: BrokerDirectory,
  at: TopicPartition,
  isolation: Isolation = 'durable',
): Promise<{ readonly records: readonly WrittenRecord[]; readonly start: number; readonly end: number }> {
  const log = await openLog({ dataDir: '/log', disk: directory.disk, clock })
  const consumer = log.consumer({ isolation, autoOffsetReset: 'earliest' })
  consumer.assign([at])
  const records: WrittenRecord[] = []
  for (let polled = await consumer.poll(); polled.length > 0; polled = await consumer.poll())
    for (const { offset, key, value, timestamp, headers } of polled)
      records.push({
        offset,
        timestamp,
        key: key?.toString() ?? null,
        value: value?.toString() ?? null,
        headers: Object.fromEntries(headers.map((header) => [header.key, Buffer.from(header.value ?? []).toString()])),
      })
  await consumer.close()
  const [bounds] = await log.bounds([at], isolation)
  await log.close()
  return { records, start: bounds?.start ?? -1, end: bounds?.end ?? -1 }
}

function record(
  value: string | null,
  key: string | null = null,
  timestamp = 1_600_000_000_000,
): Omit<WrittenRecord, 'offset'> {
  return { key, value, timestamp, headers: value === null ? {} : { of: value } }
}

/** A batch of `__consumer_offsets` with one offset of a group. */
function offsetBatch(group: string, at: TopicPartition, offset: number, seal: SealOptions = {}): Buffer {
  const [key, value] = [new ByteWriter(), new ByteWriter()]
  encodeOffsetKey(key, group, at)
  encodeOffsetValue(value, { at, offset, leaderEpoch: 0, metadata: '' }, 1)
  return recordBatch(key.toBytes(), value.toBytes(), seal)
}

/** A batch of `__transaction_state`: version 0 of key and value, with one partition of the transaction. */
function stateBatch(transactionalId: string, producerId: number, status: number): Buffer {
  const [key, value] = [new ByteWriter(), new ByteWriter()]
  key.i16(0)
  writeString(key, transactionalId)
  value.i16(0)
  value.i64(producerId)
  value.i16(0)
  value.i32(60_000)
  value.u8(status)
  value.i32(0)
  value.i64(1)
  value.i64(1)
  return recordBatch(key.toBytes(), value.toBytes())
}

function recordBatch(key: Uint8Array, value: Uint8Array, seal: SealOptions = {}): Buffer {
  const builder = new BatchBuilder()
  const record = recordOf(['', '', 1])
  builder.append({ ...record, key, keyStart: 0, keyEnd: key.length, value, valueStart: 0, valueEnd: value.length })
  return Buffer.from(builder.finish(seal))
}

const orders = { topic: 'orders', partition: 0 }
const table = { topic: 'table', partition: 0 }

/** A topic with all codecs in two segments and two leader epochs, and a table that was compacted. */
function someTopics(directory: BrokerDirectory): { readonly orders: BrokerPartition; readonly table: BrokerPartition } {
  const plain = directory.partition('orders-0', ordersId)
  for (const [index, compression] of (['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const).entries()) {
    if (index === 2) plain.roll()
    if (index === 3) plain.epoch(4)
    plain.write([record(`${compression} a`), record(`${compression} b`.repeat(50), 'key', 5 + index)], { compression })
  }
  const cleaned = directory.partition('table-0', tableId)
  cleaned.gap(3)
  cleaned.write([record('1', 'a'), record('2', 'b'), record(null, 'c'), record('4', 'd'), record('5', 'e')], {
    compression: 'gzip',
    keeps: (index) => index === 1 || index === 2,
  })
  cleaned.gap(20)
  cleaned.write([record('6', 'f'), record('7', 'g')], {
    keeps: () => false,
    producerId: 9,
    producerEpoch: 0,
    baseSequence: 0,
  })
  cleaned.write([record('8', 'h')])
  cleaned.roll(50)
  cleaned.write([record('9', 'i')])
  return { orders: plain, table: cleaned }
}

describe('adopting a broker’s directory', () => {
  test('keeps every record of every codec, also of a compacted topic with gaps, and does not change the source', async () => {
    const directory = new BrokerDirectory()
    const written = someTopics(directory)
    const before = directory.disk.list(`${source}/orders-0`).map((name) => directory.bytes(`orders-0/${name}`))
    const report = await adopt(directory)
    expect(report.topics.map(({ name, id }) => [name, id])).toEqual([
      ['orders', ordersId],
      ['table', tableId],
    ])

    const { records, start, end } = await found(directory, orders)
    expect(records).toEqual(written.orders.records)
    expect([start, end]).toEqual([0, 10])
    const cleaned = await found(directory, table)
    expect(cleaned.records).toEqual(written.table.records)
    expect(cleaned.records.map(({ offset }) => offset)).toEqual([4, 5, 30, 50])
    expect(directory.disk.list(`${source}/orders-0`).map((name) => directory.bytes(`orders-0/${name}`))).toEqual(before)

    const { findings } = await verifyDirectory({ dataDir: '/log', disk: directory.disk, clock })
    expect(findings).toEqual([])
    const log = await openLog({ dataDir: '/log', disk: directory.disk, clock })
    expect(await log.epochEnds([{ at: orders, leaderEpoch: 0 }])).toMatchObject([{ offset: 6 }])
    expect(await log.offsetsForTime([{ at: orders, timestamp: 1_600_000_000_000 }])).toMatchObject([{ offset: 0 }])
    const producer = log.producer()
    expect(await producer.send({ topic: 'orders', value: 'goes on' })).toMatchObject({ offset: 10 })
    await producer.close()
    await log.close()
  })

  test('lets compaction continue where the broker’s cleaner ended, in the middle of a segment', async () => {
    const directory = new BrokerDirectory()
    const cleaned = directory.partition('table-0', tableId)
    cleaned.gap(3)
    cleaned.write([record('deleted', 'k')])
    cleaned.write([record(null, 'k')])
    cleaned.roll()
    cleaned.write([record('1', 'd')])
    await adopt(directory)
    const options = { compactionIntervalMs: 1000, checkpointIntervalMs: 3000, recentBytesMax: 0 }
    const log = await openLog({ dataDir: '/log', disk: directory.disk, clock, ...options })
    await log.admin.alterTopicConfig('table', {
      cleanupPolicy: 'compact',
      segmentBytes: 1024,
      minCleanableDirtyRatio: 0.01,
      deleteRetentionMs: 0,
    })
    const producer = log.producer()
    for (let pass = 0; pass < 6; pass++) {
      const sent = producer.send({ topic: 'table', key: 'd', value: `${pass}`.padEnd(900) })
      await clock.run(10_000)
      await sent
    }
    await producer.close()
    await log.close()
    // The tombstone was read, its horizon has passed and it is gone: the record it deleted went before it.
    const { records } = await found(directory, table)
    expect(records.map(({ key }) => key)).toEqual(['d', 'd'])
  })

  test('keeps the outcome of ended transactions, aborts open ones, and reports those', async () => {
    const directory = new BrokerDirectory()
    const partition = directory.partition('orders-0', ordersId)
    const transactional = (producerId: number, value: string, baseSequence = 0): void =>
      partition.write([record(value)], { producerId, producerEpoch: 0, baseSequence, transactional: true })
    transactional(1, 'committed')
    transactional(2, 'aborted')
    partition.marker(1, 'commit')
    partition.roll()
    partition.write([record('plain')])
    partition.marker(2, 'abort')
    partition.roll()
    transactional(3, 'open')
    partition.write([record('behind')])

    const { notes } = await adopt(directory)
    expect(notes.join('\n')).toMatch(/orders-0: the transaction of producer 3 from offset 5 on was open; it is aborted/)
    expect((await found(directory, orders)).records).toEqual(partition.records)
    const values = (await found(directory, orders, 'committed')).records.map(({ value }) => value)
    expect(values).toEqual(['committed', 'plain', 'behind'])
    const names = directory.disk.list('/log/orders-0').filter((name) => /txnindex|snapshot/.test(name))
    expect(names.map((name) => name.replace(/^0+(?=\d)/, ''))).toEqual([
      '3.snapshot',
      '3.txnindex',
      '5.snapshot',
      '7.snapshot',
      '7.txnindex',
      '8.snapshot',
    ])
    expect((await verifyDirectory({ dataDir: '/log', disk: directory.disk, clock })).findings).toEqual([])
  })

  test.each([
    { status: 2, is: 'committed', values: ['open', 'behind'], offset: 7 },
    { status: 3, is: 'aborted', values: ['behind'], offset: 4 },
  ])(
    'ends a transaction as its coordinator had decided, with the offsets that it carries: $is',
    async ({ status, is, values, offset }) => {
      const directory = new BrokerDirectory()
      const partition = directory.partition('orders-0', ordersId)
      partition.write([record('open')], { producerId: 3, producerEpoch: 0, baseSequence: 0, transactional: true })
      partition.write([record('behind')])
      const offsets = directory.partition('__consumer_offsets-0', 'b2Zmc2V0cwAAAAAAAAAAAA')
      offsets.raw(offsetBatch('g', orders, 4))
      offsets.raw(
        offsetBatch('g', orders, 7, { producerId: 3, producerEpoch: 0, baseSequence: 0, transactional: true }),
      )
      directory.partition('__transaction_state-0', 'c3RhdGUAAAAAAAAAAAAAAA').raw(stateBatch('id', 3, status))

      const { notes } = await adopt(directory)

      const outcome = (from: number): string =>
        `the transaction of producer 3 from offset ${from} on was open; it is ${is}, as its`
      expect(notes.join('\n')).toContain(`orders-0: ${outcome(0)}`)
      expect(notes.join('\n')).toContain(`__consumer_offsets-0: ${outcome(1)}`)
      expect((await found(directory, orders, 'committed')).records.map(({ value }) => value)).toEqual(values)
      const log = await openLog({ dataDir: '/log', disk: directory.disk, clock })
      expect(log.admin.committedOffsets('g', [orders])).toMatchObject([{ at: orders, offset }])
      await log.close()
    },
  )

  test('keeps the broker’s log start, and leaves out what was being deleted', async () => {
    const directory = new BrokerDirectory()
    const written = someTopics(directory)
    directory.checkpoint('log-start', { 'orders-0': 3 })
    const gone = directory.partition(`gone-0.${'0'.repeat(32)}-delete`, tableId)
    gone.write([record('gone')])
    directory.file('orders-0/00000000000000000077.log.deleted', 'x')
    const { notes } = await adopt(directory)
    expect(notes.join('\n')).toContain('left out, it was being deleted')
    const { records, start } = await found(directory, orders)
    expect(start).toBe(3)
    expect(records).toEqual(written.orders.records.slice(3))
  })

  test('uses a finished swap in place of the segment it replaces, and ignores an unfinished cleaning', async () => {
    const directory = new BrokerDirectory()
    const written = someTopics(directory)
    const first = `orders-0/${'0'.repeat(20)}`
    directory.file(`${first}.log.swap`, directory.bytes(`${first}.log`))
    directory.file(`${first}.log`, 'old bytes that the swap replaces')
    directory.file(`table-0/${'9'.padStart(20, '0')}.log.cleaned`, 'half')
    await adopt(directory)
    expect((await found(directory, orders)).records).toEqual(written.orders.records)
    expect((await found(directory, table)).records).toEqual(written.table.records)
  })

  test.each(['/log/', '/some/../log', '/log//', '/log/.'])('takes %s for the directory that it is', async (target) => {
    const directory = new BrokerDirectory()
    const partition = directory.partition('orders-0', ordersId)
    partition.write([record('a')])
    directory.disk.makeDirectory('/log')

    await adoptDirectory({ source: `${source}/`, target, disk: directory.disk, clock })

    expect((await found(directory, orders)).records).toEqual(partition.records)
    expect(directory.disk.list('/')).toEqual(['kafka', 'log'])
  })

  test.each([
    ['source', { source: '', target: '/log' }],
    ['target', { source, target: '' }],
    ['target', { source, target: 5 as never }],
  ])('needs the name of a %s', async (name, options) => {
    await expect(adoptDirectory({ ...options, disk: new BrokerDirectory().disk, clock })).rejects.toThrow(
      new RegExp(`INVALID_CONFIG: ${name} of adoptDirectory is .*: name a directory`),
    )
  })

  test('needs neither indexes nor ids nor epochs nor checkpoints', async () => {
    const directory = new BrokerDirectory()
    const written = someTopics(directory)
    for (const name of directory.disk.list(`${source}/orders-0`))
      if (!name.endsWith('.log')) directory.remove(`orders-0/${name}`)
    for (const name of ['recovery-point', 'log-start', 'replication', 'cleaner'])
      directory.remove(`${name}-offset-checkpoint`)
    const { topics } = await adopt(directory)
    expect(topics.find(({ name }) => name === 'orders')?.id).toMatch(/^[\w-]{22}$/)
    expect((await found(directory, orders)).records).toEqual(written.orders.records)
  })
})

describe('a directory that does not have all of a topic, or has a copy of it,', () => {
  test('adopts both topics if one has the id of the other, and says so', async () => {
    // given: a backup beside the original, as `cp -r orders-0 orders-backup-0` makes it
    const directory = new BrokerDirectory()
    const original = directory.partition('orders-0', ordersId)
    original.write([record('a'), record('b')])
    const copy = directory.partition('orders-backup-0', ordersId)
    copy.write([record('a')])

    const { topics, notes } = await adopt(directory)

    expect((await found(directory, orders)).records).toEqual(original.records)
    expect((await found(directory, { topic: 'orders-backup', partition: 0 })).records).toEqual(copy.records)
    expect(topics[0]?.id).toBe(ordersId)
    expect(notes.join('\n')).toContain('orders-backup: has the topic id of orders')
  })

  test('says how many partitions of a topic are not there', async () => {
    const directory = new BrokerDirectory()
    directory.partition('orders-1', ordersId).write([record('b')])
    directory.partition('orders-3', ordersId).write([record('d')])
    const { topics, notes } = await adopt(directory)
    expect(topics).toMatchObject([{ name: 'orders', partitions: 4 }])
    expect(notes).toContain('orders: 2 of its 4 partitions are not in this directory and begin empty')
  })
})

describe('a directory that cannot be adopted as it is', () => {
  async function refused(directory: BrokerDirectory, from?: string): Promise<LogError> {
    const error = await adopt(directory, from).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(LogError)
    expect(directory.disk.exists('/log'), 'no half of it').toBe(false)
    return error as LogError
  }

  /** A directory whose last segment of orders is changed by `harm`. */
  function harmed(harm: (bytes: Buffer) => Uint8Array): {
    readonly directory: BrokerDirectory
    readonly written: BrokerPartition
  } {
    const directory = new BrokerDirectory()
    const written = someTopics(directory).orders
    directory.file(written.log, harm(directory.bytes(written.log)))
    return { directory, written }
  }

  const torn = (bytes: Buffer): Uint8Array => bytes.subarray(0, bytes.length - 5)

  test('with a torn end after the broker was killed loses only what was not synced, and reports it', async () => {
    const { directory, written } = harmed(torn)
    directory.remove('.kafka_cleanshutdown')
    const { notes } = await adopt(directory)
    expect(notes.join('\n')).toMatch(/orders-0: torn at byte \d+ of .*, offset 8: \d+ bytes/)
    const { records, end } = await found(directory, orders)
    expect(records).toEqual(written.records.slice(0, 8))
    expect(end).toBe(8)
  })

  test('with a torn end after a clean close, or below the recovery point, is CORRUPT_BATCH with file, byte and remedy', async () => {
    const closed = await refused(harmed(torn).directory)
    expect(closed).toMatchObject({
      code: 'CORRUPT_BATCH',
      values: { path: expect.stringContaining('orders-0/') as string },
    })
    expect(closed.message).toMatch(/byte \d+ of .*restore the file from a copy/)
    const { directory } = harmed(torn)
    directory.remove('.kafka_cleanshutdown')
    directory.checkpoint('recovery-point', { 'orders-0': 10 })
    expect((await refused(directory)).code).toBe('CORRUPT_BATCH')
  })

  test.each([
    ['beyond the next segment', 'orders-0/00000000000000000000.log', 5],
    ['beyond what a segment can hold', 'orders-0/00000000000000000004.log', 3],
  ])('with a batch whose base offset was changed to one %s is CORRUPT_BATCH', async (_how, log, byte) => {
    const directory = new BrokerDirectory()
    someTopics(directory)
    const bytes = directory.bytes(log)
    // The last batch of the segment. Its base offset is outside of its checksum.
    let last = 0
    for (let at = 0; at < bytes.length; at += bytes.readInt32BE(at + 8) + 12) last = at
    bytes[last + byte] = 8
    directory.file(log, bytes)
    await expect(adopt(directory)).rejects.toMatchObject({ code: 'CORRUPT_BATCH' })
    expect(directory.disk.exists('/log')).toBe(false)
  })

  test('without its last segment, although the broker had synced it, is CORRUPT_BATCH with the remedy', async () => {
    const directory = new BrokerDirectory()
    const { orders: written } = someTopics(directory)
    directory.checkpoint('recovery-point', { 'orders-0': written.end })
    directory.remove(written.log.replace('.log', '.index'))
    directory.remove(written.log)
    await expect(adopt(directory)).rejects.toThrow(
      /CORRUPT_BATCH.*orders-0 ends at offset 4, but the broker had synced it up to 10.*restore/,
    )
    expect(directory.disk.exists('/log')).toBe(false)
  })

  test('with an index whose segment is missing says so', async () => {
    const directory = new BrokerDirectory()
    someTopics(directory)
    directory.remove('orders-0/00000000000000000000.log')
    const { notes } = await adopt(directory)
    expect(notes).toContainEqual(
      expect.stringMatching(/^orders-0: 00000000000000000000.index has no segment.*records.*missing/),
    )
  })

  test('with invalid records under a valid checksum is CORRUPT_BATCH', async () => {
    const directory = new BrokerDirectory()
    const partition = directory.partition('orders-0', ordersId)
    partition.write([record('one'), record('two')])
    const bytes = directory.bytes(partition.log)
    bytes.writeUInt8(0x7e, 61)
    stampChecksum(bytes, 0)
    directory.file(partition.log, bytes)
    const error = await refused(directory)
    expect(error).toMatchObject({ code: 'CORRUPT_BATCH', values: { filePosition: 0 } })
    expect(error.message).toContain('record of')
  })

  test('of a newer Kafka is NEWER_FORMAT', async () => {
    const directory = new BrokerDirectory()
    someTopics(directory)
    directory.file('meta.properties', 'version=7\nnode.id=1\n')
    const error = await refused(directory)
    expect(error).toMatchObject({ code: 'NEWER_FORMAT', values: { version: '7' } })
    expect(error.message).toMatch(/meta\.properties.*version 7.*0 and 1/)
  })

  test('with a copy whose name ends with a date is FOREIGN_DIRECTORY, because no topic has so many partitions', async () => {
    const directory = new BrokerDirectory()
    someTopics(directory)
    directory.partition('orders-20260131', ordersId).write([record('a')])
    expect((await refused(directory)).message).toMatch(
      /FOREIGN_DIRECTORY: \/kafka\/orders-20260131 has the name of partition 20260131 of topic orders.* elsewhere/,
    )
  })

  test.each(['list', 'open'] as const)(
    'whose partitions this user may not read (%s) is READ_FAILED',
    async (forbidden) => {
      const directory = new BrokerDirectory()
      someTopics(directory)
      const { disk } = directory
      const allowed = disk[forbidden].bind(disk) as (path: string, mode?: 'read') => never
      vi.spyOn(disk, forbidden).mockImplementation((path: string, mode?: unknown) => {
        if (path.startsWith(`${source}/orders-0`)) throw new DiskError('EIO', forbidden, path)
        return allowed(path, mode as 'read')
      })
      await expect(adoptDirectory({ source, target: '/log', disk, clock })).rejects.toThrow(
        /READ_FAILED: \/kafka cannot be read .*orders-0/,
      )
      expect(directory.disk.exists('/log')).toBe(false)
    },
  )

  test('because it is a file, or the target is one, is FOREIGN_DIRECTORY', async () => {
    const directory = new BrokerDirectory()
    someTopics(directory)
    directory.disk.open('/file', 'create').close()
    expect((await refused(directory, '/file')).message).toMatch(/FOREIGN_DIRECTORY.*name one of its log.dirs/)
    await expect(adoptDirectory({ source, target: '/file', disk: directory.disk, clock })).rejects.toThrow(
      /FOREIGN_DIRECTORY: \/file is not a directory/,
    )
  })

  test('of another program, or that does not exist, is FOREIGN_DIRECTORY; so is a target that is not empty', async () => {
    const directory = new BrokerDirectory()
    someTopics(directory)
    directory.disk.makeDirectory('/thesis')
    directory.disk.open('/thesis/chapter-1', 'create').write(Buffer.from('years'), 0)
    for (const from of ['/thesis', '/nowhere'])
      expect((await refused(directory, from)).message).toMatch(/FOREIGN_DIRECTORY.*name one of its log.dirs/)
    await expect(adoptDirectory({ source, target: '/thesis', disk: directory.disk, clock })).rejects.toThrow(
      /FOREIGN_DIRECTORY.*chapter-1/,
    )
    expect(directory.disk.list('/thesis')).toEqual(['chapter-1'])
    for (const target of [source, `${source}/mine`])
      await expect(adoptDirectory({ source, target, disk: directory.disk, clock })).rejects.toThrow(
        /FOREIGN_DIRECTORY: .* is in the source, which is only read/,
      )
    // Adopting a directory of millrace would leave its journal behind.
    await (await openLog({ dataDir: '/ours', disk: directory.disk, clock })).close()
    expect((await refused(directory, '/ours')).message).toMatch(/FOREIGN_DIRECTORY.*millrace.*open it as it is/)
    directory.disk.makeDirectory('/log.adopting')
    expect((await refused(directory)).message).toContain('remove it, then adopt again')
  })
})
