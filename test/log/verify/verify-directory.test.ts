import { describe, expect, test } from 'vitest'
import { LogError } from '../../../src/log/api/errors.ts'
import { verifyDirectory, type VerifyReport } from '../../../src/log/verify/verify-directory.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import { LogHarness } from '../../harness/log-harness.ts'

async function written(): Promise<LogHarness> {
  const log = await LogHarness.open({ recentBytesMax: 0, compactionIntervalMs: 1000, checkpointIntervalMs: 5000 })
  await log.topic('events', 2, { segmentBytes: 2048, indexIntervalBytes: 100 })
  await log.topic('table', 1, { segmentBytes: 1024, cleanupPolicy: 'compact', minCleanableDirtyRatio: 0.01 })
  for (let index = 0; index < 30; index++) {
    await log.append('events', index % 2, [`${index}`.padEnd(200), 'second'])
    await log.append('table', 0, [[`k${index % 3}`, `${index}`.padEnd(100)]])
  }
  await log.clock.run(30_000)
  return log
}

function verify(log: LogHarness, options: { readonly repair?: boolean } = {}): Promise<VerifyReport> {
  return verifyDirectory({ dataDir: '/log', disk: log.disk, clock: log.clock, ...options })
}

function flip(disk: MemoryDisk, path: string, at: number): void {
  const file = disk.open(path, 'write')
  const byte = new Uint8Array(1)
  file.read(byte, at)
  file.write(Uint8Array.of((byte[0] ?? 0) ^ 1), at)
  file.close()
}

/** Every file with its content. */
function snapshot(disk: MemoryDisk, directory = '/log'): Record<string, string> {
  const files: Record<string, string> = {}
  for (const name of disk.list(directory)) {
    const path = `${directory}/${name}`
    try {
      Object.assign(files, snapshot(disk, path))
    } catch {
      const file = disk.open(path, 'read')
      const bytes = Buffer.alloc(file.size())
      file.read(bytes, 0)
      file.close()
      files[path] = bytes.toString('hex')
    }
  }
  return files
}

function logOf(disk: MemoryDisk, partition: string): string {
  const paths = disk.list(`/log/${partition}`).map((name) => `/log/${partition}/${name}`)
  const sizeOf = (path: string): number => disk.open(path, 'read').size()
  return paths.find((path) => path.endsWith('.log') && sizeOf(path) > 61) ?? ''
}

