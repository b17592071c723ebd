import { describe, expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { DiskStoreEngine } from '../../harness/disk-store.ts'
import type { StoreEngine } from '../../../src/streams/store/ordered-store.ts'
import { StoreError } from '../../../src/streams/store/store-error.ts'
import { StreamsRuntime } from '../../../src/streams/streams.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string })

test('after a restore from a changelog with several leader epochs the next start replays nothing', async () => {
  const builder = new StreamsBuilder()
  builder.stream(input).groupByKey().count({ name: 'by-key' })
  const app = await StreamsHarness.open(builder.build(), { in: 1 }, {}, { recentBytesMax: 0 })
  for (const value of ['first', 'second', 'third']) {
    await app.send('in', [['k', value, 1]])
    await app.start()
    await app.settle()
    await app.stop()
    await app.crash()
  }
  await new DiskStoreEngine(app.harness.disk).destroy('/stores/0_0/by-key')

  await app.start()
  await app.stop()
  const replayed = app.restored.length
  await app.start()

  expect(replayed).toBe(1)
  expect(app.restored).toHaveLength(replayed)
  expect(await app.pump(app.runtime.query<string, number>('by-key').get('k'))).toBe(3)
  await app.close()
})

describe('an application that is closed while it restores', () => {
  const rows = 12
  const builder = new StreamsBuilder()
  builder
    .table(input, { name: 'rows' })
    .toStream()
    .foreach(() => {})
  const topology = builder.build()

  /** An application with a store of some megabytes whose directory was lost. */
  async function lost(): Promise<StreamsHarness> {
    const app = await StreamsHarness.open(topology, { in: 1 }, {}, { recentBytesMax: 0 })
    await app.start()
    const value = 'v'.repeat(900_000)
    for (let row = 0; row < rows; row++) await app.send('in', [[`k${row}`, value, row]])
    await app.settle()
    await app.stop()
    await new DiskStoreEngine(app.harness.disk).destroy('/stores/0_0/rows')
    return app
  }

  function again(app: StreamsHarness, engine: StoreEngine, onRestore = (): void => {}): StreamsRuntime {
    return new StreamsRuntime(topology, {
      applicationId: 'app',
      log: app.log,
      engines: { lmdb: engine, memory: engine },
      storeDirectory: '/stores',
      clock: app.harness.clock,
      onRestore,
    })
  }

  test('stops restoring and is closed, not failed, and the next start continues from there', async () => {
    const app = await lost()
    let stretches = 0
    const runtime = again(app, new DiskStoreEngine(app.harness.disk), () => {
      stretches += 1
      runtime.close().catch(() => undefined)
    })
    await app.pump(runtime.start())
    expect([runtime.phase, stretches]).toEqual(['closed', 1])

    await app.start()
    expect(app.restored.map(({ records }) => records)).toEqual([2])
    expect(await app.pump(app.runtime.query<string, string>('rows').all())).toHaveLength(rows)
    await app.close()
  })

  test('fails with STORE_FAILED if the store fails while the changelog is read', async () => {
    const app = await lost()
    const real = new DiskStoreEngine(app.harness.disk)
    let closed = 0
    const engine: StoreEngine = {
      destroy: (directory) => real.destroy(directory),
      open: async (options) => {
        const store = await real.open(options)
        store.flush = () => Promise.reject(new StoreError('STORE_FLUSH_FAILED', 'no space left'))
        const close = store.close.bind(store)
        store.close = () => {
          closed += 1
          return close()
        }
        return store
      },
    }
    const runtime = again(app, engine)
    await expect(app.pump(runtime.start())).rejects.toThrow(/STORE_FAILED: a store of app: no space left/)
    expect(closed).toBe(1)
    await app.pump(app.harness.close())
  })
})
