import { SystemClock, type Clock } from '../base/clock.ts'
import { Lifecycle } from '../base/lifecycle.ts'
import { silentLogger, type Logger } from '../base/logger.ts'
import type { Log } from '../log/api/log.ts'
import { partitionName } from '../log/api/record.ts'
import { streamsConfig, type StreamsConfig } from './config.ts'
import { StreamsError } from './errors.ts'
import { ApplicationRun } from './runtime/application-run.ts'
import { applicationFailure, isCommitLost } from './runtime/failures.ts'
import { RestoreStopped, type RestoreProgress } from './runtime/restore.ts'
import { StoreQuery } from './runtime/store-query.ts'
import type { StoreEngine } from './store/ordered-store.ts'
import type { Overlay } from './store/overlay/overlay.ts'
import { streamsTransitions, type StreamsPhase } from './streams-lifecycle.ts'
import type { Topology } from './topology/topology.ts'

/**
 * Runs a topology on a log: starts it, answers questions about it, goes back to the last commit if one is lost, and
 * closes it. A {@link ApplicationRun} does the work. The caller opens the log and the store engines, and closes them after
 * this.
 */
export class StreamsRuntime {
  readonly #topology: Topology
  readonly #options: StreamsRuntimeOptions
  readonly #config: StreamsConfig
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #lifecycle = new Lifecycle<StreamsPhase>('streams', streamsTransitions, 'created')
  readonly #drops = new Map<string, number>()
  /** Null before the start and while the tasks go back to the last commit. */
  #present: ApplicationRun | null = null
  #starting: Promise<void> | null = null
  #running: Promise<void> | null = null
  #error: unknown = null
  #rebuilding: Promise<void> = Promise.resolve()
  #startedAt = 0
  #processedBefore = 0
  #commitsBefore = 0
  #streamTimeBefore = -1
  #negativeTimesBefore = 0

  constructor(topology: Topology, options: StreamsRuntimeOptions) {
    this.#topology = topology
    this.#options = options
    this.#config = streamsConfig(options.config ?? {})
    this.#clock = options.clock ?? new SystemClock()
    this.#logger = options.logger ?? silentLogger
  }

  get phase(): StreamsPhase {
    return this.#lifecycle.phase
  }

  onPhase(listener: (phase: StreamsPhase, before: StreamsPhase) => void): () => void {
    return this.#lifecycle.onChange(listener)
  }

  /** Restores the stores and begins to process. Resolves when the application is running. */
  async start(): Promise<void> {
    if (!this.#lifecycle.is('created')) {
      throw new StreamsError('INVALID_PHASE', `the application is ${this.phase}; create a new one to start again`)
    }
    this.#lifecycle.to('starting')
    this.#starting = this.#start()
    await this.#starting
  }

  async #start(): Promise<void> {
    this.#startedAt = this.#clock.monotonic()
    try {
      const run = await this.#open()
      if (this.#lifecycle.is('closing')) {
        await run.close()
        this.#lifecycle.to('closed')
        return
      }
      this.#lifecycle.to('running')
      this.#running = this.#run(run)
      // Its failure is reported by `finished` and `close`. As long as neither is called, it must not end the process as
      // an unhandled rejection.
      this.#running.catch(() => undefined)
    } catch (cause) {
      if (cause instanceof RestoreStopped) {
        this.#lifecycle.to('closed')
        return
      }
      const error = applicationFailure(this.#options.applicationId, cause)
      this.#error = error
      this.#lifecycle.to('failed')
      throw error
    }
  }

