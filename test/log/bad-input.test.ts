import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { NodeDisk, type Disk } from '../../src/base/disk.ts'
import { LogError, type LogErrorCode } from '../../src/log/api/errors.ts'
import { BatchBuilder } from '../../src/log/format/batch-builder.ts'
import type { Compression } from '../../src/log/format/compression.ts'
import { stampChecksum } from '../../src/log/format/record-batch.ts'
import { openLog } from '../../src/log/open-log.ts'
import { MemoryDisk } from '../../src/testing/memory-disk.ts'
import { batchOf, LogHarness, recordOf } from '../harness/log-harness.ts'

/** The code of the LogError that the act must fail with; its message must be more than the code. */
async function refused(act: () => Promise<unknown>): Promise<LogErrorCode> {
  const error = await act().then(
    () => null,
    (thrown: unknown) => thrown,
  )
  expect(error, 'it was let in').toBeInstanceOf(LogError)
  const { code, message } = error as LogError
  expect(message.length, message).toBeGreaterThan(code.length + 20)
  return code
}

/** Checks that the log goes on and has lost nothing, whatever was refused before. */
async function goesOn(log: LogHarness): Promise<void> {
  await log.append('events', 0, ['after'])
  expect(await log.values('events', 0)).toEqual(['before', 'after'])
  await log.close()
  await log.reopen()
  expect(await log.values('events', 0)).toEqual(['before', 'after'])
  await log.close()
}

interface Lie {
  readonly lie: (batch: Buffer) => unknown
  readonly code?: LogErrorCode
  readonly compression?: Compression
  /** Records have one header each. */
  readonly headers?: boolean
}

/** Claims that many records and offsets. */
function count(records: number): (batch: Buffer) => void {
  return (batch) => {
    batch.writeInt32BE(records - 1, 23)
    batch.writeInt32BE(records, 57)
  }
}

async function opened(): Promise<LogHarness> {
  const log = await LogHarness.open()
  await log.topic('events', 1)
  await log.append('events', 0, ['before'])
  return log
}

const at = { topic: 'events', partition: 0 }

describe('bad topics and offsets', () => {
  test('a topic name that could be a path, or that Kafka does not allow, is INVALID_TOPIC', async () => {
    const log = await opened()
    for (const name of ['a/b', '/', '..', '.', 'a\0b', '', 'ä', 'a b', 'x'.repeat(250)]) {
      expect(await refused(() => log.log.admin.createTopics([{ name, partitions: 1 }])), name).toBe('INVALID_TOPIC')
      expect(await refused(() => log.log.broker.append({ topic: name, partition: 0 }, batchOf(['x'])))).toBe(
        'UNKNOWN_TOPIC',
      )
    }
    expect(log.disk.list('/log').filter((name) => name.startsWith('x'))).toEqual([])
    await goesOn(log)
  })

  test('a topic name of 249 characters is allowed, and its topic can be deleted', async () => {
    const log = await opened()
    const name = 'x'.repeat(249)
    await log.topic(name, 1)
    await log.append(name, 0, ['long'])
    await log.log.admin.deleteTopic(name)
    await goesOn(log)
  })

  test('reading from an offset below the start or beyond the end is OFFSET_OUT_OF_RANGE', async () => {
    const log = await opened()
    const reader = await log.log.openReader({ isolation: 'durable' })
    for (const offset of [-1, 2, 1e15, Number.MAX_SAFE_INTEGER]) {
      reader.assign([{ at, offset }])
      expect(await refused(() => reader.poll({ bytesMax: 1000, waitMs: 0 })), String(offset)).toBe(
        'OFFSET_OUT_OF_RANGE',
      )
    }
    await reader.close()
    await goesOn(log)
  })
})

