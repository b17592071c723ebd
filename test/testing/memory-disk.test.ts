import * as assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { DiskFull, MemoryDisk, PowerCut, SeededRandom } from '../../src/testing/index.ts'
import { diskContract } from '../contract/disk-contract.ts'

diskContract('in memory', () => {
  const disk = new MemoryDisk()
  disk.makeDirectory('/root')
  return { disk, root: '/root', done: () => {} }
})

const sector = 512

/** A disk with the durable file /d/f of `size` bytes, all of one value. */
function diskWith(size: number, value: number): MemoryDisk {
  const disk = new MemoryDisk()
  disk.makeDirectory('/d')
  disk.syncDirectory('/')
  put(disk, '/d/f', 0, Buffer.alloc(size, value), 'synced')
  disk.syncDirectory('/d')
  return disk
}

function put(disk: MemoryDisk, path: string, at: number, bytes: Uint8Array, how: 'synced' | 'unsynced'): void {
  const file = disk.open(path, 'create')
  file.write(bytes, at)
  if (how === 'synced') file.sync()
  file.close()
}

/** The distinct outcomes of many cuts, each described by `describeDisk`. */
function outcomes(disk: MemoryDisk, describeDisk: (cut: MemoryDisk) => string, cuts = 400): Set<string> {
  const random = new SeededRandom(1)
  return new Set(Array.from({ length: cuts }, () => describeDisk(disk.cut(random))))
}

