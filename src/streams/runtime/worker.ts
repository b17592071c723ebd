import type { Clock } from '../../base/clock.ts'
import type { Log, Placement } from '../../log/api/log.ts'
import { partitionName } from '../../log/api/record.ts'
import type { StreamsConfig } from '../config.ts'
import type { Task } from '../task/task.ts'
import type { CommitMaker } from './committer.ts'
import { failureOf } from './failures.ts'
import type { Fetcher } from './fetcher.ts'
import type { GlobalTables } from './global-tables.ts'
import { PickOrder } from './pick-order.ts'
import type { StoreFlushes } from './store-flushes.ts'
import type { WorkerInput } from './worker-inputs.ts'

/**
 * The main loop: add fetched records, pick and process, punctuate, commit. Read this first.
 *
 * - Processing is synchronous. A turn ends after `turnMs`, when a commit is due, or when there is nothing to pick. So
 *   there is one `await` per batch of records, and the event loop runs often enough for the messages of the log.
 * - *Hungry*: an input's next record is in the log but not fetched. Nothing is picked then (see {@link PickOrder}).
 * - *Dry*: there is nothing to pick. A commit is then due at once, but not sooner than `minIntervalMs` after the last
 *   one. So a quiet pipeline answers within milliseconds, and a busy one builds larger commits.
 */
export class Worker {
  readonly tasks: readonly Task[]
  readonly #log: Log
  readonly #clock: Clock
  readonly #config: StreamsConfig
  readonly #commits: CommitMaker
  readonly #flushes: StoreFlushes
  readonly #globals: GlobalTables | null
  readonly #order = new PickOrder<WorkerInput>()
  readonly #inputs: readonly WorkerInput[]
  readonly #byName: ReadonlyMap<string, WorkerInput>
  readonly #atRest: Callback[] = []
  readonly #whenDry: Callback[] = []
  #ended = false
  #fetcher: Fetcher<WorkerInput> | null = null
  #stopping = false
  #failure: unknown = null
  #failed = false
  #wake: (() => void) | null = null
  #awake = false
  #lastCommit: number
  #lastTurn: number
  #lastPurge: number

  constructor(options: {
    readonly log: Log
    readonly clock: Clock
    readonly config: StreamsConfig
    readonly tasks: readonly Task[]
    readonly inputs: readonly WorkerInput[]
    readonly commits: CommitMaker
    readonly flushes: StoreFlushes
    readonly globals?: GlobalTables | null
  }) {
    this.tasks = options.tasks
    this.#log = options.log
    this.#clock = options.clock
    this.#config = options.config
    this.#commits = options.commits
    this.#flushes = options.flushes
    this.#globals = options.globals ?? null
    this.#inputs = options.inputs
    this.#byName = new Map(this.#inputs.map((input) => [partitionName(input.queue.at), input]))
    this.#lastCommit = this.#lastTurn = this.#lastPurge = options.clock.monotonic()
  }

  get inputs(): readonly WorkerInput[] {
    return this.#inputs
  }

  /** Ends the loop after the current record. */
  stop(): void {
    this.#stopping = true
    this.wake()
  }

  fail(error: unknown): void {
    if (!this.#failed) {
      this.#failed = true
      this.#failure = error
    }
    this.wake()
  }

