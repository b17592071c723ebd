import assert from 'node:assert/strict'
import type { Disk } from '../../src/base/disk.ts'
import { partitionOfKey } from '../../src/base/murmur2.ts'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import type { Log } from '../../src/log/api/log.ts'
import { outgoingRecord } from '../../src/log/api/record.ts'
import type { SyncMode } from '../../src/log/config.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { BatchBuilder } from '../../src/log/format/batch-builder.ts'
import { DiskStoreEngine } from '../harness/disk-store.ts'
import { MemoryStoreEngine } from '../../src/streams/store/memory-store.ts'
import type { OrderedStore, StoreEngine } from '../../src/streams/store/ordered-store.ts'
import { StreamsRuntime } from '../../src/streams/streams.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { MemoryDisk } from '../../src/testing/memory-disk.ts'
import { type AppProgram, spacesOf } from './app-programs.ts'
import { readAll, type KeptRecord } from './log-model.ts'
import { LyingDisk, type Lies } from '../harness/lying-disk.ts'
import type { PowerTotals } from './power-totals.ts'
import { dataDir, openSmallLog } from './small-log.ts'

export interface AppLifeOptions {
  readonly seed: number
  readonly sync: SyncMode
  /**
   * With `update` the input is written before the application starts, and every output partition must have exactly the
   * records of an undisturbed run. With `commit` the input arrives while it runs, and only the last value of each key
   * is compared.
   */
  readonly emit: 'commit' | 'update'
  readonly program: AppProgram
  readonly lies?: Lies
  /** Wraps the log of the application, to check that the harness notices a bug. */
  readonly between?: (log: EmbeddedLog) => Log
}

/**
 * An application's life with its log and stores on one disk, with the power cut at operations of that disk. What
 * remains is opened, given the rest of the input and run to the end: then the outputs and stores must be those of an
 * undisturbed life. No store may be destroyed on the way: that happens only if it is ahead of its changelog.
 */
export class AppLife {
  readonly #options: AppLifeOptions
  readonly #totals: PowerTotals
  readonly #random: SeededRandom
  readonly #losses: SeededRandom
  readonly #program: AppProgram
  readonly #input: readonly (readonly InputRecord[])[]
  readonly #cuts: Cut[] = []
  #expected: Answers = { outputs: new Map(), stores: new Map() }
  #disk = new MemoryDisk()
  #clock = new ManualClock(startTime)
  #openings = 0
  #run: Run | null = null

  constructor(options: AppLifeOptions, totals: PowerTotals) {
    this.#options = options
    this.#totals = totals
    this.#random = new SeededRandom(options.seed)
    this.#losses = new SeededRandom(options.seed + 1_000_000)
    this.#program = options.program
    this.#input = inputOf(this.#random, this.#random.between(24, 60))
  }

  /** Resolves to false once a check has failed; the totals contain the violation. */
  async run(): Promise<boolean> {
    if (this.#options.emit === 'update') await this.#preload()
    this.#expected = await this.#toTheEnd(this.#disk.clone(), new ManualClock(startTime))
    this.#disk.onOperation = ({ index, kind, path }) => {
      this.#totals.operations++
      if (this.#fine && this.#losses.chance(cutShare)) this.#cut(`operation ${index}, ${kind} ${path}`)
    }
    for (let restart = 0; restart < restarts && this.#fine; restart++) await this.#live()
    this.#disk.onOperation = null
    return this.#fine
  }

  get #fine(): boolean {
    return this.#totals.violations.length === 0
  }

  async #preload(): Promise<void> {
    const run = await this.#start(this.#disk, this.#clock, false)
    await this.#send(run, this.#input.length * 1000)
    await this.#pump(run, run.log.close())
    this.#clock = new ManualClock(this.#clock.now() + 1)
  }

