import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { headerBytes } from '../../../src/log/journal/group.ts'
import { journalFileName } from '../../../src/log/journal/journal-files.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import {
  checkpointState,
  codeOf,
  JournalHarness,
  journalDirectory,
  readCheckpoint,
  recover,
  replayOf,
} from './journal-harness.ts'

const file = (number: number): string => `${journalDirectory}/${journalFileName(number)}`

/** A journal of `count` groups of one entry each, left by a process that crashed. */
async function crashed(count: number, options: { bytes?: number; fileBytesMax?: number } = {}): Promise<JournalLeft> {
  const disk = new MemoryDisk()
  const harness = new JournalHarness(disk, options)
  for (let id = 1; id <= count; id++) await harness.appendAlone(id, options.bytes)
  return { disk: disk.crashProcess(), written: harness.written }
}

interface JournalLeft {
  readonly disk: MemoryDisk
  readonly written: JournalHarness['written']
}

/** Where each group of the only file starts, and where the last one ends. Entries are of one size. */
function positionsOf(count: number, groupBytes: number): number[] {
  // The file of a first open starts with its header and a seal.
  return Array.from({ length: count + 1 }, (_none, index) => 2 * headerBytes + index * groupBytes)
}

describe('a torn tail', () => {
  test('cut at any byte, with nothing, zeros or noise behind it, leaves exactly the whole groups before the cut', async () => {
    const { disk, written } = await crashed(5)
    const positions = positionsOf(5, 320)
    const end = positions[5] as number
    const before = disk.contents(file(1))
    const random = new SeededRandom(1)

    for (let cut = headerBytes; cut <= end; cut++) {
      for (const fill of ['none', 'zeros', 'noise'] as const) {
        const torn = disk.clone()
        const handle = torn.open(file(1), 'write')
        const size = handle.size()
        handle.truncate(cut)
        const noise = Uint8Array.from({ length: 700 }, () => random.below(256))
        if (fill === 'noise') handle.write(noise, cut)
        if (fill === 'zeros') handle.write(new Uint8Array(size - cut), cut)
        handle.close()

        // Groups end in zeros, so that a cut just before their end and zeros behind it leave them whole.
        const left = torn.contents(file(1))
        const isWhole = (end: number): boolean => Buffer.compare(left.subarray(0, end), before.subarray(0, end)) === 0
        const whole = positions.findLastIndex((position) => isWhole(position))

        const recovered = recover(torn)

        assert.deepEqual(replayOf(recovered), written.slice(0, Math.max(0, whole)), `${fill} at ${cut}`)
      }
    }
  })

  test('is copied to lost+found before a new file makes it invalid', async () => {
    const { disk } = await crashed(3)
    const [, , third = 0, end = 0] = positionsOf(3, 320)
    disk.flipBit(file(1), (third + 200) * 8)

    const { cuts, lastSequence } = recover(disk)

    assert.equal(lastSequence, 2)
    const savedAs = `${journalDirectory}/lost+found/${journalFileName(1)}.${third}`
    assert.deepEqual(cuts, [{ file: file(1), from: third, to: end, savedAs }])
    assert.deepEqual(disk.contents(savedAs), disk.contents(file(1)).subarray(third, end))
  })

  test('begins at a lost group of a sync: os journal and includes everything after it, also in later files', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk, { sync: 'os', firstFileBytes: 2048, fileBytesMax: 2048 })
    for (let id = 1; id <= 12; id++) await harness.appendAlone(id)
    const left = disk.crashProcess()
    assert(left.exists(file(3)), 'three files at least')
    left.flipBit(file(1), (positionsOf(3, 320)[2] as number) * 8)

    const recovered = recover(left, { firstFileBytes: 2048, fileBytesMax: 2048 })

    assert.deepEqual(replayOf(recovered), harness.written.slice(0, 2))
    assert(
      recovered.cuts.some((cut) => cut.file === file(3)),
      'later files are saved too',
    )
    const again = new JournalHarness(left, { sync: 'os', firstFileBytes: 2048, fileBytesMax: 2048 })
    assert.equal(again.append(99), 3)
  })
})

