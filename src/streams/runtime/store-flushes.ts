import type { Clock } from '../../base/clock.ts'
import type { Log } from '../../log/api/log.ts'
import type { StorePosition } from '../store/ordered-store.ts'
import type { FlushSet } from '../store/overlay/flush-set.ts'
import type { Overlay } from '../store/overlay/overlay.ts'
import type { Task } from '../task/task.ts'

/**
 * Writes committed rows to the stores. From time to time, right after a commit, everything committed so far is sealed.
 * When that commit is durable and the log has synced it, the sealed rows are written outside this thread, with one
 * flush per store and one round at a time. So a store can be behind its changelog but never ahead of it, even after a
 * power cut, and a commit does not need a store transaction.
 */
export class StoreFlushes {
  readonly #clock: Clock
  readonly #log: Pick<Log, 'sync'>
  readonly #intervalMs: number
  readonly #bytesMax: number
  #last: number
  #running: Promise<void> | null = null
  /** The error of a flush that failed; the stores are not flushed again after it. */
  #failure: { readonly error: unknown } | null = null

  constructor(
    clock: Clock,
    log: Pick<Log, 'sync'>,
    options: { readonly intervalMs: number; readonly bytesMax: number },
  ) {
    this.#clock = clock
    this.#log = log
    this.#intervalMs = options.intervalMs
    this.#bytesMax = options.bytesMax
    this.#last = clock.monotonic()
  }

  /** Called right after a commit; `durable` is the promise of that commit. */
  afterCommit(tasks: readonly Task[], durable: Promise<void>, failed: (error: unknown) => void): void {
    if (this.#running !== null || this.#failure !== null || !this.#isDue(tasks)) return
    this.#start(tasks, durable).catch(failed)
  }

  /** Flushes everything that is committed; `durable` is the promise of the last commit. */
  async finish(tasks: readonly Task[], durable: Promise<void>): Promise<void> {
    await this.#running
    if (this.#failure !== null) throw this.#failure.error
    await this.#start(tasks, durable)
  }

  /**
   * Waits while a flush is in flight and enough rows for the next one have accumulated. So stores that are slower than
   * the worker slow it down, and at most twice `storeFlushBytesMax` is kept in memory.
   */
  async room(tasks: readonly Task[]): Promise<void> {
    if (this.#running !== null && this.#unflushedBytes(tasks) >= this.#bytesMax) await this.settle()
  }

  /** Waits for the flush in flight, whether it succeeds or fails. */
  async settle(): Promise<void> {
    await this.#running?.catch(() => undefined)
  }

  #isDue(tasks: readonly Task[]): boolean {
    return this.#clock.monotonic() - this.#last >= this.#intervalMs || this.#unflushedBytes(tasks) >= this.#bytesMax
  }

  #unflushedBytes(tasks: readonly Task[]): number {
    let bytes = 0
    for (const task of tasks) for (const { overlay } of task.stores) bytes += overlay.unflushedBytes
    return bytes
  }

  #start(tasks: readonly Task[], durable: Promise<void>): Promise<void> {
    this.#last = this.#clock.monotonic()
    const sealed: { readonly overlay: Overlay; readonly set: FlushSet }[] = []
    for (const task of tasks) {
      for (const { overlay, changelogAt } of task.stores) {
        if (!overlay.hasUnflushed) continue
        const set = overlay.seal()
        // On the embedded log the position is known at once; otherwise it comes with the receipt, before `durable`
        // resolves.
        set.position = changelogAt === null ? notLogged : overlay.position
        sealed.push({ overlay, set })
      }
    }
    if (sealed.length === 0) return Promise.resolve()
    const running = this.#write(sealed, durable)
      .catch((error: unknown) => {
        this.#failure = { error }
        throw error
      })
      .finally(() => {
        this.#running = null
      })
    this.#running = running
    return running
  }

  async #write(
    sealed: readonly { readonly overlay: Overlay; readonly set: FlushSet }[],
    durable: Promise<void>,
  ): Promise<void> {
    await durable
    await this.#log.sync()
    // Waits for all flushes even if one fails: a store must not be closed while it is being written.
    const written = await Promise.allSettled(
      sealed.map(async ({ overlay, set }) => {
        set.position ??= overlay.position
        await overlay.flush(set, this.#clock)
      }),
    )
    for (const one of written) if (one.status === 'rejected') throw one.reason
  }
}

/** The position of a store that has no changelog. */
const notLogged: StorePosition = { leaderEpoch: 0, changelogOffset: 0, storeTime: -1 }
