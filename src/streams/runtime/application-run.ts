import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/logger.ts'
import type { Committer, Log, Membership, Reader } from '../../log/api/log.ts'
import { partitionName } from '../../log/api/record.ts'
import type { StreamsConfig } from '../config.ts'
import type { StoreEngine } from '../store/ordered-store.ts'
import type { Overlay } from '../store/overlay/overlay.ts'
import type { Task } from '../task/task.ts'
import type { Topology } from '../topology/topology.ts'
import { planApplication, type ApplicationPlan } from './application-plan.ts'
import { CommitMaker } from './committer.ts'
import { isOfTheRecord } from './failures.ts'
import { Fetcher } from './fetcher.ts'
import { GlobalTables } from './global-tables.ts'
import { InvalidRecords } from './invalid-record.ts'
import { RecordedState } from './recorded-state.ts'
import { RestoreStopped, type RestoreProgress } from './restore.ts'
import { StoreFlushes } from './store-flushes.ts'
import { buildTask, type TaskSetting } from './task-builder.ts'
import { workerInputs, type WorkerInput } from './worker-inputs.ts'
import { Worker } from './worker.ts'

/**
 * Everything that runs an application from its last commit on: its membership, its committer, its tasks with their
 * stores, its worker. A run ends when the application is closed or fails, or when a commit is lost; the tasks then
 * go back to the last commit in another run.
 *
 * - A run is opened as a whole or not at all: if a part fails, the parts before it are released.
 * - It is ended by `close` if everything is committed and flushed, otherwise by `abandon`.
 */
export class ApplicationRun {
  readonly worker: Worker
  readonly tasks: readonly Task[]
  readonly globals: GlobalTables | null
  readonly #commits: CommitMaker
  readonly #flushes: StoreFlushes
  readonly #fetcher: Fetcher<WorkerInput>
  readonly #committer: Committer
  readonly #membership: Membership

  private constructor(parts: RunParts) {
    this.worker = parts.worker
    this.tasks = parts.tasks
    this.globals = parts.globals
    this.#commits = parts.commits
    this.#flushes = parts.flushes
    this.#fetcher = parts.fetcher
    this.#committer = parts.committer
    this.#membership = parts.membership
  }

  static async open(setting: RunSetting): Promise<ApplicationRun> {
    const { log, clock, config, applicationId, topology } = setting
    const plan = await planApplication(applicationId, topology, log)
    const topics = [...new Set(plan.tasks.flatMap((task) => task.inputs.map(({ at }) => at.topic)))]
    const membership = await log.joinGroup({ group: applicationId, topics })
    let committer: Committer | null = null
    let globals: GlobalTables | null = null
    let reader: Reader | null = null
    const tasks: Task[] = []
    try {
      committer = await log.openCommitter({ id: applicationId })
      globals = await GlobalTables.open(topology.globalTables, {
        log,
        clock,
        engine: setting.engines.memory,
        partitions: plan.partitions,
        cacheBytes: config.storeCacheBytes / Math.max(1, topology.globalTables.length),
        isStopped: setting.isStopped,
        onDropped: (_table, reason) => setting.onDropped(reason),
      })
      await buildTasks(setting, { plan, globals, tasks })
      const commits = new CommitMaker(
        log,
        committer,
        membership,
        { build: setting.build, configuration: configurationOf(config) },
        (error) => worker.fail(error),
      )
      const flushes = new StoreFlushes(clock, log, {
        intervalMs: config.storeFlushIntervalMs,
        bytesMax: config.storeFlushBytesMax,
      })
      const inputs = workerInputs(plan, tasks)
      const worker = new Worker({ log, clock, config, tasks, inputs, commits, flushes, globals })
      reader = await log.openReader({ isolation: 'sequenced' })
      const bounds = await log.bounds(
        worker.inputs.map(({ queue }) => queue.at),
        'sequenced',
      )
      const ends = new Map(bounds.map((bound) => [partitionName(bound.at), bound.end]))
      for (const { queue } of worker.inputs) queue.reachesTo(ends.get(partitionName(queue.at)) ?? 0)
      globals?.follow(
        () => worker.wake(),
        (error) => worker.fail(error),
      )
      const fetcher = new Fetcher(reader, worker.inputs, config, () => worker.wake())
      return new ApplicationRun({ worker, tasks, globals, commits, flushes, fetcher, committer, membership })
    } catch (error) {
      // What fails while it is released must not hide why the run was not opened.
      await Promise.allSettled([reader?.close(), ...tasks.map((task) => task.close()), globals?.close()])
      await Promise.allSettled([committer?.close(), membership.leave()])
      throw error
    }
  }

  /** Commits that were made. */
  get commits(): number {
    return this.#commits.commits
  }

  /** Records that were processed. */
  get processed(): number {
    return this.tasks.reduce((sum, task) => sum + task.processed, 0)
  }

