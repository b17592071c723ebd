import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { InvariantError } from '../../src/base/assert.ts'
import type { Logger } from '../../src/base/logger.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { stringKey } from '../../src/codec/key-codecs.ts'
import type { Schema } from '../../src/codec/schema.ts'
import { topic } from '../../src/codec/topic.ts'
import { string } from '../../src/codec/value-codecs.ts'
import type { RecordContext } from '../../src/dsl/operators/process.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { LogError } from '../../src/log/api/errors.ts'
import type { Log } from '../../src/log/api/log.ts'
import { streamsErrorCodes } from '../../src/streams/errors.ts'
import { DiskStoreEngine } from '../harness/disk-store.ts'
import type { KeyValueStore } from '../../src/streams/store/key-value-store.ts'
import { MemoryStoreEngine } from '../../src/streams/store/memory-store.ts'
import type { StoreEngine } from '../../src/streams/store/ordered-store.ts'
import { StoreError } from '../../src/streams/store/store-error.ts'
import { StreamsRuntime } from '../../src/streams/streams.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { StreamsHarness } from '../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string })
const output = topic('out', { key: stringKey, value: string })

function built(define: (builder: StreamsBuilder) => void): Topology {
  const builder = new StreamsBuilder()
  define(builder)
  return builder.build()
}

const counting = built((builder) => void builder.stream(input).groupByKey().count({ name: 'by-key' }))

test('each error code is thrown somewhere in src and named by a test', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const texts = (folder: string): string =>
    readdirSync(`${root}/${folder}`, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !/streams.errors\.ts$/.test(name))
      .map((name) => readFileSync(`${root}/${folder}/${name}`, 'utf8'))
      .join('\n')
  const [source, tests] = [texts('src'), texts('test')]
  const codes = Object.keys(streamsErrorCodes)
  expect(codes.filter((code) => !source.includes(`'${code}'`))).toEqual([])
  expect(codes.filter((code) => !new RegExp(`\\b${code}\\b`).test(tests))).toEqual([])
})

/** Runs a topology over one record until it fails, or fails to start. */
async function failureOf(topology: Topology): Promise<unknown> {
  const app = await StreamsHarness.open(topology, { in: 1, out: 1 })
  await app.send('in', [['k', 'v', 5]])
  const failed = app.start().then(() => app.pump(app.runtime.finished()))
  const error: unknown = await failed.catch((reason: unknown) => reason)
  expect(await app.log.committedOffsets('app', [{ topic: 'in', partition: 0 }])).toEqual([])
  return error
}

test('STORE_UNKNOWN names the node, the store and the connected stores', async () => {
  const topology = built((builder) => {
    builder.addStore({ name: 'a', key: stringKey, value: string })
    builder.addStore({ name: 'b', key: stringKey, value: string })
    const init = (context: RecordContext<string, string>): void => void context.store('b')
    builder.stream(input).process(() => ({ init, process: () => {} }), { name: 'asks', stores: ['a'] })
    builder.stream(input).process(() => ({ process: () => {} }), { name: 'has', stores: ['b'] })
  })
  expect(String(await failureOf(topology))).toMatch(
    /STORE_UNKNOWN: store b is not connected to asks, whose option stores lists: a; add it/,
  )
})

test("ASYNC_SCHEMA stops the application even with onInvalid 'skip'", async () => {
  const schema: Schema<string, string> = {
    '~standard': { version: 1, vendor: 'late', validate: (value) => Promise.resolve({ value: String(value) }) },
  }
  const late = topic('in', { key: stringKey, value: schema, format: 'string' })
  const topology = built((builder) => builder.stream(late, { onInvalid: 'skip' }).to(output))
  expect(String(await failureOf(topology))).toMatch(/ASYNC_SCHEMA: .*answers with a Promise: remove/)
})

test('INVALID_TIMESTAMP names the extractor or the processor that the timestamp came from', async () => {
  const timed = topic('in', { key: stringKey, value: string, timestamp: (value) => Number(value) })
  expect(String(await failureOf(built((builder) => builder.stream(timed).to(output))))).toMatch(
    /INVALID_TIMESTAMP: record at in-0 offset 0: the extractor of .* returned timestamp NaN/,
  )
  for (const timestamp of [Number.NaN, -1, 1.5]) {
    const topology = built((builder) => {
      builder
        .stream(input)
        .process<string, string>(
          () => {
            let context: RecordContext<string, string> | null = null
            return {
              init: (given) => void (context = given),
              process: ({ key, value }) => context?.forward({ key, value, timestamp }),
            }
          },
          { name: 'stamps' },
        )
        .to(output)
    })
    expect(String(await failureOf(topology))).toMatch(
      /INVALID_TIMESTAMP: stamps failed at in-0 offset 0: stamps forwards a record with timestamp (NaN|-1|1\.5); use/,
    )
  }
})

