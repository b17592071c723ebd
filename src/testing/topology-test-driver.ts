import type { Logger } from '../base/logger.ts'
import type { OptionNames } from '../base/option-names.ts'
import { SeededRandom } from '../base/seeded-random.ts'
import { shown } from '../base/shown.ts'
import type { Topic } from '../codec/topic.ts'
import type { TopicSpec } from '../log/api/topic.ts'
import type { Producer } from '../log/client/producer/producer.ts'
import type { BytesIn } from '../log/client/record-format.ts'
import type { EmbeddedLog } from '../log/embedded-log.ts'
import { openLog } from '../log/open-log.ts'
import { checkApplicationId } from '../streams/application-id.ts'
import { checkOptions } from '../streams/checked-options.ts'
import { defaultStreamsConfig, type StreamsConfig } from '../streams/config.ts'
import { StreamsError } from '../streams/errors.ts'
import type { StoreQuery } from '../streams/runtime/store-query.ts'
import { MemoryStoreEngine } from '../streams/store/memory-store.ts'
import { StreamsRuntime, type StreamsMetrics } from '../streams/streams.ts'
import { internalTopicName } from '../streams/topology/internal-topics.ts'
import type { Topology } from '../streams/topology/topology.ts'
import { checkBuilt } from '../streams/topology/validate.ts'
import { checkedTopology } from './checked-topology.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryDisk } from './memory-disk.ts'
import { bytesOutputFormat, TestInput, TestOutput, typedFormat, withoutStamps } from './test-topics.ts'

/**
 * Runs a topology for a test, which puts records in and reads records out. A run takes milliseconds and is
 * deterministic.
 *
 * It uses the real worker on the real log. Only the disk is in memory, the clock moves only when told to, and there are
 * no threads. So a record in a test passes through codecs, repartition topics, stores, changelogs and commits.
 *
 * - A piped record is processed through every sub-topology and committed before `pipe` resolves, so `emit: 'commit'`
 *   produces a result after each record.
 * - Every topic has one partition unless `partitions` says otherwise.
 * - Values are frozen, what sinks write is checked against the schema of the topic, and every written value must be
 *   unchanged when its codec reads it again: see `checkedTopology`.
 *
 * @example
 * const driver = await TopologyTestDriver.open(topology)
 * await driver.input(pageViews).pipe({ key: 'ada', value: { path: '/', status: 200, at: 0 }, timestamp: 0 })
 * expect(await driver.output(viewsPerMinute).readAll()).toMatchObject([{ value: 1 }])
 * await driver.close()
 */
export class TopologyTestDriver {
  readonly #clock: ManualClock
  readonly #log: EmbeddedLog
  readonly #makeRuntime: () => StreamsRuntime
  readonly #repartitionTopics: ReadonlySet<string>
  readonly #producer: Producer
  readonly #outputs = new Map<string | object, TestOutput<unknown, unknown>>()

  #runtime: StreamsRuntime
  /** Counts of the runtimes before the last restart. */
  #before = { processed: 0, commits: 0, droppedByReason: new Map<string, number>() }

  private constructor(parts: {
    readonly clock: ManualClock
    readonly log: EmbeddedLog
    readonly makeRuntime: () => StreamsRuntime
    readonly repartitionTopics: ReadonlySet<string>
  }) {
    this.#clock = parts.clock
    this.#log = parts.log
    this.#makeRuntime = parts.makeRuntime
    this.#repartitionTopics = parts.repartitionTopics
    this.#runtime = parts.makeRuntime()
    this.#producer = parts.log.producer()
  }

  /** Creates the topics and starts the application. */
  static async open(topology: Topology, options: TestDriverOptions = {}): Promise<TopologyTestDriver> {
    checkBuilt('TopologyTestDriver.open', topology)
    checkOptions('TopologyTestDriver.open', options, testDriverOptionNames)
    checkOptions('config of TopologyTestDriver.open', options.config ?? {}, defaultStreamsConfig)
    const { applicationId = 'test', wallClockStart = 0, partitions = 1, logger } = options
    checkApplicationId(applicationId)
    checkMs('wallClockStart of TopologyTestDriver.open', wallClockStart)
    const clock = new ManualClock(wallClockStart)
    const disk = new MemoryDisk()
    const random = new SeededRandom(1)
    const log = await openLog({
      dataDir: '/log',
      disk,
      clock,
      randomBytes: (count) => Uint8Array.from({ length: count }, () => random.below(256)),
      journalFileBytesMin: 16 * 1024,
      // Time does not move while records are processed, so nothing may wait for it.
      commitMinIntervalMs: 0,
      // A test that advances the clock by a year should not run housekeeping.
      checkpointIntervalMs: never,
      retentionCheckIntervalMs: never,
      compactionIntervalMs: never,
    })
    const planned = atAnyTime(partitions === 'declared' ? topology : withPartitions(topology, partitions))
    const checked = checkedTopology(planned)
    const makeRuntime = (): StreamsRuntime =>
      new StreamsRuntime(checked, {
        applicationId,
        log,
        engines: { lmdb: new MemoryStoreEngine(), memory: new MemoryStoreEngine() },
        storeDirectory: '/stores',
        config: { purgeIntervalMs: Number.POSITIVE_INFINITY, ...options.config },
        clock,
        ...(logger === undefined ? {} : { logger }),
      })
    const repartitions = topology.internalTopics.filter(({ role }) => role === 'repartition')
    const repartitionTopics = new Set(repartitions.map((one) => internalTopicName(applicationId, one.name)))
    try {
      const driver = new TopologyTestDriver({ clock, log, makeRuntime, repartitionTopics })
      await log.ensureTopics(readTopics(planned))
      await driver.#runtime.start()
      return driver
    } catch (error) {
      await log.close()
      throw error
    }
  }

