import { SystemClock, type Clock } from './base/clock.ts'
import { NodeDisk } from './base/disk.ts'
import { onEndingSignal } from './base/ending-signals.ts'
import { Lifecycle } from './base/lifecycle.ts'
import { consoleLogger, silentLogger, type Logger } from './base/logger.ts'
import type { OptionNames } from './base/option-names.ts'
import { shown } from './base/shown.ts'
import type { Log } from './log/api/log.ts'
import { openLog, openLogOptionNames, type OpenLogOptions } from './log/open-log.ts'
import { checkApplicationId } from './streams/application-id.ts'
import { checkOptions } from './streams/checked-options.ts'
import { defaultStreamsConfig, streamsConfig, type StreamsConfig } from './streams/config.ts'
import { StreamsError } from './streams/errors.ts'
import { buildNumber } from './streams/runtime/build-registry.ts'
import type { RestoreProgress } from './streams/runtime/restore.ts'
import type { StoreQuery } from './streams/runtime/store-query.ts'
import { LmdbStoreEngine } from './streams/store/lmdb/lmdb-store.ts'
import { StoreFlusher } from './streams/store/lmdb/store-flusher.ts'
import { MemoryStoreEngine } from './streams/store/memory-store.ts'
import type { StoreEngine } from './streams/store/ordered-store.ts'
import { streamsTransitions, type StreamsPhase } from './streams/streams-lifecycle.ts'
import { StreamsRuntime, type StreamsMetrics } from './streams/streams.ts'
import { topologyFingerprint } from './streams/topology/fingerprint.ts'
import type { Topology } from './streams/topology/topology.ts'
import { checkBuilt } from './streams/topology/validate.ts'

/** Options of `new Streams`. Everything but `applicationId` and `dataDir` has a default. */
export interface StreamsOptions extends Partial<StreamsConfig> {
  /**
   * Name of the application: characters of a-z, A-Z, 0-9, `.`, `_` and `-`. It is also its consumer group and the prefix
   * of its internal topics. Kafka: `application.id`.
   */
  readonly applicationId: string
  /**
   * Directory of the log and the stores, or with `log`, of the stores alone. Created if it does not exist. Kafka:
   * `state.dir`.
   */
  readonly dataDir: string
  /** A log that is already open, to be shared with producers and consumers; it stays open. Default: the log in `dataDir`. */
  readonly log?: Log
  /** Options of the log that is opened in `dataDir`. Not used with `log`. */
  readonly logOptions?: Omit<OpenLogOptions, 'dataDir' | 'clock' | 'logger'>
  /** Opens the stores whose engine is `lmdb`; for tests and simulations. */
  readonly storeEngine?: StoreEngine
  /** Default: the system's time. */
  readonly clock?: Clock
  /**
   * Where diagnostics go. Default: nowhere, except that an application writes to standard error why it has failed if no call
   * is waiting that rejects with it, and its log what `openLog` says.
   */
  readonly logger?: Logger
  /**
   * Number of the running build, which is recorded with every commit; null if it is not known. Default: builds are
   * distinguished by the files that the started module imports, the lockfile, the version of Node and the topology, and are
   * numbered in `dataDir/builds`; not known if the files do not show it.
   */
  readonly build?: number | null
  /** Called for each part of a store that was restored. Kafka: `StateRestoreListener`. */
  readonly onRestore?: (progress: RestoreProgress) => void
}

const streamsOptionNames: OptionNames<StreamsOptions> = {
  ...defaultStreamsConfig,
  applicationId: true,
  dataDir: true,
  log: true,
  logOptions: true,
  storeEngine: true,
  clock: true,
  logger: true,
  build: true,
  onRestore: true,
}

/**
 * Runs a topology: opens the log and the stores, processes, and closes them. Throws CONFIG_INVALID for options that do
 * not fit. Kafka: `KafkaStreams`.
 * @example await new Streams(builder.build(), { applicationId: 'web-activity', dataDir: 'data' }).run()
 */
export class Streams {
  readonly #topology: Topology
  readonly #options: StreamsOptions
  readonly #clock: Clock
  #runtime: StreamsRuntime | null = null
  #opened: (Log & { close(): Promise<void> }) | null = null
  #flusher: StoreFlusher | null = null
  readonly #lifecycle = new Lifecycle<StreamsPhase>('streams', streamsTransitions, 'created')
  #starting: Promise<void> | null = null
  #ending: Promise<void> | null = null
  #isClosing = false
  /** Calls that reject if the application fails. */
  #told = 0