describe('a power cut', () => {
  test('never loses synced bytes of a file whose name was synced', () => {
    const disk = diskWith(10_000, 7)
    assert.deepEqual(
      outcomes(disk, (cut) => `${cut.contents('/d/f').length} ${cut.contents('/d/f').every((byte) => byte === 7)}`),
      new Set(['10000 true']),
    )
  })

  test('keeps any subset of the sectors of an unsynced write, each whole or not at all', () => {
    const disk = diskWith(3 * sector, 1)
    put(disk, '/d/f', 0, Buffer.alloc(3 * sector, 2), 'unsynced')

    const seen = outcomes(disk, (cut) => {
      const bytes = cut.contents('/d/f')
      return [0, 1, 2]
        .map((index) => new Set(bytes.subarray(index * sector, (index + 1) * sector)))
        .map((values) => (values.size === 1 ? String([...values][0]) : 'torn'))
        .join('')
    })

    assert.deepEqual([...seen].sort(), ['111', '112', '121', '122', '211', '212', '221', '222'])
  })

  test('keeps what was written before a sync in the background once that sync is over, and not before', async () => {
    const disk = diskWith(2 * sector, 0)
    const file = disk.open('/d/f', 'write')
    const seen = (): string[] =>
      [...outcomes(disk, (cut) => `${cut.contents('/d/f')[0]}${cut.contents('/d/f')[sector]}`)].sort()
    file.write(Uint8Array.of(1), 0)
    const synced = file.syncInBackground()
    file.write(Uint8Array.of(1), sector)

    assert.deepEqual(seen(), ['00', '01', '10', '11'])
    await synced
    assert.deepEqual(seen(), ['10', '11'])
    file.sync()
    assert.deepEqual(seen(), ['11'])
  })

  test('may keep a later write and lose an earlier one, but within a sector keeps writes only in order', () => {
    const disk = diskWith(2 * sector, 0)
    put(disk, '/d/f', 0, Uint8Array.of(1), 'unsynced')
    put(disk, '/d/f', 1, Uint8Array.of(1), 'unsynced')
    put(disk, '/d/f', sector, Uint8Array.of(1), 'unsynced')

    const seen = outcomes(disk, (cut) => {
      const bytes = cut.contents('/d/f')
      return `${bytes[0]}${bytes[1]}${bytes[sector]}`
    })

    assert.deepEqual([...seen].sort(), ['000', '001', '100', '101', '110', '111'])
  })

  test('leaves a grown file at its old size, or at its new one with written or zero bytes', () => {
    const disk = diskWith(100, 1)
    put(disk, '/d/f', 100, Buffer.alloc(2 * sector, 2), 'unsynced')

    const seen = outcomes(disk, (cut) => {
      const bytes = cut.contents('/d/f')
      return `${bytes.length} ${[0, 2].filter((value) => bytes.includes(value, 100)).join('')}`
    })

    for (const expected of ['100 ', `${100 + 2 * sector} 2`, `${100 + 2 * sector} 0`, `${100 + 2 * sector} 02`]) {
      assert.ok(seen.has(expected), `${expected} in ${[...seen].join(', ')}`)
    }
  })

  test('loses or keeps an unsynced truncate, and keeps a synced one', () => {
    const disk = diskWith(1000, 1)
    const file = disk.open('/d/f', 'write')
    file.truncate(10)
    assert.deepEqual(
      outcomes(disk, (cut) => String(cut.contents('/d/f').length)),
      new Set(['10', '1000']),
    )
    file.sync()
    assert.deepEqual(
      outcomes(disk, (cut) => String(cut.contents('/d/f').length)),
      new Set(['10']),
    )
  })

  test("may lose a synced file if its directory, or the directory's own name, was not synced", () => {
    const disk = diskWith(1, 1)
    put(disk, '/d/new', 0, Buffer.from('x'), 'synced')
    disk.makeDirectory('/e')
    put(disk, '/e/inner', 0, Buffer.from('x'), 'synced')
    disk.syncDirectory('/e')

    assert.deepEqual(
      outcomes(disk, (cut) => String(cut.exists('/d/new'))),
      new Set(['true', 'false']),
    )
    assert.deepEqual(
      outcomes(disk, (cut) => String(cut.exists('/e/inner'))),
      new Set(['true', 'false']),
    )
    disk.syncDirectory('/')
    assert.deepEqual(
      outcomes(disk, (cut) => String(cut.exists('/e/inner'))),
      new Set(['true']),
    )
  })

  test('keeps a prefix of the unsynced operations of each directory, independently of other directories', () => {
    const disk = diskWith(1, 1)
    disk.makeDirectory('/e')
    disk.syncDirectory('/')
    put(disk, '/d/1', 0, Buffer.from('x'), 'synced')
    put(disk, '/e/2', 0, Buffer.from('x'), 'synced')
    disk.rename('/d/1', '/d/3')
    disk.unlink('/d/f')

    const seen = outcomes(disk, (cut) => `${cut.list('/d').join('')} ${cut.list('/e').join('')}`)

    assert.deepEqual([...seen].sort(), ['1f ', '1f 2', '3 ', '3 2', '3f ', '3f 2', 'f ', 'f 2'])
  })

  test('leaves the old or the new file after a rename over an existing one, never none', () => {
    const disk = diskWith(4, 1)
    put(disk, '/d/g', 0, Buffer.alloc(4, 2), 'synced')
    disk.rename('/d/g', '/d/f')

    const seen = outcomes(disk, (cut) => `${cut.list('/d').join('')} ${cut.contents('/d/f')[0]}`)

    assert.deepEqual([...seen].sort(), ['f 1', 'f 2', 'fg 1'])
  })

  test('never loses a file that is renamed into another directory', () => {
    const disk = diskWith(4, 1)
    disk.makeDirectory('/e')
    disk.syncDirectory('/')
    disk.rename('/d/f', '/e/f')

    const where = (cut: MemoryDisk): string => `${cut.exists('/d/f')} ${cut.exists('/e/f')}`
    assert.deepEqual([...outcomes(disk, where)].sort(), ['false true', 'true false', 'true true'])
    assert.deepEqual([...outcomes(disk.clone(), where)].sort(), ['false true', 'true false', 'true true'])
    disk.syncDirectory('/d')
    assert.deepEqual(outcomes(disk, where), new Set(['false true']))
  })

  test('with the same seed leaves the same disk, and does not change the original disk', () => {
    const disk = diskWith(5000, 1)
    put(disk, '/d/f', 300, Buffer.alloc(9000, 2), 'unsynced')
    const before = disk.contents('/d/f')

    const first = disk.cut(new SeededRandom(5))
    const bytes = first.contents('/d/f')
    put(first, '/d/f', 0, Buffer.alloc(20_000, 9), 'synced')

    assert.deepEqual(disk.cut(new SeededRandom(5)).contents('/d/f'), bytes)
    assert.deepEqual(disk.contents('/d/f'), before)
  })

  test('at operation n makes that operation and every later one throw PowerCut', () => {
    const disk = diskWith(1, 1)
    const file = disk.open('/d/f', 'write')
    disk.faults.cutAt = disk.operations + 2

    file.write(Uint8Array.of(2), 0)
    assert.throws(() => file.sync(), PowerCut)
    assert.throws(() => file.read(new Uint8Array(1), 0), PowerCut)
    assert.throws(() => disk.open('/d/f', 'read'), PowerCut)
    assert.throws(() => disk.exists('/d/f'), PowerCut)
    file.close()

    assert.deepEqual(
      outcomes(disk, (cut) => String(cut.contents('/d/f')[0])),
      new Set(['1', '2']),
    )
  })

  test('can be taken before every operation of a run', () => {
    const disk = new MemoryDisk()
    const names: string[] = []
    disk.onOperation = ({ index, kind, path }) => {
      names.push(`${index} ${kind} ${path}`)
      disk.cut(new SeededRandom(index))
    }
    put(disk, '/a', 0, Buffer.from('x'), 'synced')
    disk.rename('/a', '/b')
    disk.syncDirectory('/')

    assert.deepEqual(names, ['1 create /a', '2 write /a', '3 sync /a', '4 rename /b', '5 syncDirectory /'])
    assert.equal(disk.counts.rename, 1)
  })

  test('is cheap: a thousand cuts of a megabyte, each with a write after it, take less than a second of CPU', () => {
    const disk = diskWith(1 << 20, 0)
    put(disk, '/d/f', 5000, Buffer.alloc(2000, 2), 'unsynced')
    const random = new SeededRandom(1)
    const start = process.cpuUsage()
    for (let index = 0; index < 1000; index++) {
      const cut = disk.cut(random)
      put(cut, '/d/f', 0, Buffer.alloc(100, 1), 'synced')
    }
    assert.ok(process.cpuUsage(start).user < 1_000_000)
  })
})