describe('bad offsets in a log with deleted records', () => {
  test('are refused when reading, deleting and committing', async () => {
    const log = await opened()
    await log.append('events', 0, ['second', 'third'])
    await log.log.admin.deleteRecords([{ at, offset: 2 }])
    const reader = await log.log.openReader({ isolation: 'committed' })
    for (const offset of [0, 1, 4]) {
      reader.assign([{ at, offset }])
      expect(await refused(() => reader.poll({ bytesMax: 1000, waitMs: 0 })), String(offset)).toBe(
        'OFFSET_OUT_OF_RANGE',
      )
    }
    await reader.close()
    const act = (offset: number): readonly (() => Promise<unknown>)[] => [
      () => log.log.admin.deleteRecords([{ at, offset }]),
      () => log.log.purgeBefore([{ at, offset }]),
    ]
    for (const deletes of [4, -2, 1.5, Number.NaN].flatMap(act))
      expect(await refused(deletes)).toBe('OFFSET_OUT_OF_RANGE')
    for (const offset of [-1, 0.5, Number.NaN, 2 ** 60])
      expect(
        await refused(() => log.log.broker.commitOffsets('g', -1, [{ at, offset, leaderEpoch: -1, metadata: '' }])),
      ).toBe('INVALID_RECORD')
    expect(log.log.admin.committedOffsets('g', [at])).toEqual([])
    expect(await log.values('events', 0)).toEqual(['third'])
    await log.close()
  })
})

