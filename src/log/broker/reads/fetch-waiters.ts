import type { Clock, Timer } from '../../../base/clock.ts'
import type { Partition } from '../topics/partition.ts'

/**
 * Long polls: a reader that found nothing waits here until records that it may see arrive, its time is up, or it is
 * woken. Readers of `sequenced` are woken when a batch gets its place, all others when its group is promoted. A wake-up
 * guarantees nothing; the reader checks again.
 */
export class FetchWaiters {
  readonly #clock: Clock
  readonly #sequenced = new Map<Partition, Set<FetchWait>>()
  readonly #durable = new Map<Partition, Set<FetchWait>>()
  readonly #all = new Set<FetchWait>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Resolves at the first wake-up. To end the wait early, call `end` on the object that `started` receives. */
  park(
    partitions: readonly Partition[],
    options: { readonly sequenced: boolean; readonly waitMs: number; readonly started: (wait: FetchWait) => void },
  ): Promise<void> {
    const byPartition = options.sequenced ? this.#sequenced : this.#durable
    return new Promise((resolve) => {
      const wait: FetchWait = {
        end: () => {
          if (!this.#all.delete(wait)) return
          timer.cancel()
          for (const partition of partitions) leave(byPartition, partition, wait)
          resolve()
        },
      }
      const timer: Timer = this.#clock.setTimer(options.waitMs, () => wait.end())
      this.#all.add(wait)
      for (const partition of partitions) join(byPartition, partition, wait)
      options.started(wait)
    })
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

export interface FetchWait {
  end(): void
}

function join(byPartition: Map<Partition, Set<FetchWait>>, partition: Partition, wait: FetchWait): void {
  const waits = byPartition.get(partition)
  if (waits === undefined) byPartition.set(partition, new Set([wait]))
  else waits.add(wait)
}

function leave(byPartition: Map<Partition, Set<FetchWait>>, partition: Partition, wait: FetchWait): void {
  const waits = byPartition.get(partition)
  if (waits === undefined || !waits.delete(wait) || waits.size > 0) return
  byPartition.delete(partition)
}

function wake(waits: ReadonlySet<FetchWait> | undefined): void {
  if (waits === undefined) return
  // Ending a wait removes it from the set, which is allowed during iteration; no wait is added before the iteration is
  // over.
  for (const wait of waits) wait.end()
}
