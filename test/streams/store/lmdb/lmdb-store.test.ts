import * as assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { LmdbStoreEngine } from '../../../../src/streams/store/lmdb/lmdb-store.ts'
import { StoreFlusher } from '../../../../src/streams/store/lmdb/store-flusher.ts'
import type { OrderedStore, StorePosition } from '../../../../src/streams/store/ordered-store.ts'
import { WriteBatch } from '../../../../src/streams/store/write-batch.ts'
import { type StoreUnderTest, storeContract } from '../../../contract/store-contract.ts'

let root = ''
const flusher = new StoreFlusher()
let next = 0
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'millrace-lmdb-'))
})
afterAll(async () => {
  await flusher.close()
  rmSync(root, { recursive: true, force: true })
})

const freshDirectory = (): string => join(root, `store-${next++}`)

async function under(engine: LmdbStoreEngine, spaces: number): Promise<StoreUnderTest> {
  const directory = freshDirectory()
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
      assert.ok(!existsSync(directory))
    },
  }
}

storeContract('lmdb, flushed inline', { modelRuns: 15, open: (spaces) => under(new LmdbStoreEngine(null), spaces) })
storeContract('lmdb, flushed by a thread', {
  modelRuns: 15,
  open: (spaces) => under(new LmdbStoreEngine(flusher), spaces),
})

const position: StorePosition = { leaderEpoch: 1, changelogOffset: 2, storeTime: 3 }

async function flushKeys(store: OrderedStore, from: number, to: number, value: number): Promise<void> {
  const batch = new WriteBatch()
  for (let index = from; index < to; index++) {
    const key = Buffer.alloc(4)
    key.writeUInt32BE(index)
    batch.put(0, key, Uint8Array.of(value))
  }
  await store.flush({ clear: [], operations: batch.take(), position })
}

