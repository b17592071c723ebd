import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import type { Disk } from '../../../src/base/disk.ts'
import { SystemClock } from '../../../src/base/clock.ts'
import { NodeDisk } from '../../../src/base/disk.ts'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import type { EntryPart } from '../../../src/log/journal/entry.ts'
import { entryBytesMax, groupBytesMax } from '../../../src/log/journal/group-journal.ts'
import { headerBytes } from '../../../src/log/journal/group.ts'
import { journalFileName, journalFileNumber } from '../../../src/log/journal/journal-files.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import { SlowDisk } from '../../harness/slow-disk.ts'
import {
  batchesOf,
  checkpointState,
  codeOf,
  entryPart,
  type HarnessOptions,
  isSummed,
  JournalHarness,
  journalDirectory,
  readCheckpoint,
  recover,
  replayOf,
  viewsOf,
} from './journal-harness.ts'

const file = (number: number): string => `${journalDirectory}/${journalFileName(number)}`

/** Number of groups and seals that the files of a journal contain. */
function groupsIn(directory: string): number {
  const files = readdirSync(directory).filter((name) => name.endsWith('.journal'))
  return files.map((name) => readFileSync(join(directory, name), 'latin1').split('MRGROUP1').length - 1).reduce(sum, 0)
}

function sum(one: number, other: number): number {
  return one + other
}

type OnDisk = (harness: JournalHarness, options: HarnessOptions & { readonly directory: string }) => Promise<void>

/** Opens a journal on the real disk, whose thread has not started yet. `act` gets the options to recover it with. */
async function withStartingThread(options: HarnessOptions, act: OnDisk): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'millrace-journal-'))
  try {
    const all = { clock: new SystemClock(), ...options, thread: true, directory: join(home, 'journal') }
    await act(new JournalHarness(new NodeDisk(), all), all)
  } finally {
    rmSync(home, { recursive: true })
  }
}

/** Opens a journal on the real disk that a thread writes. */
async function withThread(options: HarnessOptions, act: OnDisk): Promise<void> {
  await withStartingThread(options, async (harness, all) => {
    const real = new SystemClock()
    while (!harness.journal.writesOnThread) await real.nextTurn()
    await act(harness, all)
  })
}