describe('groups that a checkpoint covers and that were never durable', () => {
  const sizes = { firstFileBytes: 2048, fileBytesMax: 2048 }

  /** A journal of 20 groups of a log with sync: os, durable up to `durable`, and its checkpoint. */
  async function covered(checkpoint: number, durable = 0): Promise<MemoryDisk> {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk, { sync: 'os', ...sizes })
    for (let id = 1; id <= 20; id++) {
      await harness.appendAlone(id)
      if (id === durable) await harness.journal.syncTo(durable)
    }
    readCheckpoint(disk).write(checkpointState(checkpoint, 1, { id: harness.journal.id, durable }))
    return disk.crashProcess()
  }

  /** Each file has five groups. */
  function damageSeventh(disk: MemoryDisk): void {
    disk.flipBit(file(2), (headerBytes + 320) * 8)
  }

  test('may be lost: the journal then ends at the checkpoint, and what follows it is saved', async () => {
    const disk = await covered(9)
    damageSeventh(disk)

    const recovered = recover(disk, sizes)

    assert.equal(recovered.lastSequence, 9)
    assert.deepEqual(replayOf(recovered), [])
    const saved = recovered.cuts.map((cut) => cut.file)
    assert(!saved.includes(file(1)) && saved.includes(file(2)) && saved.includes(file(3)), saved.join())
    const again = new JournalHarness(disk, { sync: 'os', ...sizes })
    assert.equal(await again.appendAlone(99), 10)
    assert.deepEqual(replayOf(recover(disk.crashProcess(), sizes)), [{ sequence: 10, entries: [99] }])
  })

  test('are not missed if no header of a file up to the checkpoint can be read', async () => {
    const disk = await covered(9)
    for (let number = 1; disk.exists(file(number)); number++) disk.flipBit(file(number), 8 * 50)

    const recovered = recover(disk, sizes)

    assert.equal(recovered.lastSequence, 9)
    assert.equal(recovered.incarnation, 2)
    assert.deepEqual(recover(disk, sizes).lastSequence, 9)
  })

  test('do not hide the loss of groups that were durable, before the checkpoint or after it', async () => {
    for (const [checkpoint, durable] of [
      [9, 8],
      [9, 12],
    ] as const) {
      const disk = await covered(checkpoint, durable)
      damageSeventh(disk)

      assert.throws(() => recover(disk, sizes), { code: 'JOURNAL_ROT' }, `durable through ${durable}`)
    }
  })

  test('are followed if they are there, and the groups after the checkpoint with them', async () => {
    const recovered = recover(await covered(9), sizes)

    assert.deepEqual(
      replayOf(recovered).map(({ sequence }) => sequence),
      Array.from({ length: 11 }, (_none, index) => 10 + index),
    )
  })
})

describe('rot', () => {
  test('in any bit of a group below a later durableThrough is JOURNAL_ROT, naming file and range', async () => {
    const { disk } = await crashed(4)
    const positions = positionsOf(4, 320)
    const [first = 0, , , fourth = 0] = positions

    for (let bit = first * 8; bit < fourth * 8; bit += 7) {
      const rotten = disk.clone()
      rotten.flipBit(file(1), bit)

      // Group 4 says that 3 is durable, and group 3 that 2 is: none of the groups 1 to 3 may be cut.
      assert.throws(
        () => recover(rotten),
        (error: Error & { code?: string }) => {
          const bad = positions[Math.floor((bit / 8 - first) / 320)]
          return error.code === 'JOURNAL_ROT' && error.message.includes(`${file(1)}, bytes ${bad} to`)
        },
        `bit ${bit}`,
      )
    }
  })

  test('in the last group is JOURNAL_ROT once the log is sealed, and a torn tail before that', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk)
    await harness.appendAlone(1)
    await harness.appendAlone(2)
    const [, second = 0, end = 0] = positionsOf(2, 320)
    const unsealed = disk.clone()
    await harness.journal.close()

    for (let bit = second * 8; bit < end * 8; bit += 5) {
      const sealed = disk.clone()
      sealed.flipBit(file(1), bit)
      const open = unsealed.clone()
      open.flipBit(file(1), bit)

      assert.equal(
        codeOf(() => recover(sealed)),
        'JOURNAL_ROT',
        `bit ${bit}`,
      )
      assert.equal(recover(open).lastSequence, 1, `bit ${bit}`)
    }
  })

  test('is a journal that ends before the sequence of its checkpoint: it lost durable groups', async () => {
    const { disk } = await crashed(4)
    disk.flipBit(file(1), (positionsOf(4, 320)[3] as number) * 8)
    const unproven = disk.clone()
    readCheckpoint(disk).write(checkpointState(4))

    assert.throws(() => recover(disk), { code: 'JOURNAL_ROT' })
    assert.equal(recover(unproven).lastSequence, 3)
  })

  test('is a group from another history, though it is whole and has the right number', async () => {
    const { disk: left } = await crashed(4)
    const twin = new MemoryDisk()
    const twinHarness = new JournalHarness(twin)
    for (let id = 11; id <= 14; id++) await twinHarness.appendAlone(id)
    const [, , third = 0, fourth = 0] = positionsOf(4, 320)

    const handle = left.open(file(1), 'write')
    handle.write(twin.contents(file(1)).subarray(third, fourth), third)
    handle.close()

    assert.throws(() => recover(left), { code: 'JOURNAL_ROT' })
  })

  test('in the header of a file in the middle is JOURNAL_ROT', async () => {
    const { disk } = await crashed(40, { fileBytesMax: 4096 })
    disk.flipBit(file(2), 8 * 50)

    assert.throws(() => recover(disk), { code: 'JOURNAL_ROT' })
  })

  test('is reported without changing anything on the disk', async () => {
    const { disk } = await crashed(4)
    disk.flipBit(file(1), (positionsOf(4, 320)[1] as number) * 8)
    const before = disk.list(journalDirectory).map((name) => disk.contents(`${journalDirectory}/${name}`))

    assert.throws(() => recover(disk), { code: 'JOURNAL_ROT' })

    assert.deepEqual(
      disk.list(journalDirectory).map((name) => disk.contents(`${journalDirectory}/${name}`)),
      before,
    )
  })
})