describe('lmdb store', () => {
  test('reads continue while the thread flushes, and see either all of a flush or nothing of it', async () => {
    const engine = new LmdbStoreEngine(flusher)
    const directory = freshDirectory()
    const store = await engine.open({ directory, spaces: 1 })
    await flushKeys(store, 0, 20_000, 1)
    const flush = { done: false }
    const flushing = flushKeys(store, 0, 20_000, 2).finally(() => (flush.done = true))

    let reads = 0
    while (!flush.done) {
      const seen = new Set(
        Array.from(store.range(0, { from: new Uint8Array(0), to: null, reverse: false }), ({ value }) => value[0]),
      )
      assert.equal(seen.size, 1)
      reads++
      await new Promise((resolve) => setImmediate(resolve))
    }
    await flushing

    assert.ok(reads > 0)
    assert.equal(store.get(0, Uint8Array.of(0, 0, 0, 9))?.[0], 2)
    await store.close()
    await engine.destroy(directory)
  })

  test('the thread gives the memory of a batch back when the store contains it', async () => {
    const engine = new LmdbStoreEngine(flusher)
    const directory = freshDirectory()
    const store = await engine.open({ directory, spaces: 1 })
    let memory: ArrayBuffer | null = null
    for (let value = 1; value <= 3; value++) {
      const batch = new WriteBatch(() => memory)
      for (let index = 0; index < 1000; index++)
        batch.put(0, Uint8Array.of(index >> 8, index, value), new Uint8Array(20))
      const operations = batch.take()
      const { byteLength } = operations.bytes.buffer
      memory = await store.flush({ clear: [], operations, position })

      assert.equal(operations.bytes.length, 0)
      assert.equal(memory?.byteLength, byteLength)
    }

    assert.equal(store.count(0), 3000)
    await store.close()
    await engine.destroy(directory)
  })

  test('one thread flushes many stores concurrently', async () => {
    const engine = new LmdbStoreEngine(flusher)
    const directories = Array.from({ length: 6 }, freshDirectory)
    const stores = await Promise.all(directories.map((directory) => engine.open({ directory, spaces: 1 })))

    await Promise.all(stores.map((store, index) => flushKeys(store, 0, 100, index)))

    assert.deepEqual(
      stores.map((store) => store.get(0, Uint8Array.of(0, 0, 0, 5))?.[0]),
      [0, 1, 2, 3, 4, 5],
    )
    for (const store of stores) await store.close()
    for (const directory of directories) await engine.destroy(directory)
  })

  test('a store that cannot be written fails with STORE_FLUSH_FAILED and names its directory', async () => {
    const file = join(freshDirectory(), 'file')
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, '')
    const store = await new LmdbStoreEngine(flusher).open({ directory: `${file}/store`, spaces: 1 })
    await assert.rejects(flushKeys(store, 0, 1, 1), {
      code: 'STORE_FLUSH_FAILED',
      message: new RegExp(`^${file}/store could not be written \\(.+\\): look whether its disk is full, or fails$`),
    })
    await store.close()
  })

  test('a store created after others starts empty and has its own number of spaces', async () => {
    const own = new StoreFlusher()
    const engine = new LmdbStoreEngine(own)
    const directories = Array.from({ length: 4 }, freshDirectory)
    const shapes = [1, 2, 1, 2]
    const stores: OrderedStore[] = []

    for (const [index, directory] of directories.entries()) {
      const store = await engine.open({ directory, spaces: shapes[index] as number })
      await flushKeys(store, index * 10, index * 10 + 3, index)
      stores.push(store)
    }

    for (const [index, store] of stores.entries()) {
      const keys = Array.from(
        store.range(0, { from: new Uint8Array(0), to: null, reverse: false }),
        ({ key }) => key[3],
      )
      assert.deepEqual(keys, [index * 10, index * 10 + 1, index * 10 + 2])
      await store.close()
      const again = await engine.open({ directory: directories[index] as string, spaces: shapes[index] as number })
      assert.equal(again.count(0), 3)
      await again.close()
    }
    await own.close()
  })

  test('a store with another number of spaces is refused, naming both numbers', async () => {
    const engine = new LmdbStoreEngine(null)
    const directory = freshDirectory()
    const store = await engine.open({ directory, spaces: 2 })
    await flushKeys(store, 0, 1, 1)
    await store.close()

    await assert.rejects(engine.open({ directory, spaces: 3 }), { code: 'STORE_MISMATCH', message: /2 spaces.*with 3/ })
    await engine.destroy(directory)
  })

  test('a file that is not a store, or is torn, is refused with STORE_CORRUPT and left unchanged', async () => {
    const engine = new LmdbStoreEngine(null)
    const directory = freshDirectory()
    const store = await engine.open({ directory, spaces: 1 })
    await flushKeys(store, 0, 5000, 1)
    await store.close()
    const path = join(directory, 'data.mdb')
    const whole = readFileSync(path)
    const damaged = [
      Buffer.alloc(0),
      Buffer.from('not a database'.repeat(1000)),
      Buffer.alloc(whole.length),
      whole.subarray(0, 4096),
      whole.subarray(0, 3 * 4096),
    ]

    for (const bytes of damaged) {
      writeFileSync(path, bytes)
      await assert.rejects(engine.open({ directory, spaces: 1 }), { code: 'STORE_CORRUPT' })
      assert.deepEqual(readFileSync(path), bytes)
    }

    writeFileSync(path, whole)
    const again = await engine.open({ directory, spaces: 1 })
    assert.equal(again.count(0), 5000)
    await again.close()
  })

  test('a store that a crash left half created or half removed is created again', async () => {
    const engine = new LmdbStoreEngine(null)
    const directory = freshDirectory()
    mkdirSync(`${directory}.new`)
    writeFileSync(join(`${directory}.new`, 'data.mdb'), 'torn')
    mkdirSync(directory)
    writeFileSync(join(directory, 'lock.mdb'), 'left over')

    const store = await engine.open({ directory, spaces: 1 })
    await flushKeys(store, 0, 3, 1)

    assert.equal(store.count(0), 3)
    assert.ok(!existsSync(`${directory}.new`))
    await store.close()
  })

  test('code that V8 has compiled for typed arrays and buffers survives the first flush, which loads LMDB', () => {
    const source = (file: string): string => new URL(`../../../../src/streams/store/lmdb/${file}`, import.meta.url).href
    const program = `
      await import('${source('lmdb-store.ts')}')
      const functions = [new Uint32Array(64), Buffer.alloc(64)].map((column) => {
        // Code of its own for each kind.
        const sum = new Function('own', \`return () => {
          let sum = 0
          for (let index = 0; index < 64; index++) sum += own.column[index]
          return sum
        }\`)({ column });
        %PrepareFunctionForOptimization(sum);
        sum();
        sum();
        %OptimizeFunctionOnNextCall(sum);
        sum();
        return sum;
      })
      const optimized = () => functions.map((sum) => (%GetOptimizationStatus(sum) & 16) !== 0)
      const before = optimized()
      const { LmdbEnvironment } = await import('${source('lmdb-environment.ts')}')
      const environment = new LmdbEnvironment(process.argv[1], 1)
      console.log(JSON.stringify({ before, after: optimized() }))
      await environment.close()`

    const child = spawnSync(
      process.execPath,
      ['--allow-natives-syntax', '--input-type=module', '-e', program, freshDirectory()],
      { encoding: 'utf8' },
    )

    assert.equal(child.status, 0, child.stderr)
    assert.deepEqual(JSON.parse(child.stdout), { before: [true, true], after: [true, true] })
  })

  test('a process can exit during a flush, and the store is then at that flush or the one before', async () => {
    const directory = freshDirectory()
    const source = (file: string): string => new URL(`../../../../src/streams/store/${file}`, import.meta.url).href
    const program = `
      const { StoreFlusher } = await import('${source('lmdb/store-flusher.ts')}')
      const { LmdbStoreEngine } = await import('${source('lmdb/lmdb-store.ts')}')
      const { WriteBatch } = await import('${source('write-batch.ts')}')
      const store = await new LmdbStoreEngine(new StoreFlusher()).open({ directory: process.argv[1], spaces: 1 })
      const flush = (round, count) => {
        const batch = new WriteBatch()
        for (let index = 0; index < count; index++) batch.put(0, Buffer.from('key ' + index), Buffer.alloc(20, round))
        const position = { leaderEpoch: 1, changelogOffset: round, storeTime: 0 }
        return store.flush({ clear: [], operations: batch.take(), position })
      }
      await flush(1, 10)
      void flush(2, 100000)
      setTimeout(() => process.exit(7), 40)`

    for (let round = 0; round < 3; round++) {
      const child = spawnSync(process.execPath, ['--input-type=module', '-e', program, directory], {
        encoding: 'utf8',
        timeout: 20_000,
        killSignal: 'SIGKILL',
      })
      assert.equal(child.status, 7, child.stderr)

      const store = await new LmdbStoreEngine(null).open({ directory, spaces: 1 })
      const at = store.position?.changelogOffset
      assert.ok(at === 1 || at === 2)
      if (at === 2) assert.equal(store.count(0), 100_000)
      await store.close()
    }
  })

  test('a flush through a closed flusher fails with STORE_FLUSH_FAILED', async () => {
    const own = new StoreFlusher()
    const engine = new LmdbStoreEngine(own)
    const directory = freshDirectory()
    const store = await engine.open({ directory, spaces: 1 })
    await flushKeys(store, 0, 3, 1)
    await store.close()

    await own.close()

    const again = await engine.open({ directory, spaces: 1 })
    assert.equal(again.count(0), 3)
    await assert.rejects(flushKeys(again, 0, 3, 2), { code: 'STORE_FLUSH_FAILED' })
    await again.close()
  })

  test('a flusher whose thread failed while it was idle names the cause at every later flush', async () => {
    const own = new StoreFlusher()
    const started = once(process, 'worker') as Promise<[Worker]>
    const file = freshDirectory()
    writeFileSync(file, 'not a directory')
    const flush = (): Promise<unknown> =>
      own.flush(file, 1, { clear: [], operations: new WriteBatch().take(), position })
    await assert.rejects(flush(), { code: 'STORE_FLUSH_FAILED' })
    const [thread] = await started
    const failed = new Promise<Error>((resolve) => thread.once('error', resolve))
    const ended = new Promise((resolve) => thread.once('exit', resolve))

    // Nobody in the thread catches the error that this causes.
    thread.postMessage(null)
    const error = await failed
    await ended

    await assert.rejects(flush(), (later: Error) => (later.cause as Error).message === error.message)
    await own.close()
  })

  test('a flusher whose thread has ended refuses to flush, and is closed at once', async () => {
    const own = new StoreFlusher()
    const started = once(process, 'worker') as Promise<[Worker]>
    const file = freshDirectory()
    writeFileSync(file, 'not a directory')
    const batch = { clear: [], operations: new WriteBatch().take(), position }
    await assert.rejects(own.flush(file, 1, batch), { code: 'STORE_FLUSH_FAILED' })
    const [thread] = await started
    // It has nothing open.
    await thread.terminate()

    await assert.rejects(
      own.flush(file, 1, { ...batch, operations: new WriteBatch().take() }),
      /the flush thread failed/,
    )
    await own.close()
  })
})