describe('groups', () => {
  test('entries appended in one turn share a group, a write and a sync, and are reported after append returns', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk)
    const { write, sync } = disk.counts
    const before = { write, sync }

    assert.deepEqual(
      [1, 2, 3].map((id) => harness.append(id)),
      [1, 1, 1],
    )
    assert.deepEqual(harness.written, [])
    assert(harness.journal.unwrittenBytes > 300)
    await harness.journal.syncTo(1)

    assert.deepEqual(harness.written, [{ sequence: 1, entries: [1, 2, 3] }])
    assert.equal(harness.journal.unwrittenBytes, 0)
    assert.deepEqual([disk.counts.write - before.write, disk.counts.sync - before.sync], [1, 1])
  })

  test('an entry appended while a group is being reported goes into the next group', async () => {
    const harness = new JournalHarness(new MemoryDisk())
    harness.onWritten = (sequence) => void (sequence < 3 && harness.append(sequence + 1))

    await harness.appendAlone(1)
    await harness.clock.nextTurn()

    assert.deepEqual(
      harness.written.map((group) => group.entries),
      [[1], [2], [3]],
    )
    assert.deepEqual(
      harness.written.map((group) => group.sequence),
      [1, 2, 3],
    )
  })

  test('under sync: commit a group is synced before the next one is written', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk, { firstFileBytes: 64 * 1024, fileBytesMax: 64 * 1024 })
    const operations: string[] = []
    disk.onOperation = ({ kind, path }) => void (path === file(1) && operations.push(kind))

    for (let id = 1; id <= 5; id++) await harness.appendAlone(id)

    assert.deepEqual(operations, Array.from({ length: 5 }, () => ['write', 'sync']).flat())
  })

  test('a group closes at 4 MiB and before the end of a file', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk, { firstFileBytes: 1024, fileBytesMax: 64 * 1024 * 1024 })
    for (let id = 1; id <= 9; id++) harness.append(id, 1_000_000)
    await harness.clock.nextTurn()

    assert.deepEqual(
      harness.written.map((group) => group.entries.length),
      [4, 4, 1],
    )
    for (const { start } of [recover(disk.crashProcess())]) assert.equal(start.lastSequence, 3)
    assert.equal(groupBytesMax, 4 * 1024 * 1024)
  })

  test('a larger entry is a group of its own, in a file as long as it needs', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk)
    harness.append(1)
    harness.append(2, 50_000)
    harness.append(3)
    await harness.journal.syncTo(3)

    assert.deepEqual(
      harness.written.map((group) => group.entries),
      [[1], [2], [3]],
    )
    assert(disk.contents(file(2)).length > 50_000)
    assert.deepEqual(replayOf(recover(disk.crashProcess())), harness.written)
  })

  test('an entry beyond 64 MiB is COMMIT_TOO_LARGE, and the journal accepts the next one', async () => {
    const harness = new JournalHarness(new MemoryDisk())

    assert.equal(
      codeOf(() => harness.append(1, entryBytesMax)),
      'COMMIT_TOO_LARGE',
    )

    await harness.appendAlone(2)
    assert.deepEqual(harness.written, [{ sequence: 1, entries: [2] }])
  })

  test('the batches that append copied keep their bytes when the group moves to more memory', async () => {
    const harness = new JournalHarness(new MemoryDisk(), { fileBytesMax: 64 * 1024 * 1024 })
    const parts = Array.from({ length: 8 }, (_none, id) => entryPart(id, 400_000))
    const views = parts.map((part) => viewsOf(harness.journal.append([part]), [part])[0])

    for (const part of parts) if (part.kind === 'batch') part.bytes.fill(0)

    for (const [id, view] of views.entries()) {
      const expected = entryPart(id, 400_000)
      assert(expected.kind === 'batch' && view !== undefined && Buffer.compare(view, expected.bytes) === 0)
    }
  })

  test('a group that outgrows its memory is moved if it is smaller than a MiB, and closed otherwise', async () => {
    const harness = new JournalHarness(new MemoryDisk(), { fileBytesMax: 64 * 1024 * 1024 })
    const views = new Map<number, Uint8Array[]>()
    const random = new SeededRandom(7)
    for (let id = 0; id < 300; id++) {
      const parts = [entryPart(id, 1000 + random.below(400_000))]
      const appended = harness.journal.append(parts)
      const { sequence } = appended
      views.set(sequence, [...(views.get(sequence) ?? []), ...viewsOf(appended, parts)])
      if (random.below(8) === 0) await harness.journal.syncTo(sequence)
    }
    await harness.journal.close()

    let moved = 0
    for (const [index, memory] of harness.memories.entries()) {
      const elsewhere = (views.get(index + 1) ?? []).filter((view) => view.buffer !== memory.buffer)
      const bytes = elsewhere.map((view) => view.length).reduce(sum, 0)
      assert(bytes < 1024 * 1024, `${bytes} bytes of group ${index + 1} were moved`)
      moved += bytes
    }
    assert(moved > 0, 'some groups were moved')
  })
})