describe('bad batches and records', () => {
  test('a record over maxMessageBytes is MESSAGE_TOO_LARGE, naming both sizes, whichever client sends it', async () => {
    const log = await opened()
    await log.log.admin.alterTopicConfig('events', { maxMessageBytes: 1024 })
    const producer = log.log.producer({ compression: 'gzip' })
    const staged = log.log.broker.openCommitter({ id: 'app' }).begin()
    const large = 'x'.repeat(2000)
    const sends: readonly (() => unknown)[] = [
      () => log.append('events', 0, [large]),
      () => producer.send({ topic: 'events', value: large }),
      () => staged.to(at).append(recordOf(large), -1, 'output'),
    ]
    for (const send of sends) {
      const error = await Promise.resolve()
        .then(send)
        .catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
      expect(String(error)).toMatch(/\d{4} bytes.* for events-0.*1024.*raise maxMessageBytes/)
    }
    staged.discard()
    await producer.close()
    await goesOn(log)
  })

  test('a batch with a wrong length, count, delta, codec or checksum is refused, and nothing of it is written', async () => {
    const log = await opened()
    const lies: readonly (readonly [what: string, lie: (batch: Buffer) => Buffer, summed: boolean])[] = [
      ['a length beyond the end', (batch) => (batch.writeInt32BE(batch.length, 8), batch), false],
      ['a length below a header', (batch) => (batch.writeInt32BE(10, 8), batch), false],
      ['a negative length', (batch) => (batch.writeInt32BE(-1, 8), batch), false],
      ['another magic', (batch) => (batch.writeInt8(1, 16), batch), false],
      ['a wrong checksum', (batch) => (batch.writeUInt32BE(1, 17), batch), false],
      ['more records than offsets', (batch) => (batch.writeInt32BE(7, 57), batch), true],
      ['fewer records than bytes', (batch) => (batch.writeInt32BE(1, 57), batch), true],
      ['no records', (batch) => (batch.writeInt32BE(0, 57), batch), true],
      ['a negative count', (batch) => (batch.writeInt32BE(-2, 57), batch), true],
      ['a negative last offset', (batch) => (batch.writeInt32BE(-1, 23), batch), true],
      ['more offsets than records', (batch) => (batch.writeInt32BE(9, 23), batch), true],
      ['an unknown codec', (batch) => (batch.writeInt16BE(7, 21), batch), true],
      ['a control batch', (batch) => (batch.writeInt16BE(0x20, 21), batch), true],
      ['only a part', (batch) => batch.subarray(0, batch.length - 3), false],
      ['nothing', () => Buffer.alloc(0), false],
    ]
    for (const [what, lie, summed] of lies) {
      const batch = lie(Buffer.from(batchOf(['one', 'two'])))
      if (summed) stampChecksum(batch, 0)
      const code = await refused(() => log.log.broker.append(at, batch))
      expect(['CORRUPT_BATCH', 'INVALID_RECORD', 'UNSUPPORTED_COMPRESSION'], `${what}: ${code}`).toContain(code)
    }
    await goesOn(log)
  })

  test('invalid records under a valid checksum are refused before they get offsets, whatever the codec', async () => {
    const log = await opened()
    // A record: length, attributes, timestamp delta, offset delta, no key, 3 bytes of value, no headers; the second
    // record begins at byte 71.
    const set = (at: number, byte: number): Lie => ({ lie: (batch) => batch.writeUInt8(byte, at) })
    const lies: Readonly<Record<string, Lie>> = {
      'a record that is longer than the batch': set(61, 0x7e),
      'a record that is shorter than what is in it': set(61, 0x10),
      'a record of a negative length': set(61, 0x11),
      'an offset delta below 0': set(64, 1),
      'an offset delta that comes twice': set(74, 0),
      'an offset delta beyond the last': set(74, 10),
      'a key that is longer than the record': set(65, 0x60),
      'a key of a length below -1': set(65, 3),
      'a value that is longer than the record': set(66, 0x60),
      'headers that are not there': set(70, 4),
      'a negative number of headers': set(70, 1),
      'a header key that is longer than the record': { headers: true, lie: (batch) => batch.writeUInt8(0x60, 71) },
      'bytes behind the last header': { headers: true, lie: (batch) => batch.writeUInt8(0, 73) },
      'records that are not compressed': { lie: (batch) => batch.writeInt16BE(1, 21) },
      'compressed records of fewer': { compression: 'gzip', lie: count(3) },
      'compressed records of more': { compression: 'zstd', lie: count(1) },
      'lz4 records of more': { compression: 'lz4', lie: count(1) },
      'snappy records of fewer': { compression: 'snappy', lie: count(9) },
      'a highest timestamp that no record has': { lie: (batch) => batch.writeBigInt64BE(5n, 35) },
      'a delete horizon': { lie: (batch) => batch.writeInt16BE(0x40, 21) },
      'a negative timestamp': { ...set(63, 1), code: 'INVALID_TIMESTAMP' },
      'the time of the log': { lie: (batch) => batch.writeInt16BE(8, 21), code: 'INVALID_TIMESTAMP' },
    }
    for (const [what, { lie, code = 'INVALID_RECORD', compression = 'none', headers = false }] of Object.entries(
      lies,
    )) {
      const builder = new BatchBuilder()
      for (const value of ['one', 'two']) {
        const record = recordOf(value)
        if (headers) record.headers = [{ key: 'a', value: Buffer.from('b') }]
        builder.append(record)
      }
      const batch = Buffer.from(builder.finish({ compression }))
      lie(batch)
      stampChecksum(batch, 0)
      const error = await log.log.broker.append(at, batch).catch((thrown: unknown) => thrown)
      expect(error, what).toBeInstanceOf(LogError)
      expect(error, what).toMatchObject({ code, values: { at } })
      expect(String(error), what).toMatch(/events-0.*: (send|use)|events-0.*, fix/)
    }
    await goesOn(log)
  })

  test('a timestamp that is negative, not an integer or too far from the clock is INVALID_TIMESTAMP', async () => {
    const log = await LogHarness.open()
    const hour = 3_600_000
    await log.topic('events', 1)
    await log.topic('recent', 1, { timestampBeforeMaxMs: hour, timestampAfterMaxMs: hour })
    const producer = log.log.producer()
    const now = log.clock.now()
    const send = (topic: string, timestamp: number): Promise<string> =>
      refused(() => producer.send({ topic, value: 'x', timestamp }))
    for (const timestamp of [-1, 1.5, Number.NaN, 2 ** 53, 2 ** 53 - 1, now + 24 * hour + 1])
      expect(await send('events', timestamp), String(timestamp)).toBe('INVALID_TIMESTAMP')
    for (const timestamp of [now - hour - 1, now + hour + 1])
      expect(await send('recent', timestamp)).toBe('INVALID_TIMESTAMP')
    const said = await producer
      .send({ topic: 'recent', value: 'x', timestamp: now + hour + 1 })
      .catch((error: unknown) => String(error))
    expect(said).toContain(
      `timestamp ${now + hour + 1} of a record for topic recent is ${hour + 1} ms ahead of the clock`,
    )
    expect(said).toContain('raise timestampAfterMaxMs')

    await producer.send({ topic: 'events', value: 'last', timestamp: now + 24 * hour })
    await producer.send({ topic: 'recent', value: 'first', timestamp: now - hour })
    await producer.close()
    expect(await log.values('events', 0)).toEqual(['last'])
    expect(await log.values('recent', 0)).toEqual(['first'])
    const built = new BatchBuilder()
    built.append({ ...recordOf('x'), timestamp: now + 24 * hour + 1 })
    expect(await refused(() => log.log.broker.append(at, built.finish()))).toBe('INVALID_TIMESTAMP')
    await log.close()
  })

  test('a record from the far future, where a topic accepts it, does not hold up retention', async () => {
    const log = await LogHarness.open({ retentionCheckIntervalMs: 1000 })
    const timestampAfterMaxMs = Number.MAX_SAFE_INTEGER
    await log.topic('events', 1, { retentionMs: 3_600_000, segmentBytes: 1024, timestampAfterMaxMs })
    await log.append('events', 0, [['k', 'future'.padEnd(900), 8_000_000_000_000_000]])
    await log.append('events', 0, [['k', 'now'.padEnd(900), 1_700_000_000_000]])
    const [found] = await log.log.offsetsForTime([{ at, timestamp: 7_000_000_000_000_000 }])
    expect(found?.offset).toBe(0)
    await log.clock.run(2 * 3_600_000)
    expect((await log.values('events', 0)).map((value) => value.trim())).toEqual(['now'])
    await log.close()
  })
})

