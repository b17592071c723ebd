import * as assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { DiskStoreEngine } from '../../harness/disk-store.ts'
import type { OrderedStore } from '../../../src/streams/store/ordered-store.ts'
import { WriteBatch } from '../../../src/streams/store/write-batch.ts'
import { MemoryDisk, PowerCut } from '../../../src/testing/index.ts'
import { storeContract } from '../../contract/store-contract.ts'

const directory = '/state/0_1/counts'

storeContract('snapshots on a disk', {
  modelRuns: 100,
  open: async (spaces) => {
    const disk = new MemoryDisk()
    const engine = new DiskStoreEngine(disk)
    let store = await engine.open({ directory, spaces })
    return {
      store,
      reopen: async () => {
        await store.close()
        store = await engine.open({ directory, spaces })
        return store
      },
      destroy: async () => {
        await store.close()
        await engine.destroy(directory)
        assert.ok(!disk.exists(directory))
        assert.equal(disk.openFiles, 0)
      },
    }
  },
})

/** Flush n sets `round` to n and adds 40 entries. */
async function flushRound(store: OrderedStore, round: number): Promise<void> {
  const batch = new WriteBatch()
  batch.put(0, Buffer.from('round'), Uint8Array.of(round))
  for (let index = 0; index < 40; index++) batch.put(0, Buffer.from(`key ${round} ${index}`), Buffer.alloc(30, round))
  await store.flush({
    clear: [],
    operations: batch.take(),
    position: { leaderEpoch: 1, changelogOffset: round, storeTime: round },
  })
}

async function roundOf(disk: MemoryDisk): Promise<number> {
  const store = await new DiskStoreEngine(disk).open({ directory, spaces: 1 })
  const round = store.get(0, Buffer.from('round'))?.[0] ?? 0
  assert.equal(store.position?.changelogOffset ?? 0, round)
  assert.equal(store.count(0), round === 0 ? 0 : round * 40 + 1)
  return round
}

describe('disk store', () => {
  test('after a power cut at any operation the store is at its last flush, or at the one in progress', async () => {
    const random = new SeededRandom(7)
    for (let cutAt = 1; ; cutAt++) {
      const disk = new MemoryDisk({ cutAt })
      let flushed = 0
      let cut = false
      try {
        const store = await new DiskStoreEngine(disk).open({ directory, spaces: 1 })
        for (let round = 1; round <= 4; round++) {
          await flushRound(store, round)
          flushed = round
        }
      } catch (error) {
        assert.ok(error instanceof PowerCut)
        cut = true
      }
      for (let loss = 0; loss < 20; loss++) {
        const round = await roundOf(disk.cut(random))
        assert.ok(round === flushed || (cut && round === flushed + 1), `cut at ${cutAt}: ${round} after ${flushed}`)
      }
      if (!cut) break
    }
  })

  test('after a failed flush the store refuses further flushes, and reopens at the flush before', async () => {
    const disk = new MemoryDisk()
    const store = await new DiskStoreEngine(disk).open({ directory, spaces: 1 })
    await flushRound(store, 1)
    disk.faults.failSyncAt = disk.counts.sync + disk.counts.syncDirectory + 1

    await assert.rejects(flushRound(store, 2), { code: 'EIO' })
    await assert.rejects(flushRound(store, 3), /open the store again/)

    assert.equal(await roundOf(disk), 1)
  })

  test('any flipped bit or truncation is detected as STORE_CORRUPT, and the message names the remedy', async () => {
    const disk = new MemoryDisk()
    const engine = new DiskStoreEngine(disk)
    const store = await engine.open({ directory, spaces: 1 })
    const batch = new WriteBatch()
    batch.put(0, Buffer.from('a'), Buffer.from('b'))
    await store.flush({
      clear: [],
      operations: batch.take(),
      position: { leaderEpoch: 1, changelogOffset: 2, storeTime: 3 },
    })
    const path = `${directory}/store.snapshot`
    const size = disk.contents(path).length
    const refusal = { code: 'STORE_CORRUPT', message: /remove it to restore/ }

    for (let bit = 0; bit < size * 8; bit++) {
      const damaged = disk.clone()
      damaged.flipBit(path, bit)
      await assert.rejects(new DiskStoreEngine(damaged).open({ directory, spaces: 1 }), refusal)
    }
    for (let end = 0; end < size; end++) {
      const damaged = disk.clone()
      const file = damaged.open(path, 'write')
      file.truncate(end)
      file.close()
      await assert.rejects(new DiskStoreEngine(damaged).open({ directory, spaces: 1 }), refusal)
    }
  })

  test('a store with another number of spaces is refused', async () => {
    const disk = new MemoryDisk()
    await flushRound(await new DiskStoreEngine(disk).open({ directory, spaces: 1 }), 1)

    await assert.rejects(new DiskStoreEngine(disk).open({ directory, spaces: 2 }), { code: 'STORE_MISMATCH' })
  })
})