describe('a batch that is appended without its checksum', () => {
  /** With 0 in the place of the checksum, as batches are sealed for the log of the same process. */
  function unsummed(id: number, bytes: number): EntryPart {
    const part = entryPart(id, bytes)
    assert(part.kind === 'batch')
    part.bytes.fill(0, 17, 21)
    return { ...part, summed: { from: 21, checksum: null } }
  }

  /** Three groups: of small memory that is outgrown again and again, beyond 4 MiB, and larger than shared memory. */
  const sizes = [[20_000, 300, 30_000, 700_000, 2_000_000], [5_000_000], [34_000_000]]

  async function appendsAll(harness: JournalHarness): Promise<void> {
    const views: Uint8Array[] = []
    for (const group of sizes) {
      let sequence = 0
      for (const [id, bytes] of group.entries()) {
        const parts = [unsummed(id, bytes)]
        const appended = harness.journal.append(parts)
        views.push(...viewsOf(appended, parts))
        sequence = appended.sequence
      }
      await harness.journal.syncTo(sequence)
    }
    await harness.journal.close()

    // Readers use the views.
    assert.equal(views.length, sizes.flat().length)
    assert(views.every(isSummed))
    // The applier uses the memory of the group.
    assert.equal(harness.memories.length, sizes.length)
    for (const memory of harness.memories) assert(batchesOf(memory).every(isSummed))
  }

  function isRecovered(disk: Disk, options: HarnessOptions): void {
    const memories = [...recover(disk, options).groups()].map(({ memory }) => memory)
    assert.equal(memories.length, sizes.length)
    assert(memories.flatMap(batchesOf).every(isSummed))
  }

  test('gets it when its group is written, in all memory that holds it and in the file', async () => {
    const disk = new MemoryDisk()
    const options = { fileBytesMax: 64 * 1024 * 1024 }

    await appendsAll(new JournalHarness(disk, { ...options, clock: new SystemClock() }))

    isRecovered(disk, options)
  })

  test('gets it from the thread that writes', async () => {
    await withThread({ fileBytesMax: 64 * 1024 * 1024 }, async (harness, options) => {
      await appendsAll(harness)

      isRecovered(new NodeDisk(), options)
    })
  })
})