test('PRODUCTION_FAILED names the topic and which part of the record cannot be written', async () => {
  const json = topic('out', { key: stringKey, value: z.unknown(), format: 'json' })
  const circular: { self?: unknown } = {}
  circular.self = circular
  for (const [mapped, message] of [
    [[5, 'v'], 'out-sink failed at in-0 offset 0: the key for topic out: the codec writes a string, not 5'],
    [['k', 5n], 'out-sink failed at in-0 offset 0: the value for topic out: '],
    [['k', circular], 'out-sink failed at in-0 offset 0: the value for topic out: '],
  ] as const) {
    const topology = built((builder) => {
      builder
        .stream(input)
        .map((): [string, unknown] => mapped as never)
        .to(json)
    })
    const error = await failureOf(topology)
    expect(error).toMatchObject({ code: 'PRODUCTION_FAILED' })
    expect(String(error)).toContain(message)
  }
})

test('a key that a store cannot take is reported with the name of the store', async () => {
  const topology = built((builder) => {
    const store = builder.addStore({ name: 'seen', key: stringKey, value: string })
    builder.stream(input).process(
      () => {
        let seen: KeyValueStore<string, string>
        return {
          init: (context) => void (seen = context.store(store)),
          process: () => seen.put(5 as never, 'v'),
        }
      },
      { stores: [store] },
    )
  })
  expect(String(await failureOf(topology))).toMatch(
    /PROCESSING_FAILED: process failed at in-0 offset 0: .*the key for store seen: the codec writes a string, not 5/,
  )
})

test('FENCED says that another instance has taken over', async () => {
  const app = await StreamsHarness.open(counting, { in: 1 })
  await app.start()
  await app.log.openCommitter({ id: 'app' })
  await app.send('in', [['k', 'v', 1]])
  await expect(app.pump(app.runtime.finished())).rejects.toThrow(
    /^FENCED: another instance of app has taken over.*applicationId of its own/,
  )
  expect(await app.log.committedOffsets('app', [{ topic: 'in', partition: 0 }])).toEqual([])
})

test('a processor that throws in close() is named, and all others are still closed and committed', async () => {
  const topology = built((builder) => {
    const counted = builder.addStore({ name: 'seen', key: stringKey, value: string })
    const closing = (name: string, close: () => void): void =>
      void builder.stream(input).process(
        () => {
          let store: { put(key: string, value: string): void }
          return {
            init: (context) => void (store = context.store(counted)),
            process: ({ key, value }) => store.put(`${name}-${key}`, value),
            close,
          }
        },
        { name, stores: [counted] },
      )
    closing('clumsy', () => {
      throw new RangeError('not now')
    })
    closing('other', () => void (closed += 1))
  })
  let closed = 0
  const app = await StreamsHarness.open(topology, { in: 1 })
  await app.start()
  await app.send('in', [['k', 'v', 1]])
  await app.settle()
  await expect(app.stop()).rejects.toThrow(/^PROCESSING_FAILED: clumsy failed in close\(\): not now/)
  expect(closed).toBe(1)

  await app.start()
  expect(await app.pump(app.runtime.query('seen').all())).toHaveLength(2)
  await app.stop().catch(() => undefined)
  await app.pump(app.harness.close())
})

interface Given {
  readonly app: StreamsHarness
  readonly engine?: StoreEngine
  readonly log?: Log
  readonly logger?: Logger
}

async function started({ app, engine, log = app.log, logger = silentLogger }: Given): Promise<StreamsRuntime> {
  const runtime = new StreamsRuntime(counting, {
    applicationId: 'app',
    log,
    engines: { lmdb: engine ?? new DiskStoreEngine(app.harness.disk), memory: new MemoryStoreEngine() },
    storeDirectory: '/stores',
    clock: app.harness.clock,
    logger,
  })
  await app.pump(runtime.start())
  return runtime
}

