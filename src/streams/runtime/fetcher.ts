import type { Chunk, Reader } from '../../log/api/log.ts'
import { partitionName } from '../../log/api/record.ts'
import type { RecordQueue } from '../task/record-queue.ts'

/**
 * Keeps the worker's inputs filled: one poll is in flight at any time, while records are processed. Inputs that have
 * enough buffered are paused, so memory is bounded by `bufferedBytesMax` per input plus one poll.
 */
export class Fetcher<Input extends FetchedInput> {
  readonly #reader: Reader
  readonly #inputs: readonly Input[]
  readonly #byName = new Map<string, Input>()
  readonly #limits: { readonly pollBytesMax: number; readonly bufferedBytesMax: number }
  readonly #arrivedNow: () => void
  readonly #paused = new Set<Input>()
  #arrived: readonly Chunk[] | null = null
  #polling = false
  #failure: unknown = null
  #closed = false
  #done: Promise<void> = Promise.resolve()

  constructor(
    reader: Reader,
    inputs: readonly Input[],
    limits: { readonly pollBytesMax: number; readonly bufferedBytesMax: number },
    arrivedNow: () => void,
  ) {
    this.#reader = reader
    this.#inputs = inputs
    this.#limits = limits
    this.#arrivedNow = arrivedNow
    for (const input of inputs) this.#byName.set(partitionName(input.queue.at), input)
    reader.assign(inputs.map(({ queue }) => ({ at: queue.at, offset: queue.position })))
  }

  /** Starts a poll if none is in flight and some input has room. */
  poll(): void {
    if (this.#polling || this.#closed || this.#arrived !== null || this.#failure !== null) return
    this.#pause()
    if (this.#paused.size === this.#inputs.length) return
    this.#polling = true
    this.#done = this.#reader.poll({ bytesMax: this.#limits.pollBytesMax, waitMs: pollWaitMs }).then(
      (chunks) => {
        this.#polling = false
        if (chunks.length > 0) this.#arrived = chunks
        this.#arrivedNow()
      },
      (error: unknown) => {
        this.#polling = false
        this.#failure = error
        this.#arrivedNow()
      },
    )
  }

  /** Adds fetched chunks to their queues. Calls `received` for each chunk, with its input. */
  take(received: (input: Input, hadHead: boolean) => void): boolean {
    if (this.#failure !== null) throw this.#failure
    const chunks = this.#arrived
    if (chunks === null) return false
    this.#arrived = null
    for (const chunk of chunks) {
      const input = this.#byName.get(partitionName(chunk.at))
      if (input === undefined) continue
      const { hasHead } = input.queue
      input.queue.add(chunk)
      received(input, hasHead)
    }
    return true
  }

  /**
   * Called when an input needs its next record now. If the current poll leaves the input out, the poll is ended early.
   */
  hurry(input: Input): void {
    if (this.#polling && this.#paused.has(input)) this.#reader.wakeup()
  }

  /**
   * Called when there is nothing left to process. Makes sure that a poll is in flight that leaves out no input that has
   * room again; otherwise its records would wait until the poll, or the rest of the worker, ends by itself.
   */
  refill(): void {
    if (!this.#polling) this.poll()
    else if ([...this.#paused].some((input) => !this.#isFull(input))) this.#reader.wakeup()
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#polling) this.#reader.wakeup()
    await this.#done
    await this.#reader.close()
  }

  #pause(): void {
    let changed = false
    for (const input of this.#inputs) {
      const isFull = this.#isFull(input)
      if (isFull === this.#paused.has(input)) continue
      changed = true
      if (isFull) this.#paused.add(input)
      else this.#paused.delete(input)
    }
    if (changed) this.#reader.setPaused([...this.#paused].map(({ queue }) => queue.at))
  }

  #isFull({ queue }: Input): boolean {
    return queue.bufferedBytes >= this.#limits.bufferedBytesMax
  }
}

/** An input that the fetcher keeps filled. */
export interface FetchedInput {
  readonly queue: RecordQueue
}

/** A poll that finds nothing ends after this time and is started again. */
const pollWaitMs = 1000