  /** Resolves when the newest commit is durable. */
  get durable(): Promise<void> {
    return this.#commits.durable
  }

  overlaysOf(store: string): Overlay[] {
    const global = this.globals?.overlay(store) ?? null
    if (global !== null) return [global]
    return this.tasks.flatMap((task) =>
      task.stores.flatMap(({ overlay }) => (overlay.spec.name === store ? [overlay] : [])),
    )
  }

  /** Runs until the worker is stopped and everything is committed. */
  async run(): Promise<void> {
    await this.worker.run(this.#fetcher)
  }

  /** Writes everything that is committed to the stores. */
  async flushStores(): Promise<void> {
    await this.#flushes.finish(this.tasks, this.#commits.durable)
  }

  /** Releases a run whose work is committed and flushed. */
  async close(): Promise<void> {
    await this.#fetcher.close()
    for (const task of this.tasks) await task.close()
    await this.globals?.close()
    await this.#committer.close()
    await this.#membership.leave()
  }

  /** Releases a run that failed; its uncommitted work is discarded. */
  async abandon(): Promise<void> {
    this.#commits.discard()
    await this.#commits.settle()
    await this.#flushes.settle()
    await Promise.allSettled([this.#fetcher.close(), ...this.tasks.map((task) => task.close()), this.globals?.close()])
    await Promise.allSettled([this.#committer.close(), this.#membership.leave()])
  }
}

interface RunParts {
  readonly worker: Worker
  readonly tasks: readonly Task[]
  readonly globals: GlobalTables | null
  readonly commits: CommitMaker
  readonly flushes: StoreFlushes
  readonly fetcher: Fetcher<WorkerInput>
  readonly committer: Committer
  readonly membership: Membership
}

export interface RunSetting {
  readonly applicationId: string
  readonly topology: Topology
  readonly log: Log
  readonly clock: Clock
  readonly logger: Logger
  readonly config: StreamsConfig
  readonly engines: { readonly lmdb: StoreEngine; readonly memory: StoreEngine }
  readonly storeDirectory: string
  readonly build: number | null
  /** Whether the application was closed while the run is being opened. {@link RestoreStopped} is thrown then. */
  readonly isStopped: () => boolean
  readonly onDropped: (reason: string) => void
  readonly onRestore: (progress: RestoreProgress) => void
}

/** Builds the tasks one after the other, so that those that exist can be closed if one fails. */
async function buildTasks(
  setting: RunSetting,
  into: { readonly plan: ApplicationPlan; readonly globals: GlobalTables | null; readonly tasks: Task[] },
): Promise<void> {
  const { log, logger, config, applicationId } = setting
  const { plan, globals, tasks } = into
  const at = plan.tasks.flatMap((task) => task.inputs.map((input) => input.at))
  const positions = new Map<string, number>()
  for (const { at: place, start } of await log.bounds(at, 'committed')) positions.set(partitionName(place), start)
  for (const { at: place, offset } of await log.committedOffsets(applicationId, at)) {
    const name = partitionName(place)
    const start = positions.get(name) ?? 0
    if (offset >= start) positions.set(name, offset)
    else {
      logger.warn(
        `${name}: ${applicationId} was to continue at offset ${offset}, but the log starts at ${start}: ` +
          'the records in between were removed before they were read, and it continues at the log start',
      )
    }
  }
  const recorded = new RecordedState(await log.lastSections(applicationId), plan.tasks)
  const stores = plan.tasks.reduce((sum, task) => sum + task.subTopology.stores.length, 0)
  const invalid = new InvalidRecords(plan.partitions)
  const continueAfter = (error: unknown, node: string): void => {
    if (!isOfTheRecord(error)) throw error
    setting.onDropped('processing error')
    logger.warn(
      `${node} failed and continues without the current record: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  const ofTasks: TaskSetting = {
    log,
    plan,
    engines: setting.engines,
    storeDirectory: setting.storeDirectory,
    orders: new Map(),
    globals,
    cacheBytes: config.storeCacheBytes / Math.max(1, stores),
    now: setting.clock.now(),
    isStopped: setting.isStopped,
    onRestore: setting.onRestore,
    onStoreAhead: (error) => logger.warn(error.message),
    onProcessingError: config.onProcessingError === 'fail' ? null : continueAfter,
    onInvalid: (task, source, error) => invalid.handle(task, source, error),
    onDropped: (_node, reason) => setting.onDropped(reason),
  }
  for (const task of plan.tasks) {
    if (setting.isStopped()) throw new RestoreStopped(`task ${task.id} is to be made`)
    tasks.push(await buildTask(ofTasks, task, { memory: recorded.of(task), positions }))
  }
}

/** Options that can change results. */
function configurationOf(config: StreamsConfig): string {
  return `onProcessingError=${config.onProcessingError}`
}
