import type { Clock, Timer } from '../../base/clock.ts'
import type { ConsumedPartition } from './consumed-partition.ts'

/**
 * Gives work to a listener: at most `concurrency` calls at a time, and those of one lane one after the other.
 *
 * - A lane is whatever must stay in order: a key, a partition, or a batch by itself.
 * - A record is completed when its call resolves; until then nothing at or behind it is committed.
 * - The first call that fails ends the run: calls under way are waited for, what was not begun is given back.
 * - Work whose time has not come (`notBefore`) waits without taking a place; its lane waits with it.
 *
 * Bounded by whoever adds: it looks at `openCount` first.
 */
export class RecordRunner {
  readonly #clock: Clock
  readonly #concurrency: number
  readonly #lanes = new Map<string, Task[]>()
  readonly #ready: Task[] = []
  /** In the order in which they began. */
  readonly #running = new Map<Task, number>()
  readonly #held = new Map<Task, Timer>()
  #failure: { readonly error: unknown } | null = null
  #ended = false
  #open = 0
  #watchers: (() => void)[] = []
  /** Called whenever a call has ended: there may be room again. */
  readonly #changed: () => void

  constructor(clock: Clock, concurrency: number, changed: () => void) {
    this.#clock = clock
    this.#concurrency = concurrency
    this.#changed = changed
  }

  /** Records that were added and are neither done nor dropped. */
  get openCount(): number {
    return this.#open
  }

  get runningCount(): number {
    return this.#running.size
  }

  /** Whether it begins nothing any more: it was stopped, or a call has failed. */
  get hasEnded(): boolean {
    return this.#ended
  }

  get failure(): { readonly error: unknown } | null {
    return this.#failure
  }

  /** When (monotonic) the oldest call under way began; null without one. */
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

  /** Begins as many calls as there is room for. */
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

  /** Drops what has not begun of these partitions, and resolves when what has begun is over. */
  async release(partitions: ReadonlySet<ConsumedPartition>): Promise<void> {
    this.abandon(partitions)
    while ([...this.#running.keys()].some(({ partition }) => partitions.has(partition))) await this.#change()
  }

  /** Drops what has not begun of these partitions; what has begun goes on, and counts for nothing. */
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

  /** Begins nothing more. */
  stop(): void {
    this.#ended = true
    for (const timer of this.#held.values()) timer.cancel()
  }

  /** The same, and resolves when nothing is under way. */
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
  /** Of the records that are done when `run` resolves. */
  readonly offsets: readonly number[]
  /** What must not overtake each other has the same lane. */
  readonly lane: string | null
  /** Wall-clock time before which it does not begin; 0: at once. */
  readonly notBefore: number
  readonly run: () => void | Promise<void>
  dropped: boolean
}

/** The longest timer that Node knows. */
const timerMsMax = 2 ** 31 - 1
