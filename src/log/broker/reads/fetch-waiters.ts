import type { Clock, Timer } from '../../../base/clock.ts'
import type { Partition } from '../topics/partition.ts'

/**
 * Long polls: a reader that found nothing waits until records that it may see arrive, its time is up, or it is woken.
 * Readers of `sequenced` are woken when a batch gets its place, all others when its group is promoted. A wake-up
 * guarantees nothing; the reader checks again.
 *
 * Each reader has one {@link FetchWait} for its life. A busy reader waits thousands of times a second for the same
 * partitions, so it enters their lists once and not for every wait.
 */
export class FetchWaiters {
  readonly #clock: Clock
  readonly #sequenced: WaitsByPartition = new Map()
  readonly #durable: WaitsByPartition = new Map()
  readonly #all = new Set<FetchWait>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The wait of a new reader; it watches nothing yet. */
  open(options: { readonly sequenced: boolean }): FetchWait {
    return new FetchWait(this.#clock, options.sequenced ? this.#sequenced : this.#durable, this.#all)
  }

  wakeSequenced(partition: Partition): void {
    if (this.#sequenced.size > 0) wake(this.#sequenced.get(partition))
  }

  wakeDurable(partition: Partition): void {
    if (this.#durable.size > 0) wake(this.#durable.get(partition))
  }

  /** Wakes every waiting reader, because the log has failed or is closed. */
  wakeAll(): void {
    wake(this.#all)
  }
}

type WaitsByPartition = Map<Partition, Set<FetchWait>>

/** The wait of one reader, which is in the lists of the partitions that it watches also while it does not wait. */
export class FetchWait {
  readonly #clock: Clock
  readonly #byPartition: WaitsByPartition
  readonly #all: Set<FetchWait>
  #watched: readonly Partition[] = []
  #timer: Timer | null = null
  #resolve: (() => void) | null = null

  constructor(clock: Clock, byPartition: WaitsByPartition, all: Set<FetchWait>) {
    this.#clock = clock
    this.#byPartition = byPartition
    this.#all = all
  }

  /** Watches these partitions from now on, instead of those before, until it is closed; `wakeAll` reaches it too. */
  watch(partitions: readonly Partition[]): void {
    for (const partition of this.#watched) leave(this.#byPartition, partition, this)
    this.#watched = partitions
    for (const partition of partitions) join(this.#byPartition, partition, this)
    this.#all.add(this)
  }

  /** Resolves at the next wake-up, or after `waitMs`. */
  park(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve
      this.#timer = this.#clock.setTimer(waitMs, () => this.end())
    })
  }

  /** Ends the wait, if there is one. */
  end(): void {
    const resolve = this.#resolve
    if (resolve === null) return
    this.#resolve = null
    this.#timer?.cancel()
    resolve()
  }

  /** Ends the wait and leaves all lists, which would keep it and its partitions in memory. */
  close(): void {
    this.end()
    this.watch([])
    this.#all.delete(this)
  }
}

function join(byPartition: WaitsByPartition, partition: Partition, wait: FetchWait): void {
  const waits = byPartition.get(partition)
  if (waits === undefined) byPartition.set(partition, new Set([wait]))
  else waits.add(wait)
}

function leave(byPartition: WaitsByPartition, partition: Partition, wait: FetchWait): void {
  const waits = byPartition.get(partition)
  if (waits === undefined || !waits.delete(wait) || waits.size > 0) return
  byPartition.delete(partition)
}

function wake(waits: ReadonlySet<FetchWait> | undefined): void {
  if (waits === undefined) return
  // The reader goes on in a microtask, so it leaves and enters no list meanwhile.
  for (const wait of waits) wait.end()
}