  /** Resolves when the application has ended; rejects with the error that made it fail. */
  async finished(): Promise<void> {
    await this.#running
    if (this.#lifecycle.is('failed')) throw this.#error
  }

  /**
   * Finishes the commit, flushes the stores and releases everything; interrupts a start that is still in progress.
   * Rejects with the error that made the application fail, if it did.
   */
  async close(): Promise<void> {
    if (this.#lifecycle.is('created')) this.#lifecycle.to('closed')
    if (this.#lifecycle.is('starting', 'running')) this.#lifecycle.to('closing')
    this.#present?.worker.stop()
    await this.#starting?.catch(() => undefined)
    await this.finished()
  }

  /** A read-only view of a store, whose answers are durable. */
  query<K, V>(store: string): StoreQuery<K, V> {
    const kinds = new Map([
      ...this.#topology.globalTables.map(({ name }) => [name, 'keyValue'] as const),
      ...this.#topology.stores.map(({ name, shape }) => [name, shape.kind] as const),
    ])
    const kind = kinds.get(store)
    if (kind === undefined) {
      const names = [...kinds.keys()].join(', ')
      throw new StreamsError(
        'STORE_UNKNOWN',
        `there is no store ${store}; there are: ${names === '' ? 'none' : names}`,
        {
          store,
        },
      )
    }
    return new StoreQuery({ name: store, kind }, (look) => this.#readStore(store, look))
  }

  /**
   * Resolves when everything that is in the input topics now is processed, through every repartition topic, and the
   * results are durable.
   */
  async settled(): Promise<void> {
    for (;;) {
      const run = await this.#presentRun('it processes nothing')
      const { worker, globals } = run
      const places = worker.inputs.map(({ queue }) => queue.at)
      const bounds = await this.#options.log.bounds([...places, ...(globals?.places ?? [])], 'sequenced')
      for (const { at, end } of bounds) globals?.reachesTo({ at, offset: end })
      const ends = new Map(bounds.map((bound) => [partitionName(bound.at), bound.end]))
      for (const { queue } of worker.inputs) queue.reachesTo(ends.get(partitionName(queue.at)) ?? 0)
      const isDry = await new Promise<boolean>((resolve) => worker.whenDry(resolve))
      if (isDry && (await isDurable(run))) return
    }
  }

  metrics(): StreamsMetrics {
    let processed = this.#processedBefore
    let streamTime = this.#streamTimeBefore
    let negativeTimes = this.#negativeTimesBefore
    let lag = 0
    for (const task of this.#present?.tasks ?? []) {
      processed += task.processed
      if (task.streamTime > streamTime) streamTime = task.streamTime
      for (const { queue } of task.inputs) {
        negativeTimes += queue.negativeTimes
        lag += queue.lag
      }
    }
    const drops = Object.fromEntries(this.#drops)
    if (negativeTimes > 0) drops['negative timestamp'] = negativeTimes
    const seconds = (this.#clock.monotonic() - this.#startedAt) / 1000
    return {
      processed,
      recordsPerSecond: seconds > 0 ? processed / seconds : 0,
      lag,
      streamTime,
      commits: this.#commitsBefore + (this.#present?.commits ?? 0),
      dropped: Object.values(drops).reduce((sum, count) => sum + count, 0),
      droppedByReason: drops,
    }
  }

  async #readStore<T>(store: string, look: (overlays: readonly Overlay[]) => T): Promise<T> {
    for (;;) {
      const run = await this.#presentRun(`store ${store} cannot be queried`)
      const answer = await new Promise<{ readonly value: T } | null>((resolve, reject) => {
        run.worker.atRest((isAtRest) => {
          try {
            resolve(isAtRest ? { value: look(run.overlaysOf(store)) } : null)
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
        })
      })
      if (answer !== null && (await isDurable(run))) return answer.value
    }
  }

  /**
   * The run, once tasks that are being rebuilt are ready. Throws the error that made the application fail, if it
   * did.
   */
  async #presentRun(consequence: string): Promise<ApplicationRun> {
    await this.#rebuilding
    if (this.#lifecycle.is('failed')) throw this.#error
    if (this.#present !== null && this.#lifecycle.is('running')) return this.#present
    const remedy = this.#lifecycle.is('starting') ? '; await start() first' : ''
    throw new StreamsError('INVALID_PHASE', `the application is ${this.phase}, so ${consequence}${remedy}`)
  }

  async #run(run: ApplicationRun): Promise<void> {
    let current = run
    let rebuilds = 0
    try {
      for (;;) {
        try {
          await current.run()
          break
        } catch (error) {
          if (!isCommitLost(error) || rebuilds >= rebuildsMax) throw error
          rebuilds += 1
          this.#logger.warn(`COMMIT_ABORTED: a commit was lost, the tasks go back to the last one: ${String(error)}`)
          current = await this.#rebuild(current)
        }
      }
      await current.flushStores()
      await current.close()
      if (this.#lifecycle.is('running')) this.#lifecycle.to('closing')
      this.#lifecycle.to('closed')
      current.worker.end()
    } catch (cause) {
      // Closed while the tasks were being rebuilt from the last commit: everything is released already, and nothing has
      // failed.
      if (cause instanceof RestoreStopped) {
        this.#lifecycle.to('closed')
        current.worker.end()
        return
      }
      const error = applicationFailure(this.#options.applicationId, cause)
      this.#error = error
      this.#logger.error(error instanceof Error ? error.message : String(error))
      // If the tasks could not be rebuilt, there is no run any more.
      if (this.#present !== null) await this.#abandon(current).catch(() => undefined)
      this.#lifecycle.to('failed')
      current.worker.end()
      throw error
    }
  }

  /** Goes back to the last commit: tasks and stores are rebuilt from the log. */
  #rebuild(lost: ApplicationRun): Promise<ApplicationRun> {
    const rebuilt = this.#abandon(lost).then(() => this.#open())
    this.#rebuilding = rebuilt.then(
      () => undefined,
      () => undefined,
    )
    lost.worker.end()
    return rebuilt
  }

  async #open(): Promise<ApplicationRun> {
    const { applicationId, log, engines, storeDirectory } = this.#options
    const run = await ApplicationRun.open({
      applicationId,
      topology: this.#topology,
      log,
      clock: this.#clock,
      logger: this.#logger,
      config: this.#config,
      engines,
      storeDirectory,
      build: this.#options.build ?? null,
      isStopped: () => this.#lifecycle.is('closing'),
      onDropped: (reason) => this.#drops.set(reason, (this.#drops.get(reason) ?? 0) + 1),
      onRestore: (progress) => this.#options.onRestore?.(progress),
    })
    this.#present = run
    // Closed at the very end of opening, when there was no worker to stop yet.
    if (this.#lifecycle.is('closing')) run.worker.stop()
    return run
  }

  async #abandon(run: ApplicationRun): Promise<void> {
    await run.abandon()
    this.#processedBefore += run.processed
    this.#commitsBefore += run.commits
    for (const { streamTime, inputs } of run.tasks) {
      this.#streamTimeBefore = Math.max(this.#streamTimeBefore, streamTime)
      for (const { queue } of inputs) this.#negativeTimesBefore += queue.negativeTimes
    }
    this.#present = null
  }
}

/** Waits for the newest commit. Returns false if it was lost and the tasks go back to the one before it. */
async function isDurable(run: ApplicationRun): Promise<boolean> {
  try {
    await run.durable
    return true
  } catch (error) {
    if (isCommitLost(error)) return false
    throw error
  }
}

export interface StreamsRuntimeOptions {
  /** Name of the application: its consumer group, and the prefix of its internal topics. `application.id`. */
  readonly applicationId: string
  readonly log: Log
  readonly engines: { readonly lmdb: StoreEngine; readonly memory: StoreEngine }
  /** Directory of the stores, with one subdirectory each. `state.dir`. */
  readonly storeDirectory: string
  readonly config?: Partial<StreamsConfig>
  readonly clock?: Clock
  readonly logger?: Logger
  /** Number of the running build, or null if it is not known. */
  readonly build?: number | null
  readonly onRestore?: (progress: RestoreProgress) => void
}

/** What the application has done since it was started. */
export interface StreamsMetrics {
  /** Records that were processed, including those of repartition topics. */
  readonly processed: number
  /** Records that were processed per second since the start, on average. */
  readonly recordsPerSecond: number
  /**
   * Offsets between what was processed and the known ends of the inputs. This is an estimate, because logs have gaps.
   */
  readonly lag: number
  /** Highest timestamp that any task has seen, in ms since the epoch; -1 before the first record. */
  readonly streamTime: number
  /** Commits that were made. */
  readonly commits: number
  /** Records that were dropped instead of processed. */
  readonly dropped: number
  /** How many records were dropped for each reason, such as `late record` or `invalid record`. */
  readonly droppedByReason: { readonly [reason: string]: number }
}

const rebuildsMax = 3