  constructor(topology: Topology, options: StreamsOptions) {
    checkOptions('new Streams', options, streamsOptionNames)
    if (options.logOptions !== undefined)
      checkOptions('logOptions of new Streams', options.logOptions, openLogOptionNames)
    const { applicationId, dataDir } = options
    checkApplicationId(applicationId)
    if (typeof dataDir !== 'string' || dataDir === '') {
      throw new StreamsError(
        'CONFIG_INVALID',
        `dataDir is ${shown(dataDir)}: name the directory of the stores, and of the log where none is given`,
      )
    }
    checkBuilt('new Streams', topology)
    if (options.log !== undefined) checkLog(options.log)
    // Checked here as well, so that a wrong option is reported before anything is opened.
    streamsConfig(options)
    this.#topology = topology
    this.#options = options
    this.#clock = options.clock ?? new SystemClock()
  }

  /** The phase that the application is in. */
  get phase(): StreamsPhase {
    return this.#lifecycle.phase
  }

  /**
   * Calls `listener` whenever the phase changes, and returns a function that removes the listener. Errors that it throws are
   * logged and have no effect. Kafka: `setStateListener`.
   * @example app.onPhase((phase) => console.log(phase))
   */
  onPhase(listener: (phase: StreamsPhase, before: StreamsPhase) => void): () => void {
    return this.#lifecycle.onChange((phase, before) => {
      try {
        listener(phase, before)
      } catch (error) {
        const { logger = silentLogger } = this.#options
        logger.error(`a listener to phases failed at ${phase}: ${String(error)}`)
      }
    })
  }

  /**
   * Opens the log, restores the stores and begins to process. Resolves when the application runs; if it fails later,
   * {@link finished} rejects. Rejects with INVALID_PHASE once it is closed: an application runs once; create a new one to
   * continue.
   */
  start(): Promise<void> {
    if (this.#lifecycle.is('closed')) return this.#start()
    this.#starting ??= this.#start()
    return this.#starting
  }

  /**
   * Starts and processes until SIGINT or SIGTERM, or until {@link close}; then finishes the commit and releases everything.
   * Another signal, a second or more later, ends the process at once, without waiting for that; like SIGKILL it loses nothing
   * that was committed. Rejects with the error that made the application fail.
   */
  async run(): Promise<void> {
    const stop = (): void => void this.close().catch(() => undefined)
    const noMore = onEndingSignal(stop, this.#clock, process)
    try {
      await this.start()
      await this.finished()
    } finally {
      try {
        await this.#end()
      } finally {
        noMore()
      }
    }
  }

  /**
   * Resolves when the application has ended, at once if it was never started; rejects with the error that made it fail.
   */
  async finished(): Promise<void> {
    this.#told += 1
    await this.#starting
    await this.#runtime?.finished()
  }

  /**
   * Finishes the commit, flushes the stores and closes what it has opened. Rejects with the error that made the
   * application fail.
   */
  async close(): Promise<void> {
    this.#isClosing = true
    // A start that is under way ends where it is: stores may have minutes to be restored.
    this.#runtime?.close().catch(() => undefined)
    await this.#starting?.catch(() => undefined)
    try {
      await this.#runtime?.close()
    } finally {
      await this.#end()
      if (this.#lifecycle.is('created')) this.#lifecycle.to('closed')
    }
  }

  /**
   * Resolves when everything that is in the input topics now has been processed through every repartition topic, and the
   * results are durable. Rejects with INVALID_PHASE unless the application is running, or with the error that made it fail.
   */
  async settled(): Promise<void> {
    this.#told += 1
    try {
      await this.#running().settled()
    } finally {
      this.#told -= 1
    }
  }

  /** Counts and times of what the application has done since it started. Throws INVALID_PHASE before the start. */
  metrics(): StreamsMetrics {
    return this.#running().metrics()
  }

  /**
   * A read-only view of a store, in which every answer is the state of one durable commit. Throws INVALID_PHASE before the
   * start, STORE_UNKNOWN; answers reject with INVALID_PHASE unless the application is running. Kafka: `KafkaStreams.store`.
   * @example const count = await app.query<string, number>('views-by-path').get('/')
   */
  query<K, V>(store: string): StoreQuery<K, V> {
    return this.#running().query<K, V>(store)
  }

  /** Null in tests and simulations, because the files of the machine say nothing about what runs there. */
  #buildNumber(): number | null {
    const { applicationId, dataDir, logger = silentLogger, logOptions, storeEngine } = this.#options
    if (logOptions?.disk !== undefined || storeEngine !== undefined) return null
    return buildNumber({
      disk: new NodeDisk(),
      directory: `${dataDir}/builds`,
      applicationId,
      entry: process.argv[1],
      topology: topologyFingerprint(this.#topology),
      node: process.version,
      logger,
    })
  }

  #running(): StreamsRuntime {
    if (this.#runtime !== null) return this.#runtime
    throw new StreamsError('INVALID_PHASE', 'the application was not started; call start() or run() first')
  }

  async #start(): Promise<void> {
    if (!this.#lifecycle.is('created')) {
      throw new StreamsError('INVALID_PHASE', `the application is ${this.phase}; create a new one to start again`)
    }
    this.#lifecycle.to('starting')
    const { applicationId, dataDir, log, logOptions, storeEngine } = this.#options
    const diagnostics = this.#options.logger === undefined ? {} : { logger: this.#options.logger }
    try {
      this.#opened =
        log === undefined ? await openLog({ ...logOptions, dataDir, clock: this.#clock, ...diagnostics }) : null
      const used = log ?? this.#opened
      if (used === null) return
      this.#flusher = storeEngine === undefined ? new StoreFlusher() : null
      this.#runtime = new StreamsRuntime(this.#topology, {
        applicationId,
        log: used,
        engines: { lmdb: storeEngine ?? new LmdbStoreEngine(this.#flusher), memory: new MemoryStoreEngine() },
        storeDirectory: `${dataDir}/stores/${applicationId}`,
        config: this.#options,
        clock: this.#clock,
        ...diagnostics,
        build: this.#options.build === undefined ? this.#buildNumber() : this.#options.build,
        ...(this.#options.onRestore === undefined ? {} : { onRestore: this.#options.onRestore }),
      })
      this.#runtime.onPhase((phase, before) => {
        this.#follow(phase)
        if (phase === 'failed' && before === 'running') this.#tellFailure()
      })
      const starting = this.#runtime.start()
      // Asked while the log was opened.
      if (this.#isClosing) this.#runtime.close().catch(() => undefined)
      await starting
    } catch (error) {
      // The runtime says itself when it fails.
      if (this.#runtime === null) this.#lifecycle.to('failed')
      await this.#end()
      throw error
    }
  }

  /** Opening the log is part of the start: the runtime begins to start later than its application. */
  #follow(phase: StreamsPhase): void {
    if (!this.#lifecycle.is(phase)) this.#lifecycle.to(phase)
  }

  /** Without a logger, and without a call that rejects with the error, nobody would learn that nothing is processed any more. */
  #tellFailure(): void {
    if (this.#options.logger !== undefined || this.#told > 0 || this.#isClosing) return
    this.#runtime?.finished().catch((error: unknown) => {
      const { applicationId } = this.#options
      consoleLogger.error(`application ${applicationId} has failed, and nobody waits for finished(): ${String(error)}`)
    })
  }

  /** Closes the flush thread and the log that was opened here, once. */
  #end(): Promise<void> {
    this.#ending ??= this.#closeOpened()
    return this.#ending
  }

  async #closeOpened(): Promise<void> {
    await this.#flusher?.close()
    await this.#opened?.close()
  }
}

/** Throws CONFIG_INVALID unless `log` is open: what `openLog` returns is a Promise, which has to be awaited. */
function checkLog(log: object): void {
  if (typeof log === 'object' && log !== null && 'openReader' in log) return
  const [is, remedy] =
    log instanceof Promise
      ? ['a Promise', 'give what it resolves to: await openLog({ dataDir })']
      : [shown(log), 'give what openLog({ dataDir }) resolves to, or the dataDir alone']
  throw new StreamsError('CONFIG_INVALID', `log is ${is}; ${remedy}`)
}
