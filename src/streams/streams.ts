import { SystemClock, type Clock } from '../base/clock.ts'
import { Lifecycle } from '../base/lifecycle.ts'
import { silentLogger, type Logger } from '../base/logger.ts'
import type { Committer, Log, Membership } from '../log/api/log.ts'
import { partitionName } from '../log/api/record.ts'
import { streamsConfig, type StreamsConfig } from './config.ts'
import { StreamsError } from './errors.ts'
import { planApplication, type ApplicationPlan } from './runtime/application-plan.ts'
import { CommitMaker } from './runtime/committer.ts'
import { applicationFailure, isCommitLost, isOfTheRecord } from './runtime/failures.ts'
import { Fetcher } from './runtime/fetcher.ts'
import { GlobalTables } from './runtime/global-tables.ts'
import { InvalidRecords } from './runtime/invalid-record.ts'
import { RecordedState } from './runtime/recorded-state.ts'
import { RestoreStopped, type RestoreProgress } from './runtime/restore.ts'
import { StoreFlushes } from './runtime/store-flushes.ts'
import { StoreQuery } from './runtime/store-query.ts'
import { buildTask, type TaskSetting } from './runtime/task-builder.ts'
import { Worker } from './runtime/worker.ts'
import { workerInputs, type WorkerInput } from './runtime/worker-inputs.ts'
import { streamsTransitions, type StreamsPhase } from './streams-lifecycle.ts'
import type { StoreEngine } from './store/ordered-store.ts'
import type { Overlay } from './store/overlay.ts'
import type { Task } from './task/task.ts'
import type { Topology } from './topology/topology.ts'

/** Runs a topology on a log. The caller opens the log and the store engines, and closes them after this. */
export class StreamsRuntime {
  readonly #topology: Topology
  readonly #options: StreamsRuntimeOptions
  readonly #config: StreamsConfig
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #lifecycle = new Lifecycle<StreamsPhase>('streams', streamsTransitions, 'created')
  readonly #drops = new Map<string, number>()
  #tasks: Task[] = []
  #globals: GlobalTables | null = null
  #worker: Worker | null = null
  #commits: CommitMaker | null = null
  #starting: Promise<void> | null = null
  #running: Promise<void> | null = null
  #error: unknown = null
  #rebuilding: Promise<void> = Promise.resolve()
  #startedAt = 0
  #processedBefore = 0
  #commitsBefore = 0

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
      const session = await this.#open()
      if (this.#lifecycle.is('closing')) {
        await this.#closeSession(session)
        this.#lifecycle.to('closed')
        return
      }
      this.#lifecycle.to('running')
      this.#running = this.#run(session)
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
    this.#worker?.stop()
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
      const worker = await this.#currentWorker('will not process anything more')
      const globals = this.#globals
      const places = worker.inputs.map(({ queue }) => queue.at)
      const bounds = await this.#options.log.bounds([...places, ...(globals?.places ?? [])], 'sequenced')
      for (const { at, end } of bounds) globals?.reachesTo({ at, offset: end })
      const ends = new Map(bounds.map((bound) => [partitionName(bound.at), bound.end]))
      for (const { queue } of worker.inputs) queue.reachesTo(ends.get(partitionName(queue.at)) ?? 0)
      const isDry = await new Promise<boolean>((resolve) => worker.whenDry(resolve))
      if (isDry && (await this.#isDurable())) return
    }
  }

  metrics(): StreamsMetrics {
    let processed = this.#processedBefore
    let streamTime = -1
    let negativeTimes = 0
    let lag = 0
    for (const task of this.#tasks) {
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
      commits: this.#commitsBefore + (this.#commits?.commits ?? 0),
      dropped: Object.values(drops).reduce((sum, count) => sum + count, 0),
      droppedByReason: drops,
    }
  }