test('STORE_FAILED names the cause and says that everything committed is in the changelogs', async () => {
  const app = await StreamsHarness.open(counting, { in: 1 })
  const real: StoreEngine = new MemoryStoreEngine()
  const engine: StoreEngine = {
    destroy: (directory) => real.destroy(directory),
    open: async (options) => {
      const store = await real.open(options)
      store.flush = () => Promise.reject(new StoreError('STORE_FLUSH_FAILED', 'no space left'))
      return store
    },
  }
  const runtime = await started({ app, engine })
  await app.send('in', [['k', 'v', 1]])
  await app.pump(runtime.settled())
  await expect(app.pump(runtime.close())).rejects.toThrow(
    /^STORE_FAILED: a store of app: .*no space left; everything committed is in the changelogs/,
  )
})

test.each([
  ['a broken store still stops the application', () => new StoreError('STORE_CORRUPT', 'rot'), true],
  ['a violated invariant still stops the application', () => new InvariantError('impossible'), true],
  ['a failed log still stops the application', () => new LogError('WRITE_FAILED', 'the disk is gone'), true],
  ['an exception in user code drops the record', () => new RangeError('no such word'), false],
  ['a record that is too large is dropped', () => new LogError('MESSAGE_TOO_LARGE', 'too large'), false],
])("with onProcessingError 'continue' %s", async (_, errorOf, stops) => {
  const topology = built((builder) => {
    builder
      .stream(input)
      .peek(() => {
        throw errorOf()
      })
      .to(output)
  })
  const app = await StreamsHarness.open(topology, { in: 1, out: 1 }, { onProcessingError: 'continue' })
  await app.send('in', [['k', 'v', 1]])
  await app.start()
  const settled = app.settle()
  if (stops) await expect(settled).rejects.toThrow()
  else await settled
  expect(app.runtime.metrics().dropped).toBe(stops ? 0 : 1)
})

test('COMMIT_ABORTED is thrown when commits are lost repeatedly', async () => {
  const app = await StreamsHarness.open(counting, { in: 1 })
  await app.send('in', [['k', 'v', 1]])
  const log: Log = new Proxy(app.log, {
    get(target, name): unknown {
      const member: unknown = Reflect.get(target, name)
      if (name !== 'openCommitter') return typeof member === 'function' ? member.bind(target) : member
      return async (options: { readonly id: string }) => {
        const committer = await target.openCommitter(options)
        const begin = (): unknown => {
          const staged = committer.begin()
          const commit = (): unknown => {
            staged.discard()
            const lost = Promise.reject(new LogError('ABORTED', 'the disk is gone'))
            lost.catch(() => undefined)
            return { placements: null, sequenced: lost, durable: lost }
          }
          return {
            to: (at: { topic: string; partition: number }) => staged.to(at),
            bytes: 0,
            ready: () => staged.ready(),
            discard: () => staged.discard(),
            commit,
          }
        }
        return { id: committer.id, close: () => committer.close(), begin }
      }
    },
  })
  const warnings: string[] = []
  const logger: Logger = { ...silentLogger, warn: (text: string) => void warnings.push(text) }
  const runtime = await started({ app, log, logger })
  await expect(app.pump(runtime.finished())).rejects.toThrow(
    /^COMMIT_ABORTED: commits of app are lost.*the disk is gone/,
  )
  expect(warnings.length).toBeGreaterThan(0)
  expect(warnings.every((text) => text.startsWith('COMMIT_ABORTED: '))).toBe(true)
})

test('STORE_AHEAD is logged and the store restored if it is ahead of its changelog', async () => {
  const app = await StreamsHarness.open(counting, { in: 1 })
  await app.send('in', [['k', 'v', 1]])
  const real = new DiskStoreEngine(app.harness.disk)
  const first = await started({ app, engine: real })
  await app.pump(first.settled())
  await app.pump(first.close())
  // The store of another data directory: it claims an offset that this changelog never had.
  const directory = '/stores/0_0/by-key'
  const store = await real.open({ directory, spaces: 1 })
  await store.flush({
    clear: [],
    operations: { bytes: new Uint8Array(0), count: 0 },
    position: { leaderEpoch: store.position?.leaderEpoch ?? 0, changelogOffset: 99, storeTime: -1 },
  })
  await store.close()

  const warnings: string[] = []
  const logger: Logger = { ...silentLogger, warn: (text: string) => void warnings.push(text) }
  const second = await started({ app, engine: real, logger })
  expect(warnings).toEqual([expect.stringMatching(/^STORE_AHEAD: store by-key .*offset 99.*app-by-key-changelog-0/)])
  expect(await app.pump(second.query<string, number>('by-key').get('k'))).toBe(1)
  await app.pump(second.close())
})