describe('missing files', () => {
  test('a checkpoint without a journal is JOURNAL_MISSING', async () => {
    const { disk } = await crashed(4)
    readCheckpoint(disk).write(checkpointState(3))
    for (const name of disk.list(journalDirectory)) disk.unlink(`${journalDirectory}/${name}`)

    assert.throws(() => recover(disk), { code: 'JOURNAL_MISSING' })
  })

  test('a file missing in the middle is JOURNAL_GAP, naming its neighbors', async () => {
    const { disk } = await crashed(60, { fileBytesMax: 4096 })
    disk.unlink(file(3))

    assert.throws(() => recover(disk), { code: 'JOURNAL_GAP', message: /files 2 and 4/ })
  })

  test('a missing first file that no checkpoint replaces is JOURNAL_GAP', async () => {
    const { disk } = await crashed(60, { fileBytesMax: 4096 })
    disk.unlink(file(1))

    assert.throws(() => recover(disk), { code: 'JOURNAL_GAP' })
  })

  test('files before the first one needed after the checkpoint may be missing', async () => {
    const { disk, written } = await crashed(60, { fileBytesMax: 4096 })
    readCheckpoint(disk).write(checkpointState(50))
    disk.unlink(file(1))

    assert.deepEqual(replayOf(recover(disk)), written.slice(50))
  })
})

describe('the new file', () => {
  test('holds the groups that were not proven durable, so that they survive a power cut after recovery', async () => {
    const disk = new MemoryDisk()
    const harness = new JournalHarness(disk, { sync: 'os' })
    for (let id = 1; id <= 20; id++) await harness.appendAlone(id)

    const left = disk.crashProcess()
    const served = replayOf(recover(left))

    assert.deepEqual(served, harness.written)
    for (let seed = 0; seed < 20; seed++) {
      assert.deepEqual(replayOf(recover(left.cut(new SeededRandom(seed)))), served, `seed ${seed}`)
    }
  })

  test('is sealed: damage to a group that recovery rewrote is rot, not a torn tail', async () => {
    const { disk } = await crashed(4)
    const { number } = recover(disk).start.current
    disk.flipBit(file(number), (headerBytes + 200) * 8)

    assert.throws(() => recover(disk), { code: 'JOURNAL_ROT' })
  })

  test('is never an old one: the bytes of older files stay as they are', async () => {
    const { disk } = await crashed(4)
    const before = disk.contents(file(1))

    const again = new JournalHarness(disk)
    await again.appendAlone(5)

    assert.deepEqual(disk.contents(file(1)), before)
    assert(disk.exists(file(2)))
  })

  test('invalidates the groups cut from its predecessor: they never come back', async () => {
    const { disk, written } = await crashed(4)
    const rotten = disk.clone()
    const third = (positionsOf(4, 320)[3] as number) * 8
    rotten.flipBit(file(1), third)
    recover(rotten)

    // The bit flips back: the group that was cut is whole again and still not replayed.
    rotten.flipBit(file(1), third)

    assert.deepEqual(replayOf(recover(rotten)), written.slice(0, 3))
  })

  test('carries the incarnation of this open, higher than that of any before, also of opens that wrote nothing', async () => {
    const disk = new MemoryDisk()
    const numbers = [1, 2, 3].map(() => recover(disk).incarnation)

    assert.deepEqual(numbers, [1, 2, 3])
    assert.equal(recover(disk.cut(new SeededRandom(1))).incarnation, 4)
  })

  test('continues from the incarnation of the checkpoint', async () => {
    const { disk } = await crashed(4)
    readCheckpoint(disk).write(checkpointState(3, 41))

    assert.equal(recover(disk).incarnation, 42)
  })
})

test('after a clean close recovery replays nothing and writes no group', async () => {
  const disk = new MemoryDisk()
  const harness = new JournalHarness(disk)
  for (let id = 1; id <= 10; id++) await harness.appendAlone(id)
  await harness.journal.close()
  // The seal proves all groups durable: none is written again, with or without a checkpoint.
  assert.equal(recover(disk.clone()).start.position, 2 * headerBytes)
  readCheckpoint(disk).write(checkpointState(10))

  const recovered = recover(disk)

  assert.deepEqual(replayOf(recovered), [])
  assert.deepEqual(recovered.cuts, [])
  assert.equal(recovered.start.position, 2 * headerBytes)
})

test('a file of a newer format is NEWER_FORMAT', async () => {
  const { disk } = await crashed(1)
  const { writeFileHeader, readFileHeader } = await import('../../../src/log/journal/group.ts')
  const handle = disk.open(file(1), 'write')
  const bytes = Buffer.alloc(headerBytes)
  handle.read(bytes, 0)
  const header = readFileHeader(bytes)
  assert(header)
  const target = Buffer.alloc(headerBytes)
  writeFileHeader({ ...header, version: 2 }, target)
  handle.write(target, 0)
  handle.close()

  assert.throws(() => recover(disk), { code: 'NEWER_FORMAT' })
})