  async #readStore<T>(store: string, look: (overlays: readonly Overlay[]) => T): Promise<T> {
    for (;;) {
      const worker = await this.#currentWorker(`so store ${store} cannot be queried`)
      const answer = await new Promise<{ readonly value: T } | null>((resolve, reject) => {
        worker.atRest((isAtRest) => {
          try {
            resolve(isAtRest ? { value: look(this.#overlaysOf(store)) } : null)
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
        })
      })
      if (answer !== null && (await this.#isDurable())) return answer.value
    }
  }

  #overlaysOf(store: string): Overlay[] {
    const global = this.#globals?.overlay(store) ?? null
    if (global !== null) return [global]
    return this.#tasks.flatMap((task) =>
      task.stores.flatMap(({ overlay }) => (overlay.spec.name === store ? [overlay] : [])),
    )
  }

  /** Waits for the newest commit. Returns false if it was lost and the tasks go back to the one before it. */
  async #isDurable(): Promise<boolean> {
    try {
      await this.#commits?.durable
      return true
    } catch (error) {
      if (isCommitLost(error)) return false
      throw error
    }
  }

  /**
   * The worker, once tasks that are being rebuilt are ready. Throws the error that made the application fail, if it
   * did.
   */
  async #currentWorker(otherwise: string): Promise<Worker> {
    await this.#rebuilding
    if (this.#lifecycle.is('failed')) throw this.#error
    if (this.#worker !== null && this.#lifecycle.is('running')) return this.#worker
    throw new StreamsError('INVALID_PHASE', `the application is ${this.phase}, ${otherwise}`)
  }

  async #run(session: Session): Promise<void> {
    let current = session
    let rebuilds = 0
    try {
      for (;;) {
        try {
          await current.worker.run(current.fetcher)
          break
        } catch (error) {
          if (!isCommitLost(error) || rebuilds >= rebuildsMax) throw error
          rebuilds += 1
          this.#logger.warn(`COMMIT_ABORTED: a commit was lost, the tasks go back to the last one: ${String(error)}`)
          current = await this.#rebuild(current)
        }
      }
      await current.flushes.finish(this.#tasks, current.commits.durable)
      await this.#closeSession(current)
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
      await this.#abandon(current).catch(() => undefined)
      this.#lifecycle.to('failed')
      current.worker.end()
      throw error
    }
  }

  /** Goes back to the last commit: tasks and stores are rebuilt from the log. */
  #rebuild(lost: Session): Promise<Session> {
    const rebuilt = this.#abandon(lost).then(() => this.#open())
    this.#rebuilding = rebuilt.then(
      () => undefined,
      () => undefined,
    )
    lost.worker.end()
    return rebuilt
  }

  async #open(): Promise<Session> {
    const { log, applicationId } = this.#options
    const plan = await planApplication(applicationId, this.#topology, log)
    const topics = [...new Set(plan.tasks.flatMap((task) => task.inputs.map(({ at }) => at.topic)))]
    const membership = await log.joinGroup({ group: applicationId, topics })
    const opened: Partial<Session> & { membership: Membership } = { membership }
    try {
      const committer = await log.openCommitter({ id: applicationId })
      opened.committer = committer
      const globals = await GlobalTables.open(this.#topology.globalTables, {
        log,
        clock: this.#clock,
        engine: this.#options.engines.memory,
        partitions: plan.partitions,
        cacheBytes: this.#config.storeCacheBytes / Math.max(1, this.#topology.globalTables.length),
        isStopped: () => this.#lifecycle.is('closing'),
        onDropped: (_table, reason) => this.#countDrop(reason),
      })
      this.#globals = globals
      const tasks = await this.#buildTasks(plan, globals)
      let worker: Worker | null = null
      const commits = new CommitMaker(
        log,
        committer,
        membership,
        { build: this.#options.build ?? null, configuration: configurationOf(this.#config) },
        (error) => worker?.fail(error),
      )
      const flushes = new StoreFlushes(this.#clock, log, {
        intervalMs: this.#config.storeFlushIntervalMs,
        bytesMax: this.#config.storeFlushBytesMax,
      })
      const inputs = workerInputs(plan, tasks)
      worker = new Worker({ log, clock: this.#clock, config: this.#config, tasks, inputs, commits, flushes, globals })
      const reader = await log.openReader({ isolation: 'sequenced' })
      const bounds = await log.bounds(
        worker.inputs.map(({ queue }) => queue.at),
        'sequenced',
      )
      const ends = new Map(bounds.map((bound) => [partitionName(bound.at), bound.end]))
      for (const { queue } of worker.inputs) queue.reachesTo(ends.get(partitionName(queue.at)) ?? 0)
      const made = worker
      globals?.follow(
        () => made.wake(),
        (error) => made.fail(error),
      )
      const fetcher = new Fetcher(reader, worker.inputs, this.#config, () => made.wake())
      this.#worker = worker
      this.#commits = commits
      return { membership, committer, worker, commits, flushes, fetcher }
    } catch (error) {
      await Promise.allSettled([...this.#tasks.map((task) => task.close()), this.#closeGlobals()])
      await opened.committer?.close()
      await membership.leave()
      throw error
    }
  }

  async #buildTasks(plan: ApplicationPlan, globals: GlobalTables | null): Promise<Task[]> {
    const { log, applicationId } = this.#options
    const at = plan.tasks.flatMap((task) => task.inputs.map((input) => input.at))
    const positions = new Map<string, number>()
    for (const { at: place, start } of await log.bounds(at, 'committed')) positions.set(partitionName(place), start)
    for (const { at: place, offset } of await log.committedOffsets(applicationId, at)) {
      const name = partitionName(place)
      const start = positions.get(name) ?? 0
      if (offset >= start) positions.set(name, offset)
      else {
        this.#logger.warn(
          `${name}: ${applicationId} was to continue at offset ${offset}, but the log starts at ${start}: ` +
            'the records in between were removed before they were read, and it continues at the log start',
        )
      }
    }
    const recorded = new RecordedState(await log.lastSections(applicationId), plan.tasks)
    const stores = plan.tasks.reduce((sum, task) => sum + task.subTopology.stores.length, 0)
    const invalid = new InvalidRecords(plan.partitions)
    const setting: TaskSetting = {
      log,
      plan,
      engines: this.#options.engines,
      storeDirectory: this.#options.storeDirectory,
      orders: new Map(),
      globals,
      cacheBytes: this.#config.storeCacheBytes / Math.max(1, stores),
      now: this.#clock.now(),
      isStopped: () => this.#lifecycle.is('closing'),
      onRestore: (progress) => this.#options.onRestore?.(progress),
      onStoreAhead: (error) => this.#logger.warn(error.message),
      onProcessingError:
        this.#config.onProcessingError === 'fail' ? null : (error, node) => this.#continueAfter(error, node),
      onInvalid: (task, source, error) => invalid.handle(task, source, error),
      onDropped: (_node, reason) => this.#countDrop(reason),
    }
    this.#tasks = []
    for (const task of plan.tasks) {
      if (this.#lifecycle.is('closing')) throw new RestoreStopped(`task ${task.id} is to be made`)
      this.#tasks.push(await buildTask(setting, task, { memory: recorded.of(task), positions }))
    }
    return this.#tasks
  }

  #continueAfter(error: unknown, node: string): void {
    if (!isOfTheRecord(error)) throw error
    this.#countDrop('processing error')
    this.#logger.warn(
      `${node} failed and continues without the current record: ${error instanceof Error ? error.message : String(error)}`,
    )
  }

  #countDrop(reason: string): void {
    this.#drops.set(reason, (this.#drops.get(reason) ?? 0) + 1)
  }

  /** Releases a session whose work is committed and flushed. */
  async #closeSession({ fetcher, committer, membership }: Session): Promise<void> {
    await fetcher.close()
    for (const task of this.#tasks) await task.close()
    await this.#closeGlobals()
    await committer.close()
    await membership.leave()
  }

  async #closeGlobals(): Promise<void> {
    const globals = this.#globals
    this.#globals = null
    await globals?.close()
  }

  /** Releases a session that failed; its uncommitted work is discarded. */
  async #abandon(session: Session): Promise<void> {
    session.commits.discard()
    await session.commits.settle()
    await session.flushes.settle()
    this.#processedBefore += this.#tasks.reduce((sum, task) => sum + task.processed, 0)
    this.#commitsBefore += session.commits.commits
    await Promise.allSettled([
      session.fetcher.close(),
      ...this.#tasks.map((task) => task.close()),
      this.#closeGlobals(),
    ])
    this.#tasks = []
    this.#commits = null
    await Promise.allSettled([session.committer.close(), session.membership.leave()])
  }
}

interface Session {
  readonly membership: Membership
  committer: Committer
  readonly worker: Worker
  readonly commits: CommitMaker
  readonly flushes: StoreFlushes
  readonly fetcher: Fetcher<WorkerInput>
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

/** Options that can change results. */
function configurationOf(config: StreamsConfig): string {
  return `onProcessingError=${config.onProcessingError}`
}

const rebuildsMax = 3