describe('durability', () => {
  /** A journal with sync: os and 60 groups in several files. */
  async function severalFiles(disk: Disk): Promise<JournalHarness> {
    const harness = new JournalHarness(disk, { sync: 'os' })
    for (let id = 1; id <= 60; id++) await harness.appendAlone(id, 500)
    return harness
  }

  test('under sync: os a file that both checkpoints cover is closed without a sync, and syncTo passes over it', async () => {
    const disk = new MemoryDisk()
    const harness = await severalFiles(disk)
    const before = disk.openFiles
    const synced: string[] = []
    disk.onOperation = ({ kind, path }) => void (kind === 'sync' && path.endsWith('.journal') && synced.push(path))

    harness.journal.recycleBelow(30)
    assert.equal(synced.length, 0)
    assert(disk.openFiles < before, `${disk.openFiles} open files of ${before}`)
    await harness.journal.syncTo(60)

    assert(synced.length >= 2 && synced.every((path) => path > file(1)), synced.join())
    await harness.journal.close()
    assert.equal(disk.openFiles, 0)
  })

  test('under sync: os a file that both checkpoints cover during its sync is closed only afterwards', async () => {
    const disk = new SlowDisk()
    const harness = await severalFiles(disk)
    disk.holds = () => true
    const synced = harness.journal.syncTo(60)
    await harness.clock.nextTurn()

    harness.journal.recycleBelow(61)
    disk.holds = () => false
    disk.release()
    await synced

    assert.equal(harness.journal.durableSequence, 60)
    await harness.journal.close()
    assert.equal(disk.openFiles, 0)
  })

  test('under sync: os groups are written while the sync before a seal goes on', async () => {
    const disk = new SlowDisk()
    const clock = new ManualClock()
    const harness = new JournalHarness(disk, { clock, sync: 'os' })
    await harness.appendAlone(1)
    disk.holds = () => true
    await clock.run(1500)
    assert.deepEqual(disk.syncing, [file(1)])

    await harness.appendAlone(2)
    assert.equal(harness.journal.writtenSequence, 2)
    disk.holds = () => false
    disk.release()
    await clock.run(1500)

    assert.equal(harness.journal.durableSequence, 2)
    await harness.journal.close()
    assert.equal(disk.openFiles, 0)
  })

  test('under sync: os groups are reported before they are synced, and syncTo syncs them', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk, { sync: 'os' })
    const { journal } = harness
    await harness.appendAlone(1)
    assert.deepEqual([journal.writtenSequence, journal.durableSequence], [1, 0])

    await journal.syncTo(1)

    assert.equal(journal.durableSequence, 1)
  })

  test('under sync: os groups are written while a sync goes on, which covers only those before it', async () => {
    const disk = new SlowDisk()
    const harness = new JournalHarness(disk, { sync: 'os' })
    await harness.appendAlone(1, 3000)
    disk.holds = () => true
    const first = harness.journal.syncTo(1)
    await harness.clock.nextTurn()
    // The second and third group are in a file of their own.
    await harness.appendAlone(2, 3000)
    await harness.appendAlone(3, 3000)

    assert.deepEqual(disk.syncing, [file(1)])
    assert.deepEqual([harness.journal.writtenSequence, harness.journal.durableSequence], [3, 0])
    disk.release()
    await first
    assert.equal(harness.journal.durableSequence, 1)

    const third = harness.journal.syncTo(3)
    for (let syncs = 0; syncs < 3; syncs++) {
      await harness.clock.nextTurn()
      disk.release()
    }
    await third
    assert.equal(harness.journal.durableSequence, 3)
  })

  test('a seal and the end of the journal wait for a sync that goes on', async () => {
    for (const how of ['seal', 'close'] as const) {
      const disk = new SlowDisk()
      const clock = new ManualClock()
      const harness = new JournalHarness(disk, { clock, sync: 'os' })
      await harness.appendAlone(1)
      disk.holds = () => true
      const synced = harness.journal.syncTo(1)
      await clock.nextTurn()
      const before = disk.counts.write

      const closed = how === 'close' ? harness.journal.close() : clock.run(10_000)
      await clock.run(5000)
      assert.equal(disk.counts.write, before)
      disk.release()
      await synced
      await clock.run(5000)
      await closed

      assert.equal(disk.counts.write, before + 1, 'the seal')
      await harness.journal.close()
      assert.equal(disk.openFiles, 0)
    }
  })

  test('syncTo also syncs the earlier files that the journal has moved on from', async () => {
    const disk = new MemoryDisk()
    const harness = await severalFiles(disk)
    const synced: string[] = []
    disk.onOperation = ({ kind, path }) => void (kind === 'sync' && synced.push(path))

    await harness.journal.syncTo(60)

    assert(synced.includes(file(1)) && synced.length >= 3, synced.join())
  })

  test('an idle log writes one seal, after one second', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const harness = new JournalHarness(disk, { clock })
    await harness.appendAlone(1)
    await clock.run(900)
    await harness.appendAlone(2)
    const before = disk.counts.write

    await clock.run(999)
    assert.equal(disk.counts.write, before)
    await clock.run(10_000)

    assert.equal(disk.counts.write, before + 1)
    assert.equal(clock.timers, 0)
  })

  test('close writes what is pending and seals the journal', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk, { sync: 'os' })
    harness.append(1)

    await harness.journal.close()

    assert.deepEqual(harness.written, [{ sequence: 1, entries: [1] }])
    assert.equal(harness.journal.durableSequence, 1)
    assert.equal(disk.openFiles, 0)
    assert.equal(
      codeOf(() => harness.append(2)),
      'CLOSED',
    )
  })
})

describe('the first failure', () => {
  const faults = [
    ['write', 'WRITE_FAILED'],
    ['sync', 'WRITE_FAILED'],
    ['full', 'DISK_FULL'],
  ] as const
  for (const [fault, code] of faults) {
    test(`of a ${fault === 'full' ? 'write on a full disk' : fault} stops the journal with ${code}, without a retry`, async () => {
      const disk = new MemoryDisk()
      const harness = new JournalHarness(disk)
      await harness.appendAlone(1)
      await harness.clock.nextTurn()
      if (fault === 'write') disk.faults.failWriteAt = disk.counts.write + 1
      if (fault === 'sync') disk.faults.failSyncAt = disk.counts.sync + disk.counts.syncDirectory + 1
      // A large entry, so that the file has to grow.
      if (fault === 'full') disk.faults.capacityBytes = disk.usedBytes + 1000

      harness.append(2, 50_000)
      const synced = harness.journal.syncTo(2)
      await assert.rejects(synced, { code })
      const { write, sync } = disk.counts
      await (harness.clock as ManualClock).run(5000)

      assert.equal(harness.failure?.code, code)
      assert.deepEqual(harness.written, [{ sequence: 1, entries: [1] }])
      assert.equal(harness.journal.durableSequence, 1)
      assert.equal(
        codeOf(() => harness.append(3)),
        code,
      )
      await assert.rejects(harness.journal.syncTo(2), { code })
      await harness.journal.close()
      assert.deepEqual([disk.counts.write, disk.counts.sync], [write, sync], 'nothing is written or synced after it')
    })
  }
})