  /**
   * A topic to put records into: a declared topic with its types, or a name with bytes, for example for records that do
   * not fit. Throws CONFIG_INVALID for what is neither.
   */
  input<KIn, VIn>(topic: Topic<unknown, unknown, KIn, VIn>): TestInput<KIn, VIn>
  input(topic: string): TestInput<BytesIn, BytesIn>
  input<KIn, VIn>(
    topic: Topic<unknown, unknown, KIn, VIn> | string,
  ): TestInput<KIn, VIn> | TestInput<BytesIn, BytesIn> {
    topicName('TopologyTestDriver.input', topic)
    if (typeof topic === 'string') {
      return new TestInput<BytesIn, BytesIn>((record) => this.#piped(() => this.#producer.send({ ...record, topic })))
    }
    return new TestInput<KIn, VIn>((record) => this.#piped(() => this.#producer.send({ ...record, topic })))
  }

  /**
   * The records written to a topic: a declared topic with its types, or a name for bytes. Calls with the same argument
   * return the same output, which continues where it was. Throws TOPIC_MISSING.
   */
  output<K, V>(topic: Topic<K, V, never, never>): TestOutput<K, V>
  output(topic: string): TestOutput<Buffer | null, Buffer | null>
  output(topic: Topic<unknown, unknown, never, never> | string): TestOutput<unknown, unknown> {
    const known = this.#outputs.get(topic)
    if (known !== undefined) return known
    const name = topicName('TopologyTestDriver.output', topic)
    const found = this.#log.broker.topic(name)
    if (found === undefined) {
      const names = this.#log.broker.listTopics().map((one) => one.name)
      throw new StreamsError('TOPIC_MISSING', `there is no topic ${name}; there are: ${names.join(', ')}`, {
        topic: name,
      })
    }
    const format = typeof topic === 'string' ? bytesOutputFormat(topic) : typedFormat(topic)
    const visible = this.#repartitionTopics.has(name) ? withoutStamps(format) : format
    const output = new TestOutput<unknown, unknown>(this.#log, visible, found.partitions)
    this.#outputs.set(topic, output)
    return output
  }

  /**
   * Advances wall-clock time in one step: a schedule that is due several times on the way fires once, at the end. Throws
   * CONFIG_INVALID unless it is a whole number of milliseconds from 0 on. Kafka: `advanceWallClockTime`.
   * @example await driver.advanceWallClock(60_000)
   */
  async advanceWallClock(durationMs: number): Promise<void> {
    checkMs('advanceWallClock', durationMs)
    this.#clock.advance(durationMs)
    await this.#settle()
  }

  /** Wall-clock time, in milliseconds since the epoch. */
  get now(): number {
    return this.#clock.now()
  }

  /** A read-only view of a store, as the application itself provides it. Throws STORE_UNKNOWN. */
  store<K, V>(name: string): StoreQuery<K, V> {
    return this.#runtime.query<K, V>(name)
  }

  /**
   * What the application has done so far, including before restarts: records processed, records dropped by reason, and
   * commits.
   */
  metrics(): StreamsMetrics {
    const metrics = this.#runtime.metrics()
    const { processed, commits, droppedByReason } = this.#before
    const reasons = new Map(droppedByReason)
    for (const [reason, count] of Object.entries(metrics.droppedByReason)) {
      reasons.set(reason, (reasons.get(reason) ?? 0) + count)
    }
    return {
      ...metrics,
      processed: processed + metrics.processed,
      commits: commits + metrics.commits,
      dropped: [...reasons.values()].reduce((sum, count) => sum + count, 0),
      droppedByReason: Object.fromEntries(reasons),
    }
  }

  /**
   * Ends the application and starts it again on the same log with empty stores, so that its whole state comes from its
   * commits and changelogs. This must not change results, except for wall-clock schedules, which start over.
   */
  async restart(): Promise<void> {
    this.#checkRunning()
    await this.#runtime.close()
    const { processed, commits, droppedByReason } = this.metrics()
    this.#before = { processed, commits, droppedByReason: new Map(Object.entries(droppedByReason)) }
    this.#runtime = this.#makeRuntime()
    await this.#runtime.start()
  }

  /**
   * Ends the application and releases everything. An error that made it fail was reported by `pipe` and is not thrown
   * again.
   */
  async close(): Promise<void> {
    try {
      if (this.#runtime.phase === 'failed') return
      await this.#runtime.close()
    } finally {
      await this.#producer.close()
      await this.#log.close()
    }
  }

  async #piped(send: () => Promise<unknown>): Promise<void> {
    this.#checkRunning()
    await send()
    await this.#settle()
  }

  /** Throws if the application has failed or was closed. */
  #checkRunning(): void {
    if (this.#runtime.phase === 'running') return
    throw new StreamsError(
      'INVALID_PHASE',
      `the application is ${this.#runtime.phase} and takes no more records; open a new driver`,
    )
  }

  /** Lets promises run until everything is processed, without moving time. */
  async #settle(): Promise<void> {
    const settled = this.#runtime.settled()
    const progress = { isDone: false }
    const finish = (): void => void (progress.isDone = true)
    settled.then(finish, finish)
    for (let turn = 0; !progress.isDone; turn++) {
      if (turn === settleTurnsMax) {
        throw new StreamsError(
          'INVALID_PHASE',
          'the application does not come to rest: does it keep writing to a topic that it reads?',
        )
      }
      await this.#clock.nextTurn()
    }
    await settled
  }
}

/** Options of {@link TopologyTestDriver.open}. */
export interface TestDriverOptions {
  /** Prefix of the names of internal topics. Default `test`. */
  readonly applicationId?: string
  /** Wall-clock time at the start, in ms since the epoch. Default 0. */
  readonly wallClockStart?: number
  /** Number of partitions of every topic, or `declared` for the numbers in the declarations. Default 1. */
  readonly partitions?: number | 'declared'
  /** Options of the application, such as `onProcessingError`. */
  readonly config?: Partial<StreamsConfig>
  /** Default: silent. */
  readonly logger?: Logger
}

const testDriverOptionNames: OptionNames<TestDriverOptions> = {
  applicationId: true,
  wallClockStart: true,
  partitions: true,
  config: true,
  logger: true,
}

function checkMs(what: string, ms: number): void {
  if (Number.isSafeInteger(ms) && ms >= 0) return
  throw new StreamsError('CONFIG_INVALID', `${what}: ${shown(ms)} is not a whole number of milliseconds from 0 on`, {
    ms,
  })
}

/** The name of the topic. A caller without a compiler may have misspelled the variable that holds it. */
function topicName(call: string, topic: unknown): string {
  if (typeof topic === 'string') return topic
  if (typeof topic === 'object' && topic !== null && 'name' in topic && typeof topic.name === 'string')
    return topic.name
  throw new StreamsError('CONFIG_INVALID', `${call}: ${shown(topic)} is neither a topic nor the name of one`, { topic })
}

function withPartitions(topology: Topology, partitions: number): Topology {
  return {
    ...topology,
    declaredTopics: [...topology.declaredTopics, ...topology.undeclaredTopics].map((spec) => ({ ...spec, partitions })),
    undeclaredTopics: [],
    internalTopics: topology.internalTopics.map((topic) => ({ ...topic, partitions })),
  }
}

/** The wall clock of a test begins at 0, so records may have any timestamp before or after it. */
function atAnyTime(topology: Topology): Topology {
  const open = <Spec extends Pick<TopicSpec, 'config'>>(spec: Spec): Spec => ({
    ...spec,
    config: { timestampAfterMaxMs: Number.MAX_SAFE_INTEGER, ...spec.config },
  })
  return {
    ...topology,
    declaredTopics: topology.declaredTopics.map(open),
    undeclaredTopics: topology.undeclaredTopics.map(open),
  }
}

/** Topics that are read and have no declared number of partitions. They must exist before the application starts. */
function readTopics(topology: Topology): TopicSpec[] {
  const read = new Set([
    ...topology.subTopologies.flatMap((part) => part.sources.flatMap((source) => source.topics)),
    ...topology.globalTables.map((table) => table.topic),
  ])
  return topology.undeclaredTopics.filter(({ name }) => read.has(name)).map((spec) => ({ ...spec, partitions: 1 }))
}

const never = 2 ** 31 - 1
/** Maximum number of turns until a record is settled. A repartition topic takes two, including its commit. */
const settleTurnsMax = 500