  /** One start: input arrives, time passes, then everything is closed, the process is killed or the power is cut. */
  async #live(): Promise<void> {
    const run = await this.#start(this.#disk, this.#clock, true)
    this.#run = run
    await this.#checkCuts()
    for (let round = this.#random.between(2, 6); round > 0; round--) {
      await this.#send(run, this.#random.between(1, 9))
      await run.clock.run(this.#random.pick([0, 1, 3, 30, 150]))
      if (this.#random.chance(0.5)) await this.#pump(run, run.application.settled())
      await this.#checkCuts()
    }
    const end = this.#random.below(3)
    if (end === 0) {
      await this.#pump(run, run.application.close())
      await this.#pump(run, run.log.close())
    }
    await this.#checkCuts()
    this.#run = null
    const before = this.#disk
    const watch = before.onOperation
    const next = end === 1 ? before.cut(this.#losses) : before.crashProcess()
    before.onOperation = null
    before.crashProcess()
    next.onOperation = watch
    this.#disk = next
    this.#clock = new ManualClock(run.clock.now() + 1)
  }

  #cut(where: string): void {
    const ends = new Map<string, number>()
    // Outputs that others could already read must not be lost.
    const log = this.#run?.log
    if (log !== undefined && this.#options.sync === 'commit') {
      for (const name of [...this.#program.outputs, 'in']) {
        if (log.broker.topic(name) === undefined) continue
        for (let partition = 0; partition < partitions; partition++) {
          const [bounds] = log.broker.bounds([{ topic: name, partition }], 'durable')
          ends.set(`${name}-${partition}`, bounds?.end ?? 0)
        }
      }
    }
    this.#cuts.push({ where, disk: this.#disk.cut(this.#losses), ends, now: this.#clock.now(), depth: 0 })
  }

  async #checkCuts(): Promise<void> {
    for (let cut = this.#cuts.shift(); cut !== undefined; cut = this.#cuts.shift()) {
      if (!this.#fine) return void (this.#cuts.length = 0)
      this.#totals.states++
      if (cut.depth > 0) this.#totals.insideRecovery++
      try {
        await this.#check(cut)
      } catch (error) {
        const { seed, sync, emit } = this.#options
        const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
        this.#totals.violations.push(`application, seed ${seed}, sync ${sync}, emit ${emit}, ${cut.where}: ${what}`)
      }
    }
  }

  async #check(cut: Cut): Promise<void> {
    const { disk } = cut
    const deeper: Cut[] = []
    if (cut.depth < depthMax && this.#losses.chance(nestedShare)) {
      disk.onOperation = ({ index, kind, path }) => {
        if (deeper.length >= nestedMax || !this.#losses.chance(nestedOperations)) return
        const where = `${cut.where}, then operation ${index}, ${kind} ${path}`
        deeper.push({ ...cut, where, disk: disk.cut(this.#losses), depth: cut.depth + 1 })
      }
    }
    const clock = new ManualClock(cut.now + 1)
    const answers = await this.#toTheEnd(disk, clock, cut.ends)
    disk.onOperation = null
    this.#compare(answers)
    if (this.#losses.chance(foldShare)) {
      // Without its stores it must restore the same ones: their content is what their changelogs fold to.
      await removeStores(disk)
      this.#compare(await this.#toTheEnd(disk, new ManualClock(clock.now() + 1)))
    }
    this.#cuts.push(...deeper)
  }

  #compare(answers: Answers): void {
    for (const [name, expected] of this.#expected.outputs) {
      const found = answers.outputs.get(name) ?? []
      if (this.#options.emit === 'update') assert.deepEqual(found, expected, `the records of ${name}`)
      else assert.deepEqual(lastByKey(found), lastByKey(expected), `the last value of each key in ${name}`)
    }
    assert.deepEqual(answers.stores, this.#expected.stores, 'the stores')
  }

  /** Opens the log and the application, sends the rest of the input, and closes them when all is processed. */
  async #toTheEnd(
    disk: MemoryDisk,
    clock: ManualClock,
    ends: ReadonlyMap<string, number> = new Map(),
  ): Promise<Answers> {
    const run = await this.#start(disk, clock, true, ends)
    await this.#send(run, Infinity)
    await this.#pump(run, run.application.settled())
    const contents = await readAll(run.log, outputPlaces(this.#program))
    await this.#pump(run, run.application.close())
    await this.#pump(run, run.log.close())
    assert.equal(run.wiped(), 0, 'a store was ahead of its changelog and had to be made anew')
    return { outputs: contents, stores: await readStores(disk, this.#program) }
  }

  async #start(
    disk: MemoryDisk,
    clock: ManualClock,
    starts: boolean,
    ends: ReadonlyMap<string, number> = new Map(),
  ): Promise<Run> {
    const { lies, sync, seed, between } = this.#options
    const used: Disk = lies === undefined ? disk : new LyingDisk(disk, lies)
    const ids = new SeededRandom(seed * 1000 + this.#openings++)
    const log = await openSmallLog({ disk: used, clock, ids, sync })
    for (const { name, partitions: count } of log.broker.listTopics()) {
      for (let partition = 0; partition < count; partition++) {
        const [bounds] = log.broker.bounds([{ topic: name, partition }], 'durable')
        const least = ends.get(`${name}-${partition}`) ?? 0
        assert(bounds && bounds.end >= least, `${name}-${partition} ends at ${bounds?.end}, promised were ${least}`)
      }
    }
    const engine = new WatchedEngine(new DiskStoreEngine(used))
    const application = new StreamsRuntime(this.#program.topology, {
      applicationId: 'app',
      log: between?.(log) ?? log,
      engines: { lmdb: engine, memory: new MemoryStoreEngine() },
      storeDirectory,
      config: { storeFlushIntervalMs: 20, commitIntervalMs: 10, purgeIntervalMs: 100 },
      clock,
    })
    const run = { log, clock, application, wiped: () => engine.wiped }
    await this.#pump(run, log.ensureTopics([...this.#program.outputs, 'in'].map((name) => ({ name, partitions }))))
    if (starts) await this.#pump(run, application.start())
    return run
  }

  /** Sends the next records of the input that the log does not have yet, at most `count` per partition. */
  async #send(run: Run, count: number): Promise<void> {
    for (const [partition, records] of this.#input.entries()) {
      const at = { topic: 'in', partition }
      const [bounds] = run.log.broker.bounds([at], 'sequenced')
      const from = bounds?.end ?? 0
      const part = records.slice(from, from + count)
      if (part.length === 0) continue
      const builder = new BatchBuilder()
      for (const record of part) builder.append(outgoing(record))
      await this.#pump(run, run.log.broker.append(at, builder.finish()))
    }
  }

  /** Lets time pass until the promise settles. */
  async #pump<T>(run: { readonly clock: ManualClock }, promise: Promise<T>): Promise<T> {
    const state = { settled: false }
    const settle = (): void => void (state.settled = true)
    promise.then(settle, settle)
    for (let turn = 0; !state.settled; turn++) {
      assert(turn < turnsMax, `${turnsMax} ms have passed and it has not settled`)
      await run.clock.run(1)
    }
    return await promise
  }
}

interface Cut {
  readonly where: string
  readonly disk: MemoryDisk
  readonly ends: ReadonlyMap<string, number>
  readonly now: number
  readonly depth: number
}

interface Run {
  readonly log: EmbeddedLog
  readonly clock: ManualClock
  readonly application: StreamsRuntime
  readonly wiped: () => number
}

interface Answers {
  readonly outputs: ReadonlyMap<string, readonly KeptRecord[]>
  /** The rows of each store, as hexadecimal text. */
  readonly stores: ReadonlyMap<string, readonly string[]>
}

interface InputRecord {
  readonly key: string
  readonly value: string
  readonly timestamp: number
}

const startTime = 1_700_000_000_000
const storeDirectory = `${dataDir}/stores/app`
const partitions = 2
const restarts = 3
const cutShare = 0.12
const nestedShare = 0.1
const nestedMax = 3
const nestedOperations = 0.01
const depthMax = 3
const foldShare = 0.1
const turnsMax = 20_000

function inputOf(random: SeededRandom, count: number): readonly (readonly InputRecord[])[] {
  const parts: InputRecord[][] = Array.from({ length: partitions }, () => [])
  for (let index = 0; index < count; index++) {
    const key = `key-${random.below(5)}`
    const bytes = Buffer.from(key)
    parts[partitionOfKey(bytes, 0, bytes.length, partitions)]?.push({
      key,
      value: `word-${random.below(6)}`,
      timestamp: index * 4000 + random.below(4000),
    })
  }
  return parts
}

function outgoing({ key, value, timestamp }: InputRecord): ReturnType<typeof outgoingRecord> {
  const record = outgoingRecord()
  record.key = Buffer.from(key)
  record.keyStart = 0
  record.keyEnd = record.key.length
  record.value = Buffer.from(value)
  record.valueStart = 0
  record.valueEnd = record.value.length
  record.timestamp = timestamp
  return record
}

function outputPlaces({ outputs }: AppProgram): { topic: string; partition: number }[] {
  return outputs.flatMap((name) => Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition })))
}

function lastByKey(records: readonly KeptRecord[]): Map<string, string> {
  const last = new Map<string, string>()
  for (const { key, value, timestamp } of records) {
    // Which sessions were emitted before they grew depends on where commits fell.
    if (value === null) last.delete(key ?? '')
    else last.set(key ?? '', `${value} at ${timestamp}`)
  }
  return new Map([...last].sort(([left], [right]) => (left < right ? -1 : 1)))
}

/** The rows of every store that the application left, by directory. */
async function readStores(disk: MemoryDisk, { topology }: AppProgram): Promise<Map<string, readonly string[]>> {
  const engine = new DiskStoreEngine(disk)
  const found = new Map<string, readonly string[]>()
  for (const task of disk.list(storeDirectory)) {
    for (const name of disk.list(`${storeDirectory}/${task}`)) {
      const spec = topology.stores.find((store) => store.name === name)
      assert(spec !== undefined, `the topology has no store ${name}`)
      const spaces = spacesOf(spec.shape)
      const store = await engine.open({ directory: `${storeDirectory}/${task}/${name}`, spaces })
      const rows: string[] = []
      for (let space = 0; space < spaces; space++) {
        for (const { key, value } of store.range(space, { from: new Uint8Array(0), to: null, reverse: false }))
          rows.push(`${space} ${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}`)
      }
      if (rows.length > 0) found.set(`${task}/${name}`, rows)
      await store.close()
    }
  }
  return found
}

async function removeStores(disk: MemoryDisk): Promise<void> {
  const engine = new DiskStoreEngine(disk)
  for (const task of disk.list(storeDirectory)) {
    for (const name of disk.list(`${storeDirectory}/${task}`)) await engine.destroy(`${storeDirectory}/${task}/${name}`)
  }
}

/** Counts the stores that are destroyed: that happens only if a store is found ahead of its changelog. */
class WatchedEngine implements StoreEngine {
  wiped = 0
  readonly #engine: StoreEngine

  constructor(engine: StoreEngine) {
    this.#engine = engine
  }

  open(options: { readonly directory: string; readonly spaces: number }): Promise<OrderedStore> {
    return this.#engine.open(options)
  }

  destroy(directory: string): Promise<void> {
    this.wiped++
    return this.#engine.destroy(directory)
  }
}