describe('bad directories', () => {
  const openOn = (disk: Disk, dataDir = '/log'): Promise<unknown> => openLog({ dataDir, disk })

  test('of a newer version or of another program are refused and left unchanged', async () => {
    const disk = new MemoryDisk()
    disk.makeDirectory('/newer')
    disk.makeDirectory('/other')
    const write = (path: string, text: string): void => disk.open(path, 'create').write(Buffer.from(text), 0)
    write('/newer/millrace.json', '{"format":99}')
    write('/other/thesis.doc', 'years of work')
    expect(await refused(() => openOn(disk, '/newer'))).toBe('NEWER_FORMAT')
    expect(await refused(() => openOn(disk, '/other'))).toBe('FOREIGN_DIRECTORY')
    expect([disk.list('/newer'), disk.list('/other')]).toEqual([['millrace.json'], ['thesis.doc']])
  })

  test('that cannot be written to are NOT_WRITABLE, or DISK_FULL', async () => {
    const failing = (code: string): Disk => {
      const disk = new MemoryDisk()
      const open: Disk['open'] = (path, mode) => {
        if (mode === 'read') return disk.open(path, mode)
        throw Object.assign(new Error(`${code}: open '${path}'`), { code })
      }
      return new Proxy(disk, {
        get: (of, name) => {
          const value: unknown = name === 'open' ? open : Reflect.get(of, name, of)
          return typeof value === 'function' ? value.bind(of) : value
        },
      })
    }
    expect(await refused(() => openOn(failing('EACCES')))).toBe('NOT_WRITABLE')
    expect(await refused(() => openOn(failing('EROFS')))).toBe('NOT_WRITABLE')
    expect(await refused(() => openOn(failing('ENOSPC')))).toBe('DISK_FULL')
  })

  test('that become read-only or unavailable while the log is open fail writers, not readers, and lose nothing', async () => {
    for (const code of ['EROFS', 'EACCES', 'EIO']) {
      const log = await opened()
      log.disk.onOperation = ({ path }) => {
        throw Object.assign(new Error(`${code}: write '${path}'`), { code })
      }
      const producer = log.log.producer()
      for (const write of [
        () => log.append('events', 0, ['lost']),
        () => producer.send({ topic: 'events', value: 'lost' }),
      ])
        expect(await refused(write)).toBe('WRITE_FAILED')
      expect(await refused(() => log.log.admin.createTopics([{ name: 'more', partitions: 1 }]))).toBe('WRITE_FAILED')
      expect(await log.values('events', 0)).toEqual(['before'])
      await log.log.close().catch(() => {})
      log.disk.onOperation = null
      log.crash()
      await log.reopen()
      await goesOn(log)
    }
  })

  test('whose segments cannot be read are READ_FAILED for their readers, and the log goes on', async () => {
    const log = await LogHarness.open({ recentBytesMax: 0 })
    await log.topic('events', 1)
    await log.append('events', 0, ['before'])
    await log.close()
    await log.reopen()
    log.disk.faults.failReadAt = log.disk.counts.read + 1
    const reader = await log.log.openReader({ isolation: 'durable' })
    reader.assign([{ at, offset: 0 }])
    expect(await refused(() => reader.poll({ bytesMax: 1000, waitMs: 0 }))).toBe('READ_FAILED')
    await reader.close()
    await goesOn(log)
  })

  test('without room for compaction keep their records, and are compacted when there is room', async () => {
    const log = await LogHarness.open({ compactionIntervalMs: 1000, checkpointIntervalMs: 3000, recentBytesMax: 0 })
    await log.topic('table', 1, { cleanupPolicy: 'compact', segmentBytes: 1024, minCleanableDirtyRatio: 0.01 })
    for (let index = 0; index < 8; index++)
      await log.append('table', 0, [
        ['k', `${index}`.padEnd(300)],
        [`only-${index}`, `${index}`.padEnd(300)],
      ])
    const before = await log.values('table', 0)
    log.disk.faults.capacityBytes = log.disk.usedBytes
    await log.clock.run(2500)
    expect(await log.values('table', 0)).toEqual(before)
    expect(log.disk.list('/log/table-0').filter((name) => name.endsWith('.cleaned'))).toEqual([])
    log.disk.faults.capacityBytes = undefined
    await log.append('table', 0, [['k', 'room'.padEnd(600)]])
    await log.clock.run(20_000)
    expect((await log.values('table', 0)).length).toBeLessThan(before.length - 4)
    await log.close()
  })

  test('that are files, belong to another program or are already open are refused', async () => {
    const work = mkdtempSync(join(tmpdir(), 'millrace-bad-input-'))
    try {
      writeFileSync(join(work, 'file'), 'x')
      expect(await refused(() => openLog({ dataDir: join(work, 'file'), threads: false }))).toBe('FOREIGN_DIRECTORY')
      expect(await refused(() => openLog({ dataDir: join(work, 'file', 'below'), threads: false }))).toBe(
        'FOREIGN_DIRECTORY',
      )
      mkdirSync(join(work, 'other'))
      writeFileSync(join(work, 'other', 'thesis.doc'), 'years of work')
      expect(await refused(() => openLog({ dataDir: join(work, 'other'), threads: false }))).toBe('FOREIGN_DIRECTORY')
      // Not even the lock file is left there.
      expect(readdirSync(join(work, 'other'))).toEqual(['thesis.doc'])
      mkdirSync(join(work, 'log'))
      const log = await openLog({ dataDir: join(work, 'log'), threads: false })
      expect(await refused(() => openLog({ dataDir: join(work, 'log'), threads: false }))).toBe('DIRECTORY_IN_USE')
      await log.close()
      expect(new NodeDisk().exists(join(work, 'log', 'millrace.json'))).toBe(true)
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  })
})

describe('a clock that moves backwards', () => {
  test('loses no record and prevents no commit of offsets or of a transaction', async () => {
    const log = await opened()
    const producer = log.log.producer({ transactionalId: 'id', transactionTimeoutMs: 10_000 })
    await producer.initTransactions()
    producer.beginTransaction()
    log.clock.jumpTo(1000)
    await producer.send({ topic: 'events', value: 'open', timestamp: 5 })
    const consumer = log.log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
    consumer.subscribe(['events'])
    const polled = consumer.poll({ waitMs: 10_000 })
    await log.clock.run(9000)
    expect((await polled).map(({ value }) => value?.toString())).toEqual(['before'])
    await consumer.commitOffsets()
    log.clock.jumpTo(0)
    await consumer.close()
    await producer.commitTransaction()
    await producer.close()
    await log.append('events', 0, ['after'])
    expect(await log.values('events', 0)).toEqual(['before', 'open', 'after'])
    expect(log.log.admin.committedOffsets('g', [at])).toMatchObject([{ offset: 1 }])
    await log.close()
    log.clock.jumpTo(-1000)
    await log.reopen()
    expect(await log.values('events', 0)).toEqual(['before', 'open', 'after'])
    await log.close()
  })
})