describe('the end of a process', () => {
  test('keeps everything written and closes open files, and a later power cut can still lose unsynced bytes', () => {
    const disk = diskWith(1, 1)
    const file = disk.open('/d/f', 'write')
    file.write(Uint8Array.of(2), 0)

    const next = disk.crashProcess()

    assert.throws(() => file.size(), PowerCut)
    assert.throws(() => disk.list('/'), PowerCut)
    assert.equal(next.contents('/d/f')[0], 2)
    assert.deepEqual(
      outcomes(next, (cut) => String(cut.contents('/d/f')[0])),
      new Set(['1', '2']),
    )
    const again = next.open('/d/f', 'write')
    again.sync()
    assert.deepEqual(
      outcomes(next, (cut) => String(cut.contents('/d/f')[0])),
      new Set(['2']),
    )
  })
})

describe('faults', () => {
  test('a failed sync marks pages clean: they are still read, the next sync succeeds, and a cut may lose them', () => {
    const disk = diskWith(8, 1)
    const file = disk.open('/d/f', 'write')
    disk.faults.failSyncAt = disk.counts.sync + disk.counts.syncDirectory + 1
    const lost = new Set<string>()
    for (let index = 0; index < 30; index++) {
      const each = disk.clone()
      const handle = each.open('/d/f', 'write')
      for (let filler = 0; filler < index; filler++) each.makeDirectory(`/filler${filler}`)
      each.faults.failSyncAt = 1
      handle.write(Buffer.alloc(8, 2), 0)
      assert.throws(() => handle.sync(), { code: 'EIO' })
      handle.write(Uint8Array.of(3), 4096)
      handle.sync()
      assert.equal(each.contents('/d/f')[0], 2)
      const device = each.cut(new SeededRandom(1)).contents('/d/f')
      assert.equal(device[4096], 3)
      lost.add(String(device[0]))
    }
    assert.deepEqual([...lost].sort(), ['1', '2'])

    file.write(Uint8Array.of(2), 0)
    assert.throws(() => file.sync(), { code: 'EIO' })
    file.sync()
  })

  test('a sync in the background fails like any other, also if its file was closed meanwhile', async () => {
    const disk = diskWith(8, 1)
    const file = disk.open('/d/f', 'write')
    file.write(Uint8Array.of(2), 0)
    disk.faults.failSyncAt = disk.counts.sync + disk.counts.syncDirectory + 1
    await assert.rejects(file.syncInBackground(), { code: 'EIO' })
    const synced = file.syncInBackground()
    file.close()
    await assert.rejects(synced, { code: 'EBADF' })
    await assert.rejects(file.syncInBackground(), { code: 'EBADF' })
  })

  test('a failed sync of a directory leaves names that are visible but not durable', () => {
    const disk = diskWith(1, 1)
    disk.faults.failSyncAt = disk.counts.sync + disk.counts.syncDirectory + 2
    put(disk, '/d/new', 0, Buffer.from('x'), 'synced')
    assert.throws(() => disk.syncDirectory('/d'), { code: 'EIO' })
    disk.syncDirectory('/d')

    assert.ok(disk.exists('/d/new'))
    assert.equal(outcomes(disk, (cut) => String(cut.exists('/d/new'))).size, 1)
  })

  test('a full disk writes what fits and throws ENOSPC, and writes again once there is room', () => {
    const disk = new MemoryDisk({ capacityBytes: 1000 })
    const file = disk.open('/f', 'create')
    file.write(Buffer.alloc(600, 1), 0)

    assert.throws(
      () => file.write(Buffer.alloc(600, 2), 600),
      (error) => error instanceof DiskFull && error.code === 'ENOSPC',
    )
    assert.equal(file.size(), 1000)
    file.write(Buffer.alloc(1000, 3), 0)
    assert.throws(() => put(disk, '/g', 0, Uint8Array.of(1), 'unsynced'), DiskFull)
    file.truncate(10)
    put(disk, '/g', 0, Buffer.alloc(990), 'synced')
    disk.unlink('/g')
    file.write(Buffer.alloc(1000), 0)
    assert.equal(disk.usedBytes, 1000)
  })

  test('a read or write that is set to fail throws EIO once', () => {
    const disk = diskWith(4, 1)
    const file = disk.open('/d/f', 'write')
    disk.faults.failReadAt = disk.counts.read + 2
    disk.faults.failWriteAt = disk.counts.write + 1
    const into = new Uint8Array(4)

    assert.throws(() => file.write(Uint8Array.of(9), 0), { code: 'EIO' })
    file.read(into, 0)
    assert.throws(() => file.read(into, 0), { code: 'EIO' })
    file.read(into, 0)
    assert.deepEqual([...into], [1, 1, 1, 1])
  })

  test('flipBit() flips only that bit, on the device too', () => {
    const disk = diskWith(2, 0)
    disk.flipBit('/d/f', 11)
    assert.deepEqual([...disk.contents('/d/f')], [0, 8])
    assert.deepEqual([...disk.cut(new SeededRandom(1)).contents('/d/f')], [0, 8])
  })
})

