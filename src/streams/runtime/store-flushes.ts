import type { Clock } from '../../base/clock.ts'
import type { Log } from '../../log/api/log.ts'
import type { FlushSet } from '../store/flush-set.ts'
import type { StorePosition } from '../store/ordered-store.ts'
import type { Overlay } from '../store/overlay.ts'
import type { Task } from '../task/task.ts'

/**
 * Brings committed rows to the stores: from time to time, right behind a commit, everything committed so far is sealed;
 * when that commit is durable and the log has synced it, it is written, off this thread, one flush per store and one
 * round at a time. So a store is behind its changelog and never ahead of it, also after a power cut, and a commit costs no
 * store transaction.
 */
export class StoreFlushes {
  readonly #clock: Clock
  readonly #log: Pick<Log, 'sync'>
  readonly #intervalMs: number
  readonly #bytesMax: number
  #last: number
  #running: Promise<void> | null = null
  /** What made a flush fail: the stores take no other. */
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

  /** Called right behind a commit. `durable` is that commit's. */
  afterCommit(tasks: readonly Task[], durable: Promise<void>, failed: (error: unknown) => void): void {
    if (this.#running !== null || this.#failure !== null || !this.#isDue(tasks)) return
    this.#start(tasks, durable).catch(failed)
  }

  /** Flushes everything that is committed; `durable` is the last commit's. */
  async finish(tasks: readonly Task[], durable: Promise<void>): Promise<void> {
    await this.#running
    if (this.#failure !== null) throw this.#failure.error
    await this.#start(tasks, durable)
  }

  /**
   * Waits while a flush is under way and enough for the next one has gathered behind it: stores that are slower than the
   * worker hold it up, and not more than twice `storeFlushBytesMax` waits in memory.
   */
  async room(tasks: readonly Task[]): Promise<void> {
    if (this.#running !== null && this.#unflushedBytes(tasks) >= this.#bytesMax) await this.settle()
  }

  /** Waits for what is under way, whatever becomes of it. */
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
        // Known at once on the embedded log; else it comes with the receipt, before `durable` resolves.
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
    // To the end, also when one fails: nobody may close a store that is being written.
    const written = await Promise.allSettled(
      sealed.map(async ({ overlay, set }) => {
        set.position ??= overlay.position
        await overlay.flush(set, this.#clock)
      }),
    )
    for (const one of written) if (one.status === 'rejected') throw one.reason
  }
}

/** A store without a changelog has no place in one. */
const notLogged: StorePosition = { leaderEpoch: 0, changelogOffset: 0, storeTime: -1 }