test('the first failure of a sync that goes on beside the writes stops the journal as well', async () => {
  const disk = new MemoryDisk()
  const harness = new JournalHarness(disk, { sync: 'os' })
  await harness.appendAlone(1)
  disk.faults.failSyncAt = disk.counts.sync + disk.counts.syncDirectory + 1

  await assert.rejects(harness.journal.syncTo(1), { code: 'WRITE_FAILED' })

  assert.equal(harness.failure?.code, 'WRITE_FAILED')
  assert.equal(harness.journal.durableSequence, 0)
  assert.equal(
    codeOf(() => harness.append(2)),
    'WRITE_FAILED',
  )
  await harness.journal.close()
})

describe('files', () => {
  test('are prepared in advance: moving to the next one creates, renames and fills nothing', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk)
    for (let id = 1; !disk.exists(file(2)); id++) {
      await harness.appendAlone(id)
      await harness.clock.nextTurn()
    }
    assert.equal(harness.recovered.start.current.number, 1)
    const operations: string[] = []
    disk.onOperation = ({ kind }) => void operations.push(kind)

    // 3,000 bytes do not fit into what is left of the first file.
    harness.append(100, 3500)
    await Promise.resolve()

    assert.deepEqual(operations, ['write', 'write', 'sync'])
  })

  for (const { title, sync, pressed } of [
    { title: 'are filled with zeros under sync: commit when there is time', sync: 'commit', pressed: false },
    {
      title: 'are extended with a hole under sync: commit when needed before they are filled',
      sync: 'commit',
      pressed: true,
    },
    { title: 'are extended with a hole under sync: os', sync: 'os', pressed: false },
  ] as const) {
    test(`${title}, and their length is synced before they get their number`, async () => {
      const disk = new MemoryDisk()
      const sizes = { firstFileBytes: 64 * 1024, fileBytesMax: 8 * 1024 * 1024 }
      const harness = new JournalHarness(disk, { sync, ...sizes })
      const operations: string[] = []
      disk.onOperation = ({ kind, path }) => {
        if (path.endsWith('prepare.tmp') && kind !== 'create') operations.push(kind)
      }

      for (let id = 1; !disk.exists(file(2)); id++) {
        harness.append(id, 10_000)
        await (pressed ? Promise.resolve() : harness.clock.nextTurn())
      }

      const zeros = sync === 'commit' && !pressed
      assert.equal(operations.includes('write'), zeros)
      assert.deepEqual(operations.slice(-2), zeros ? ['write', 'sync'] : ['truncate', 'sync'])
      assert.equal(disk.contents(file(2)).length, 128 * 1024)
    })
  }

  test('double in size up to the maximum', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk, { firstFileBytes: 2048, fileBytesMax: 8192 })
    for (let id = 1; id <= 60; id++) await harness.appendAlone(id, 500)

    const sizes = disk.list(journalDirectory).map((name) => disk.contents(`${journalDirectory}/${name}`).length)

    assert.deepEqual(sizes.slice(0, 4), [2048, 4096, 8192, 8192])
  })

  test('are recycled only below both checkpoints, under new numbers, and their old groups never come back', async () => {
    const disk = new MemoryDisk()
    const options = { firstFileBytes: 4096, fileBytesMax: 4096 }
    const harness = new JournalHarness(disk, options)
    const checkpoint = readCheckpoint(disk)
    let made = 0
    disk.onOperation = ({ kind, path }) => void (kind === 'create' && path.endsWith('prepare.tmp') && made++)
    for (let id = 1; id <= 400; id++) {
      await harness.appendAlone(id, id % 3 === 0 ? 900 : 100)
      if (id % 20 === 0) {
        checkpoint.write(checkpointState(id))
        harness.journal.recycleBelow(checkpoint.lowerSequence)
      }
      if (id % 7 !== 0) continue

      const recovered = recover(disk.clone(), options)
      const base = checkpoint.newest?.sequence ?? 0
      assert.deepEqual(replayOf(recovered), harness.written.slice(base), `after group ${id}`)
    }

    const names = disk.list(journalDirectory)
    const numbers = names.map(journalFileNumber).filter((number) => number !== null)
    assert(numbers.length < 15 && (numbers[0] ?? 0) > 20, names.join())
    assert(made < 15, `${made} files were made`)
    assert.deepEqual(
      numbers,
      Array.from({ length: numbers.length }, (_none, index) => (numbers[0] ?? 0) + index),
    )
  })

  test('are all kept until there are two checkpoints', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk)
    for (let id = 1; id <= 100; id++) await harness.appendAlone(id, 500)
    readCheckpoint(disk).write(checkpointState(90))

    harness.journal.recycleBelow(readCheckpoint(disk).lowerSequence)

    assert(disk.exists(file(1)))
  })
})

