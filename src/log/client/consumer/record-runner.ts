import type { Clock, Timer } from '../../../base/clock.ts'
import type { ConsumedPartition } from './consumed-partition.ts'

/**
 * Runs the calls of a listener: at most `concurrency` at a time, and those of one lane one after the other.
 *
 * - A lane is a set of records that must stay in order: of a key, of a partition, or a single batch.
 * - A record is completed when its call resolves; until then no offset at or after it is committed.
 * - The first failed call ends the run: running calls are awaited, and tasks not yet begun are given back.
 * - A task with a `notBefore` in the future waits without counting towards `concurrency`; its lane waits with it.
 *
 * It has no bound of its own: callers of `add` check `openCount` first.
 */
export class RecordRunner {
  readonly #clock: Clock
  readonly #concurrency: number
  readonly #lanes = new Map<string, Task[]>()
  readonly #ready: Task[] = []
  /** The running tasks with their start times (monotonic), in the order in which they began. */
  readonly #running = new Map<Task, number>()
  readonly #held = new Map<Task, Timer>()
  #failure: { readonly error: unknown } | null = null
  #ended = false
  #open = 0
  #watchers: (() => void)[] = []
  /** Called whenever a call has ended, because there may be room again. */
  readonly #changed: () => void

  constructor(clock: Clock, concurrency: number, changed: () => void) {
    this.#clock = clock
    this.#concurrency = concurrency
    this.#changed = changed
  }

  /** Number of records that were added and are neither done nor dropped. */
  get openCount(): number {
    return this.#open
  }

  get runningCount(): number {
    return this.#running.size
  }

  /** Whether it begins no further calls, because it was stopped or a call has failed. */
  get hasEnded(): boolean {
    return this.#ended
  }

  get failure(): { readonly error: unknown } | null {
    return this.#failure
  }

  /** When (monotonic) the oldest running call began; null without one. */
  get oldestBegan(): number | null {
    for (const began of this.#running.values()) return began
    return null
  }

  add(task: Task): void {
    this.#open += task.offsets.length
    const { lane } = task
    if (lane !== null) {
      const line = this.#lanes.get(lane)
      if (line !== undefined) {
        line.push(task)
        return
      }
      this.#lanes.set(lane, [])
    }
    this.#isNext(task)
  }

  /** Begins as many calls as `concurrency` allows. */
  dispatch(): void {
    while (!this.#ended && this.#running.size < this.#concurrency) {
      const task = this.#ready.shift()
      if (task === undefined) return
      void this.#run(task)
    }
  }

  #isNext(task: Task): void {
    const waitMs = task.dropped ? 0 : task.notBefore - this.#clock.now()
    if (waitMs <= 0 || this.#ended) {
      this.#ready.push(task)
      return
    }
    const timer = this.#clock.setTimer(Math.min(waitMs, timerMsMax), () => {
      this.#held.delete(task)
      this.#isNext(task)
      this.dispatch()
    })
    this.#held.set(task, timer)
  }

  async #run(task: Task): Promise<void> {
    if (!task.dropped) {
      this.#running.set(task, this.#clock.monotonic())
      try {
        await task.run()
        for (const offset of task.offsets) task.partition.complete(offset)
      } catch (error) {
        this.#failure ??= { error }
        this.#ended = true
      }
      this.#running.delete(task)
      if (!task.dropped) this.#open -= task.offsets.length
    }
    this.#laneGoesOn(task.lane)
    this.dispatch()
    for (const watcher of this.#watchers.splice(0)) watcher()
    this.#changed()
  }

  #laneGoesOn(lane: string | null): void {
    if (lane === null) return
    const next = this.#lanes.get(lane)?.shift()
    if (next === undefined) this.#lanes.delete(lane)
    else this.#isNext(next)
  }

  /** Drops tasks of these partitions that have not begun, and resolves when those that have begun are done. */
  async release(partitions: ReadonlySet<ConsumedPartition>): Promise<void> {
    this.abandon(partitions)
    while ([...this.#running.keys()].some(({ partition }) => partitions.has(partition))) await this.#change()
  }

  /** Drops tasks of these partitions that have not begun. Running calls continue, but their results do not count. */
  abandon(partitions: ReadonlySet<ConsumedPartition>): void {
    const waiting = [...this.#ready, ...this.#held.keys(), ...[...this.#lanes.values()].flat()]
    for (const task of waiting) {
      if (task.dropped || !partitions.has(task.partition)) continue
      task.dropped = true
      this.#open -= task.offsets.length
    }
    for (const [task, timer] of this.#held) {
      if (!task.dropped) continue
      timer.cancel()
      this.#held.delete(task)
      this.#ready.push(task)
    }
    this.dispatch()
  }

  /** Begins no further calls. */
  stop(): void {
    this.#ended = true
    for (const timer of this.#held.values()) timer.cancel()
  }

  /** Begins no further calls, and resolves when none is running. */
  async end(): Promise<void> {
    this.stop()
    while (this.#running.size > 0) await this.#change()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#watchers.push(resolve))
  }
}

export interface Task {
  readonly partition: ConsumedPartition
  /** Offsets of the records that are done when `run` resolves. */
  readonly offsets: readonly number[]
  /** Tasks of one lane must not overtake each other. */
  readonly lane: string | null
  /** Wall-clock time before which the task does not begin; 0: at once. */
  readonly notBefore: number
  readonly run: () => void | Promise<void>
  dropped: boolean
}

/** The longest delay of a timer in Node. */
const timerMsMax = 2 ** 31 - 1