  /** Ends a wait of the loop. */
  wake(): void {
    this.#awake = true
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  /**
   * Calls back when no task has uncommitted changes: during the next commit, or at once if there is nothing to commit.
   * Calls back with false if the worker has ended.
   */
  atRest(callback: Callback): void {
    this.#wait(this.#atRest, callback)
  }

  /**
   * Calls back when everything known to be in the log is processed and committed; with false if the worker has ended.
   */
  whenDry(callback: Callback): void {
    this.#wait(this.#whenDry, callback)
  }

  /** Answers all callbacks that still wait. */
  end(): void {
    this.#ended = true
    for (const callback of [...this.#atRest.splice(0), ...this.#whenDry.splice(0)]) callback(false)
  }

  #wait(callbacks: Callback[], callback: Callback): void {
    if (this.#ended) {
      callback(false)
      return
    }
    callbacks.push(callback)
    this.wake()
  }

  /** Runs until it is stopped, then commits. Throws the error that made it fail; the open commit is discarded then. */
  async run(fetcher: Fetcher<WorkerInput>): Promise<void> {
    this.#fetcher = fetcher
    await this.#commits.begin(this.tasks)
    const first = this.#clock.now()
    for (const task of this.tasks) task.setNow(first)
    // State that was found under the ids of other tasks is recorded under the new ids before it changes.
    if (this.tasks.some((task) => task.isDirty)) await this.#commit()
    while (!this.#stopping) {
      this.#throwFailure()
      this.#take(fetcher)
      fetcher.poll()
      const isDry = this.#turn()
      this.#punctuate()
      if (this.#isCommitDue(isDry)) await this.#commit()
      if (this.#stopping) break
      this.#advanceGlobals()
      // Heads that had to wait for this commit are tried now, because the commit need not have produced anything to
      // fetch.
      const isDone = isDry && (!this.#order.hasUntried || this.#isHungry())
      if (
        isDone &&
        this.#whenDry.length > 0 &&
        this.#globals?.isCaughtUp !== false &&
        !this.#isHungry() &&
        !this.tasks.some((task) => task.isDirty)
      ) {
        for (const callback of this.#whenDry.splice(0)) callback(true)
      }
      if (isDone) {
        fetcher.refill()
        await this.#rest()
      } else await this.#breathe()
    }
    this.#throwFailure()
    await this.#commit()
    await this.#commits.durable
  }

  #take(fetcher: Fetcher<WorkerInput>): void {
    const took = fetcher.take((input, hadHead) => {
      if (!hadHead && input.queue.hasHead) this.#order.push(input)
    })
    if (!took) return
    this.#order.unpark()
    const now = this.#clock.now()
    for (const task of this.tasks) task.setNow(now)
  }

  /** Processes until time is up or a commit is due. Returns true if there is nothing to pick. */
  #turn(): boolean {
    if (this.#isHungry()) return true
    const clock = this.#clock
    const until = clock.monotonic() + turnMs
    for (;;) {
      for (let count = 0; count < recordsPerLook; count++) {
        const next = this.#order.top()
        if (next === null) return true
        const { task, queue } = next
        try {
          task.process(next.input)
        } catch (error) {
          throw failureOf(task, error)
        }
        this.#order.moved()
        // Checked after each record, because the next ones may be just as large and everything staged is committed
        // together.
        if (this.#commits.stagedBytes >= this.#config.commitBytesMax) return false
        if (!queue.hasHead && queue.isHungry) {
          this.#fetcher?.hurry(next)
          return true
        }
      }
      if (clock.monotonic() >= until || this.#isFull() || this.#stopping) return false
    }
  }

  #isHungry(): boolean {
    let isHungry = false
    for (const input of this.#inputs) {
      if (!input.queue.isHungry) continue
      isHungry = true
      this.#fetcher?.hurry(input)
    }
    return isHungry
  }

  #isFull(): boolean {
    if (this.#commits.stagedBytes >= this.#config.commitBytesMax) return true
    let bytes = 0
    for (const task of this.tasks) bytes += task.dirtyBytes
    return bytes >= this.#config.overlayBytesMax
  }

  #punctuate(): void {
    const now = this.#clock.now()
    for (const task of this.tasks) {
      if (now < task.nextWallClockDue) continue
      try {
        task.setNow(now)
        task.punctuate(now)
      } catch (error) {
        throw failureOf(task, error)
      }
    }
  }

  #isCommitDue(isDry: boolean): boolean {
    if (this.#atRest.length > 0 || this.#isFull() || this.tasks.some((task) => task.commitRequested)) return true
    const waited = this.#clock.monotonic() - this.#lastCommit
    if (waited >= this.#config.commitIntervalMs) return true
    // Hungry is not dry: more records are about to arrive, and committing now would lead to many small commits.
    return isDry && waited >= this.#log.commitHints.minIntervalMs && !this.#isHungry()
  }

  async #commit(): Promise<void> {
    for (const task of this.tasks) task.commitRequested = false
    const committed = this.#commits.commit(this.tasks, (placements) => this.#placed(placements))
    // From the end of a commit to the next, as in Kafka Streams. From its beginning, a commit that takes as long as the
    // interval would be followed by one of a few records, which writes many of the same rows again.
    this.#lastCommit = this.#clock.monotonic()
    for (const callback of this.#atRest.splice(0)) callback(true)
    if (!committed) return
    this.#order.unpark()
    this.#flushes.afterCommit(this.tasks, this.#commits.durable, (error) => this.fail(error))
    this.#purge()
    await this.#flushes.room(this.tasks)
    await this.#commits.begin(this.tasks)
  }

  /**
   * Global tables advance only while no task has uncommitted changes, so that a commit is made with one state of them.
   */
  #advanceGlobals(): void {
    if (this.#globals?.hasArrived === true && !this.tasks.some((task) => task.isDirty)) this.#globals.advance()
  }

  /**
   * The offsets of records that the application wrote for itself are known: they must be fetched before anything is
   * picked.
   */
  #placed(placements: readonly Placement[]): void {
    for (const placement of placements) {
      this.#byName.get(partitionName(placement.at))?.queue.reachesTo(placement.end)
    }
  }

  /** Removes from repartition topics, from time to time, the records that all commits so far have read. */
  #purge(): void {
    const now = this.#clock.monotonic()
    if (now - this.#lastPurge < this.#config.purgeIntervalMs) return
    this.#lastPurge = now
    const at = this.#inputs
      .filter(({ input }) => input.source.node.internal)
      .map(({ queue }) => ({ at: queue.at, offset: queue.committed }))
    if (at.length === 0) return
    this.#commits.durable.then(() => this.#log.purgeBefore(at)).catch((error: unknown) => this.fail(error))
  }

  /** Waits for records, for the next commit or punctuation, or for the stop. */
  async #rest(): Promise<void> {
    const now = this.#clock.monotonic()
    let waitMs = restMsMax
    if (this.tasks.some((task) => task.isDirty)) {
      const interval = this.#isHungry() ? this.#config.commitIntervalMs : this.#log.commitHints.minIntervalMs
      waitMs = Math.min(waitMs, this.#lastCommit + interval - now)
    }
    const wall = this.#clock.now()
    for (const task of this.tasks) waitMs = Math.min(waitMs, task.nextWallClockDue - wall)
    if (waitMs > 0 && !this.#awake) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.setTimer(waitMs, () => this.wake())
        this.#wake = () => {
          timer.cancel()
          resolve()
        }
      })
    } else if (!this.#awake || now - this.#lastTurn >= turnMs) {
      await this.#clock.nextTurn()
    } else {
      this.#awake = false
      return
    }
    this.#awake = false
    this.#lastTurn = this.#clock.monotonic()
  }

  async #breathe(): Promise<void> {
    if (this.#clock.monotonic() - this.#lastTurn < turnMs) return
    await this.#clock.nextTurn()
    this.#lastTurn = this.#clock.monotonic()
  }

  #throwFailure(): void {
    if (this.#failed) throw this.#failure
  }
}

type Callback = (isThere: boolean) => void

/** How long records are processed before the event loop runs. */
const turnMs = 4
/** Number of records between two readings of the clock. */
const recordsPerLook = 128
/** Bounds every wait, so that a missed wake-up cannot delay anything for long. */
const restMsMax = 1000