test('bytesSince counts the journal bytes written after a group, also across opens', async () => {
  const disk = new MemoryDisk()
  const harness = new JournalHarness(disk)
  for (let id = 1; id <= 10; id++) await harness.appendAlone(id)
  const size = (harness.journal.bytesSince(0) / 10) | 0
  assert(size >= 100 + headerBytes)
  assert.equal(harness.journal.bytesSince(4), 6 * size)
  assert.equal(harness.journal.bytesSince(10), 0)

  const again = new JournalHarness(disk.crashProcess())

  assert.equal(again.journal.bytesSince(4), 6 * size)
})

for (const sync of ['commit', 'os'] as const) {
  test(`with sync: ${sync} the first groups are written before the thread has started, and it continues after them`, async () => {
    await withStartingThread({ sync }, async (harness, options) => {
      let entries = 0
      const append = async (): Promise<void> => {
        harness.append(++entries, 700)
        await Promise.resolve()
      }

      await append()
      assert.equal(harness.written.length, 1, 'nobody waits for a thread to start')
      for (let turn = 1; !harness.journal.writesOnThread; turn++) {
        if (turn % 50 === 0) await append()
        await harness.clock.nextTurn()
      }
      for (let more = 200 - entries; more > 0; more--) await append()
      await harness.journal.close()

      assert.deepEqual(
        harness.written.flatMap((group) => group.entries),
        Array.from({ length: entries }, (_none, at) => at + 1),
      )
      assert.deepEqual(replayOf(recover(new NodeDisk(), options)), harness.written)
      assert.equal(harness.failure, null)
    })
  })
}

test('the writer on a thread writes every entry once and in order, and close ends it', async () => {
  await withThread({}, async (harness, options) => {
    for (let id = 1; id <= 200; id++) {
      const sequence = harness.append(id, id === 100 ? 5_000_000 : 300)
      if (id % 3 === 0) await harness.journal.syncTo(sequence)
    }
    await harness.journal.close()

    assert.deepEqual(
      harness.written.flatMap((group) => group.entries),
      Array.from({ length: 200 }, (_none, at) => at + 1),
    )
    assert.deepEqual(replayOf(recover(new NodeDisk(), options)), harness.written)
    assert.equal(harness.failure, null)
  })
})

test('the thread writes full groups while the sequencer is still busy appending', async () => {
  await withThread({ fileBytesMax: 64 * 1024 * 1024 }, async (harness, { directory }) => {
    const sealed = groupsIn(directory)
    let open = 0
    for (let id = 1; id <= 7; id++) open = harness.append(id, 2_000_000)
    // Nothing is awaited, so no report is received meanwhile.
    const deadline = performance.now() + 20_000
    while (groupsIn(directory) - sealed < open - 1 && performance.now() < deadline);

    assert(open > 3)
    assert.deepEqual([groupsIn(directory) - sealed, harness.written.length], [open - 1, 0])
    await harness.journal.close()
    assert.equal(harness.written.length, open)
  })
})