test('a write copies its bytes, and pages are never shared with the caller or between disks', () => {
  const disk = diskWith(2 * 4096, 1)
  const memory = Buffer.alloc(3 * 4096, 2)
  put(disk, '/d/f', 0, memory, 'synced')
  const cut = disk.cut(new SeededRandom(1))
  memory.fill(3)
  put(disk, '/d/f', 4096 + 10, Buffer.alloc(20, 4), 'synced')

  assert.deepEqual(new Set(cut.contents('/d/f')), new Set([2]))
  assert.deepEqual(new Set(disk.contents('/d/f')), new Set([2, 4]))
})

test('a file behaves as an array of bytes, and so does every clone of it', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed)
    let disk = diskWith(0, 0)
    let model = new Uint8Array(0)
    const clones: { readonly disk: MemoryDisk; readonly model: Uint8Array }[] = []
    const near = (): number => random.pick([0, 1, 60, 64, 500, 4090, 4096, 4100, 8200]) + random.below(8)
    for (let step = 0; step < 30; step++) {
      const file = disk.open('/d/f', 'write')
      const choice = random.below(6)
      if (choice < 3) {
        const bytes = new Uint8Array(near()).fill(random.below(3))
        const at = near()
        file.write(bytes, at)
        const longer = new Uint8Array(Math.max(model.length, bytes.length === 0 ? 0 : at + bytes.length))
        longer.set(model)
        longer.set(bytes, bytes.length === 0 ? 0 : at)
        model = longer
      } else if (choice === 3) {
        const size = near()
        file.truncate(size)
        const cut = new Uint8Array(size)
        cut.set(model.subarray(0, size))
        model = cut
      } else if (choice === 4) {
        file.sync()
      } else {
        clones.push({ disk, model: model.slice() })
        disk = disk.clone()
      }
      file.close()
      const into = new Uint8Array(random.below(9000)).fill(9)
      const from = near()
      const read = disk.open('/d/f', 'read').read(into, from)
      assert.ok(Buffer.from(into.subarray(0, read)).equals(model.subarray(from, from + into.length)), `seed ${seed}`)
    }
    for (const clone of [...clones, { disk, model }])
      assert.ok(Buffer.from(clone.disk.contents('/d/f')).equals(clone.model), `seed ${seed}`)
  }
})