describe('verifying a data directory', () => {
  test('that was closed reports no findings, counts its records and changes nothing', async () => {
    const log = await written()
    await log.close()
    const before = snapshot(log.disk)
    const seen: number[] = []
    const report = await verifyDirectory({
      dataDir: '/log',
      disk: log.disk,
      clock: log.clock,
      onProgress: ({ bytes, bytesTotal }) => seen.push(bytes / bytesTotal),
    })
    expect(report.findings).toEqual([])
    expect(report.records).toBeGreaterThan(60)
    expect(seen.at(-1)).toBe(1)
    expect(seen).toEqual(seen.toSorted((left, right) => left - right))
    expect(snapshot(log.disk)).toEqual(before)
  })

  test.each(['journal', 'events-1'])(
    'reports a file in place of the directory %s, and checks the rest',
    async (name) => {
      const log = await written()
      await log.close()
      const path = `/log/${name}`
      for (const inner of log.disk.list(path)) log.disk.unlink(`${path}/${inner}`)
      log.disk.removeDirectory(path)
      log.disk.open(path, 'create').close()
      const { findings, records } = await verify(log)
      const damage = findings.filter(({ kind }) => kind === 'damage')
      expect(damage.length).toBeGreaterThan(0)
      for (const finding of damage) expect(finding.path.startsWith(path)).toBe(true)
      expect(findings.map(({ message }) => message).join()).toContain('ENOTDIR')
      expect(records > 0).toBe(name !== 'journal')
    },
  )

  test('reports an index that cannot be read, and checks the rest', async () => {
    const log = await written()
    await log.close()
    const before = (await verify(log)).records
    const index = log.disk.list('/log/events-0').find((name) => name.endsWith('.index')) ?? ''
    log.disk.unlink(`/log/events-0/${index}`)
    log.disk.makeDirectory(`/log/events-0/${index}`)
    const { findings, records } = await verify(log)
    expect(findings).toMatchObject([{ kind: 'damage', path: `/log/events-0/${index}` }])
    expect(findings[0]?.message).toMatch(/cannot be read.*EISDIR.*check the disk/)
    expect(records).toBe(before)
  })

  test.each(['missing', 'of another topic'])(
    'reports a partition whose name of its topic is %s, and repairs it',
    async (what) => {
      const log = await written()
      await log.close()
      const path = '/log/events-1/partition.metadata'
      const before = snapshot(log.disk)
      if (what === 'missing') log.disk.unlink(path)
      else log.disk.open(path, 'write').write(log.disk.contents('/log/table-0/partition.metadata'), 0)
      const { findings } = await verify(log)
      expect(findings).toMatchObject([{ kind: 'derived', path, repaired: false }])
      expect((await verify(log, { repair: true })).findings).toMatchObject([{ path, repaired: true }])
      expect(snapshot(log.disk)).toEqual(before)
    },
  )

  test.each(['journal', 'journal files'])(
    'that lost its %s reports damage, because it cannot be opened',
    async (what) => {
      const log = await written()
      await log.close()
      for (const name of log.disk.list('/log/journal')) log.disk.unlink(`/log/journal/${name}`)
      if (what === 'journal') log.disk.removeDirectory('/log/journal')
      const { findings } = await verify(log)
      expect(findings).toMatchObject([{ kind: 'damage', path: '/log/journal' }])
      expect(findings[0]?.message).toMatch(/JOURNAL_MISSING.*no journal/)
    },
  )

  test('that was killed judges it as opening it would, and changes nothing', async () => {
    const log = await written()
    await log.append('events', 0, ['tail'])
    log.crash()
    const before = snapshot(log.disk)
    const report = await verify(log)
    expect(report.findings.map(({ kind }) => kind)).toEqual(['note'])
    expect(report.journalGroups).toBeGreaterThan(0)
    expect(snapshot(log.disk)).toEqual(before)
    await log.reopen()
    expect((await log.values('events', 0)).at(-1)).toBe('tail')
    await log.close()
  })

  test('names partition, file and the offset from which records are lost, and continues with the others', async () => {
    const log = await written()
    await log.close()
    const records = (await verify(log)).records
    const path = logOf(log.disk, 'events-1')
    flip(log.disk, path, 300)
    const report = await verify(log, { repair: true })
    expect(report.findings).toHaveLength(1)
    expect(report.findings[0]).toMatchObject({ kind: 'damage', path, repaired: false })
    expect(report.findings[0]?.message).toContain('events-1 cannot be read from offset 2 on')
    expect(report.records).toBeLessThan(records)
    expect(report.records).toBeGreaterThan(records - 20)
  })

  test('finds a flipped bit in any byte of a batch header, also in the offset that no checksum covers', async () => {
    const log = await written()
    await log.close()
    const path = logOf(log.disk, 'table-0')
    for (let at = 0; at < 61; at++) {
      const disk = log.disk.clone()
      flip(disk, path, at)
      const { findings } = await verifyDirectory({ dataDir: '/log', disk, clock: log.clock })
      expect(
        findings.filter(({ kind }) => kind === 'damage'),
        `byte ${at}`,
      ).toHaveLength(1)
    }
  })

  test('finds wrong and missing indexes, and rebuilds them if asked', async () => {
    const log = await written()
    await log.close()
    const good = snapshot(log.disk)
    const indexes = Object.keys(good).filter((path) => /events-0\/\d+\.(time)?index$/.test(path) && good[path] !== '')
    expect(indexes.length).toBeGreaterThan(2)
    for (const path of indexes) flip(log.disk, path, 3)
    log.disk.unlink(indexes[0] ?? '')
    const found = await verify(log)
    expect(found.findings.map(({ kind, path }) => [kind, path])).toEqual(
      expect.arrayContaining(indexes.map((path) => ['derived', path])),
    )
    const repaired = await verify(log, { repair: true })
    expect(repaired.findings.every((finding) => finding.repaired)).toBe(true)
    expect((await verify(log)).findings).toEqual([])
    expect(snapshot(log.disk)).toEqual(good)
  })

  test('finds rot in the journal and a damaged copy of the checkpoint', async () => {
    const log = await written()
    await log.close()
    const checkpoint = log.disk.clone()
    flip(checkpoint, '/log/journal/checkpoint-0', 40)
    const { findings } = await verifyDirectory({ dataDir: '/log', disk: checkpoint, clock: log.clock })
    expect(findings.map(({ kind, path }) => [kind, path])).toContainEqual(['derived', '/log/journal/checkpoint-0'])

    log.disk.unlink('/log/journal/checkpoint-0')
    log.disk.unlink('/log/journal/checkpoint-1')
    for (const name of log.disk.list('/log/journal').filter((each) => each.includes('1')))
      flip(log.disk, `/log/journal/${name}`, 300)
    expect((await verify(log)).findings.map(({ kind }) => kind)).toContain('damage')
  })

  test('refuses a directory that is missing or holds no log', async () => {
    const disk = new MemoryDisk()
    disk.makeDirectory('/other')
    await expect(verifyDirectory({ dataDir: '/other', disk })).rejects.toThrow(LogError)
    await expect(verifyDirectory({ dataDir: '/nothing', disk })).rejects.toThrow(/FOREIGN_DIRECTORY/)
  })
})

describe('verifying the files of producers', () => {
  async function produced(): Promise<LogHarness> {
    const log = await LogHarness.open()
    await log.topic('events', 1, { segmentBytes: 1024 })
    const producer = log.log.producer({ transactionalId: 'tx' })
    await producer.initTransactions()
    for (let index = 0; index < 24; index++) {
      producer.beginTransaction()
      await producer.send({ topic: 'events', value: `${index}`.padEnd(100) })
      await (index % 3 === 0 ? producer.abortTransaction() : producer.commitTransaction())
    }
    await producer.close()
    await log.close()
    return log
  }

  test('finds missing and damaged ones, says what reads them, and restores them if asked', async () => {
    const log = await produced()
    const whole = snapshot(log.disk)
    expect((await verify(log)).findings).toEqual([])
    const names = log.disk.list('/log/events-0').map((name) => `/log/events-0/${name}`)
    const snapshots = names.filter((name) => name.endsWith('.snapshot'))
    const indexes = names.filter((name) => name.endsWith('.txnindex'))
    expect(Math.min(snapshots.length, indexes.length)).toBeGreaterThan(1)
    const harmed = [snapshots[0], snapshots[1], ...indexes].filter((path) => path !== undefined)
    for (const [index, path] of harmed.entries())
      if (index % 2 === 0) log.disk.unlink(path)
      else flip(log.disk, path, 20)

    const report = await verify(log, { repair: true })
    expect(report.findings.map(({ kind, path, repaired }) => ({ kind, path, repaired }))).toEqual(
      expect.arrayContaining(harmed.map((path) => ({ kind: 'derived', path, repaired: true }))),
    )
    expect(report.findings[0]?.message).toContain('only Kafka’s tools read it')
    expect((await verify(log)).findings).toEqual([])
    expect(snapshot(log.disk)).toEqual(whole)
  })
})