test('a group that is full while the thread seals is written and reported after the seal', async () => {
  const clock = new ManualClock()
  await withThread({ clock, fileBytesMax: 64 * 1024 * 1024 }, async (harness, options) => {
    await harness.journal.syncTo(harness.append(1))

    // The idle log begins its seal, whose report can only be received in a later turn.
    clock.advance(1000)
    for (let id = 2; id <= 4; id++) harness.append(id, 3_000_000)
    await harness.journal.close()

    assert.deepEqual(
      harness.written,
      [1, 2, 3, 4].map((id) => ({ sequence: id, entries: [id] })),
    )
    assert.deepEqual(replayOf(recover(new NodeDisk(), options)), harness.written)
  })
})

describe('however appends, syncs and seals meet, the thread reports all groups in order', () => {
  const runs = (['commit', 'os'] as const).flatMap((sync) => [1, 2, 3, 4, 5].map((seed) => ({ sync, seed })))
  test.for(runs)('under sync: $sync, with seed $seed', async ({ sync, seed }) => {
    const random = new SeededRandom(seed)
    const clock = new ManualClock()
    const real = new SystemClock()
    // Groups are full at 64 KiB.
    await withThread({ clock, sync, fileBytesMax: 64 * 1024 }, async (harness, options) => {
      const { journal } = harness
      const synced: Promise<void>[] = []
      let appended = 0
      let newest = 0
      for (let step = 0; step < 100; step++) {
        const kind = random.below(8)
        if (kind < 4) {
          for (let count = random.below(6); count >= 0; count--)
            newest = harness.append(++appended, 100 + random.below(kind === 0 ? 90_000 : 20_000))
        } else if (kind === 4 && newest > 0) {
          const sequence = 1 + random.below(newest)
          synced.push(journal.syncTo(sequence).then(() => assert(journal.durableSequence >= sequence)))
        } else if (kind === 5) {
          // Half of the time the log is idle and begins a seal.
          if (newest > 0 && random.below(2) === 0) await journal.syncTo(newest)
          clock.advance(random.below(2500))
        } else if (kind === 6) journal.release(journal.writtenSequence - random.below(5))
        else await real.nextTurn()
      }
      await Promise.all(synced)
      await journal.close()

      assert.equal(harness.failure, null)
      const upTo = (last: number): number[] => Array.from({ length: last }, (_none, at) => at + 1)
      assert.deepEqual(
        harness.written.map(({ sequence }) => sequence),
        upTo(newest),
      )
      assert.deepEqual(
        harness.written.flatMap(({ entries }) => entries),
        upTo(appended),
      )
      assert.deepEqual(replayOf(recover(new NodeDisk(), options)), harness.written)
    })
  })
})

test('a disk failure in the thread is reported as WRITE_FAILED', async () => {
  await withThread({}, async (harness, { directory }) => {
    // The thread prepares the next file when it starts: the directory would not stay empty while it is removed.
    const next = join(directory, journalFileName(harness.recovered.start.current.number + 1))
    while (!existsSync(next)) await harness.clock.nextTurn()
    rmSync(directory, { recursive: true })

    const sequence = harness.append(1, 30_000)
    await assert.rejects(harness.journal.syncTo(sequence), { code: 'WRITE_FAILED' })

    assert.equal(harness.failure?.code, 'WRITE_FAILED')
    await harness.journal.close()
  })
})

test('a thread that fails after a report that is not yet received is reported as WRITE_FAILED', async () => {
  await withThread({}, async (harness, { directory }) => {
    const next = join(directory, journalFileName(harness.recovered.start.current.number + 1))
    while (!existsSync(next)) await harness.clock.nextTurn()
    // The thread will find a directory where it prepares the file after that one.
    mkdirSync(join(directory, 'prepare.tmp'))
    harness.append(1, 20_000)
    await Promise.resolve()
    // This thread is blocked until the other one has moved to the next file, failed and ended.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)

    await assert.rejects(harness.journal.syncTo(harness.append(2, 100)), { code: 'WRITE_FAILED' })

    assert.deepEqual(
      harness.written.flatMap((group) => group.entries),
      [1],
    )
    await harness.journal.close()
  })
})
