import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { stringKey } from '../src/codec/key-codecs.ts'
import { topic } from '../src/codec/topic.ts'
import { string } from '../src/codec/value-codecs.ts'
import { Streams } from '../src/application.ts'
import { StreamsBuilder } from '../src/dsl/streams-builder.ts'
import { openLog } from '../src/log/open-log.ts'
import { MemoryDisk } from '../src/testing/memory-disk.ts'
import { DiskStoreEngine } from './harness/disk-store.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

test.each(['SIGINT', 'SIGTERM'] as const)(
  'run() closes the application and exits with 0 on %s, even if the signal comes twice',
  async (signal) => {
    const program = fileURLToPath(new URL('harness/run-until-signal.ts', import.meta.url))
    const child = spawn(process.execPath, [program, directory, signal], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let errors = ''
    child.stderr.on('data', (bytes: Buffer) => void (errors += bytes.toString()))
    child.stdout.on('data', (bytes: Buffer) => {
      if (!output.includes('running') && bytes.toString().includes('running')) child.kill(signal)
      output += bytes.toString()
    })

    const code = await new Promise((resolve) => void child.on('exit', (exit, by) => resolve(by ?? exit)))

    expect([code, output, errors]).toEqual([0, 'running\nclosed\n', ''])
  },
)

test('an exception in user code ends run() with exit code 1 at every start, naming operator, record and cause', async () => {
  const program = fileURLToPath(new URL('harness/run-into-failure.ts', import.meta.url))
  for (let start = 0; start < 2; start++) {
    const child = spawn(process.execPath, [program, directory], { stdio: ['ignore', 'pipe', 'pipe'] })
    let errors = ''
    child.stderr.on('data', (bytes: Buffer) => void (errors += bytes.toString()))

    const code = await new Promise((resolve) => void child.on('close', (exit, by) => resolve(by ?? exit)))

    expect(code).toBe(1)
    const message = 'PROCESSING_FAILED: check-word failed at words-0 offset 1: RangeError: no such word'
    expect(errors.split(message)).toHaveLength(2)
  }
})

test.each(['a/b', '', '.', '..', 'a'.repeat(250), ['a']])(
  'an application id that topics or directories cannot be named after is refused: %s',
  (applicationId) => {
    const builder = new StreamsBuilder()
    builder.stream(topic('words', { key: stringKey, value: string })).foreach(() => {})
    expect(() => new Streams(builder.build(), { applicationId: applicationId as string, dataDir: directory })).toThrow(
      /CONFIG_INVALID: applicationId .*: use 1 to 249 characters/,
    )
  },
)

test('invalid options or topologies are refused before anything is opened', () => {
  const builder = new StreamsBuilder()
  builder.stream(topic('words', { key: stringKey, value: string })).foreach(() => {})
  const made = (built: unknown, options: object) => () => new Streams(built as never, options as never)

  expect(made(builder.build(), { dataDir: directory })).toThrow(/CONFIG_INVALID: applicationId undefined: use/)
  expect(made(builder.build(), { applicationId: 'a' })).toThrow(/CONFIG_INVALID: dataDir is undefined: name/)
  expect(made(builder, { applicationId: 'a', dataDir: directory })).toThrow(
    /CONFIG_INVALID.*a topology is what build\(\)/,
  )
  expect(made(null, { applicationId: 'a', dataDir: directory })).toThrow(/CONFIG_INVALID.*not null/)
  const withLog = (log: unknown) => made(builder.build(), { applicationId: 'a', dataDir: directory, log })
  expect(withLog(Promise.resolve())).toThrow(
    /CONFIG_INVALID: log is a Promise; give what it resolves to: await openLog/,
  )
  expect(withLog('data')).toThrow(/CONFIG_INVALID: log is "data"; give what openLog\({ dataDir }\) resolves to/)
  expect(withLog(undefined)).not.toThrow()
})

test('finished() of an application that is still starting waits for its end, or for the error of the start', async () => {
  const started = (partitions: object): Streams => {
    const builder = new StreamsBuilder()
    builder.stream(topic('words', { key: stringKey, value: string, ...partitions })).foreach(() => {})
    const logOptions = { disk: new MemoryDisk() }
    const storeEngine = new DiskStoreEngine(logOptions.disk)
    const app = new Streams(builder.build(), { applicationId: 'a', dataDir: '/a', logOptions, storeEngine })
    app.start().catch(() => undefined)
    return app
  }
  const app = started({ partitions: 1 })
  const finished = app.finished().then(() => app.phase)
  await app.start()
  await app.close()
  expect(await finished).toBe('closed')

  await expect(started({}).finished()).rejects.toThrow(/TOPIC_MISSING/)
})

test.each([
  ['says so on standard error', (): void => {}, 1],
  ['says nothing if a call rejects with the error', (app: Streams): void => void app.finished().catch(() => {}), 0],
] as const)('an application that fails without a logger %s', async (_, wait, lines) => {
  const written = vi.spyOn(console, 'error').mockImplementation(() => {})
  const words = topic('words', { key: stringKey, value: string, partitions: 1 })
  const builder = new StreamsBuilder()
  builder.stream(words).foreach(() => {
    throw new RangeError('no such word')
  })
  const logOptions = { disk: new MemoryDisk() }
  const log = await openLog({ dataDir: '/a', ...logOptions })
  const storeEngine = new DiskStoreEngine(logOptions.disk)
  const app = new Streams(builder.build(), { applicationId: 'a', dataDir: '/a', log, storeEngine })
  const failed = new Promise<void>((resolve) => app.onPhase((phase) => phase === 'failed' && resolve()))
  await app.start()
  wait(app)
  await log.producer().send({ topic: words, key: 'k', value: 'v' })

  await failed
  await expect(app.finished()).rejects.toThrow(/no such word/)
  const line = expect.stringMatching(/application a has failed.*PROCESSING_FAILED: .*words-0 offset 0.*no such word/)
  expect(written.mock.calls).toEqual([[line]].slice(0, lines))
  written.mockRestore()
  await app.close().catch(() => undefined)
  await log.close()
})

test('an application whose start was not awaited says so when it is asked', async () => {
  const builder = new StreamsBuilder()
  const words = topic('words', { key: stringKey, value: string, partitions: 1 })
  builder.stream(words).groupByKey().count({ name: 'counts' })
  const disk = new MemoryDisk()
  const log = await openLog({ dataDir: '/a', disk })
  const storeEngine = new DiskStoreEngine(disk)
  const app = new Streams(builder.build(), { applicationId: 'a', dataDir: '/a', log, storeEngine })
  const starting = app.start()

  await expect(app.settled()).rejects.toThrow(/the application is starting, so it processes nothing; await start\(\)/)
  await expect(app.query('counts').get('a')).rejects.toThrow(/so store counts cannot be queried; await start\(\) first/)
  await starting
  await app.close()
  await log.close()
})

test('an application that was closed cannot be started again', async () => {
  const builder = new StreamsBuilder()
  builder.stream(topic('words', { key: stringKey, value: string, partitions: 1 })).foreach(() => {})
  const app = new Streams(builder.build(), { applicationId: 'a', dataDir: directory })
  await app.start()
  await app.start()
  await app.close()

  await expect(app.start()).rejects.toThrow(/INVALID_PHASE: the application is closed; create a new one/)
  await expect(app.run()).rejects.toThrow(/INVALID_PHASE/)
  await app.close()
})
