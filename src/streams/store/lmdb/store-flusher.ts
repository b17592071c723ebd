import { Worker } from 'node:worker_threads'
import type { StoreBatch } from '../ordered-store.ts'
import { StoreError } from '../store-error.ts'
import { type FlushReply, type FlushRequest, flushIdle, flushStopped } from './flush-message.ts'

/**
 * The worker's side of its flush thread; one thread serves all its stores. It starts with the first flush and ends with
 * `close`, which the owner must call, or the process does not exit.
 *
 * Each store flushes one batch at a time, so the number of requests in flight is bounded by the number of stores.
 */
export class StoreFlusher {
  readonly #waiting = new Map<number, Waiting>()
  readonly #state = new Int32Array(new SharedArrayBuffer(4))
  readonly #beforeExit = (): void => this.#awaitTransaction()
  #thread: Worker | null = null
  /** Resolves when the thread ends, which it may have done before `close` if it failed. */
  #ended: Promise<void> = Promise.resolve()
  #failure: StoreError | null = null
  #nextId = 1
  #closed = false

  /**
   * Applies the batch to the store in `directory`, creating the store if there is none. Resolves when the batch is
   * durable, with the memory of its operations if that was transferred.
   */
  async flush(directory: string, spaces: number, batch: StoreBatch): Promise<ArrayBuffer | null> {
    const { clear, operations, position } = batch
    // Copied only if the memory has another owner, because a transfer removes it from this thread. Shared memory would
    // avoid the copy, but V8 does not count it when it decides about a collection, and one batch per second would pile
    // up.
    const bytes = ownsItsMemory(operations.bytes) ? operations.bytes : operations.bytes.slice()
    const id = this.#nextId++
    const request: FlushRequest = {
      kind: 'flush',
      id,
      directory,
      spaces,
      clear,
      bytes,
      count: operations.count,
      position,
    }
    return await this.#ask(request, id, bytes.buffer instanceof ArrayBuffer ? [bytes.buffer] : [])
  }

  /** Closes the store's files in the thread. */
  async release(directory: string): Promise<void> {
    if (this.#thread === null || this.#failure !== null) return
    const id = this.#nextId++
    await this.#ask({ kind: 'release', id, directory }, id)
  }

  /** Ends the thread after the requests that it already has. */
  async close(): Promise<void> {
    this.#closed = true
    const thread = this.#thread
    if (thread === null) return
    this.#thread = null
    // Never terminate(): during a transaction, it would leave LMDB's writer lock taken forever.
    thread.postMessage({ kind: 'stop' } satisfies FlushRequest)
    await this.#ended
    process.off('exit', this.#beforeExit)
  }

  #ask(request: FlushRequest, id: number, transfer: readonly ArrayBuffer[] = []): Promise<ArrayBuffer | null> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    if (this.#closed) return Promise.reject(new StoreError('STORE_FLUSH_FAILED', 'the flush thread is closed'))
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { directory: request.kind === 'stop' ? '' : request.directory, resolve, reject })
      this.#thread ??= this.#start()
      this.#thread.postMessage(request, transfer)
    })
  }

  #start(): Worker {
    const thread = new Worker(threadUrl, {
      name: 'millrace-store-flush',
      workerData: { state: this.#state.buffer },
      // Loaders and inspectors of the main program must not run here; Node reads our sources as they are.
      execArgv: [],
    })
    this.#ended = new Promise((resolve) => void thread.once('exit', () => resolve()))
    thread.on('message', (reply: FlushReply) => this.#answered(reply))
    thread.on('error', (error) => this.#failed(error))
    thread.on('exit', () => {
      if (!this.#closed || this.#waiting.size > 0) this.#failed(new Error('the flush thread ended'))
    })
    process.on('exit', this.#beforeExit)
    return thread
  }

  #answered({ id, error, memory }: FlushReply): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === null) waiting?.resolve(memory)
    else {
      // LMDB reports a full disk as an input/output error.
      const text = `${waiting?.directory} could not be written (${error.message}): look whether its disk is full, or fails`
      waiting?.reject(new StoreError('STORE_FLUSH_FAILED', text, error))
    }
  }

  #failed(cause: unknown): void {
    // A thread that fails also ends, which says less about the cause.
    this.#failure ??= new StoreError(
      'STORE_FLUSH_FAILED',
      'the flush thread failed: start the application again',
      cause,
    )
    for (const { reject } of this.#waiting.values()) reject(this.#failure)
    this.#waiting.clear()
  }

  /**
   * `process.exit` during a transaction would make the process hang: wait until it has ended, and prevent the next one.
   */
  #awaitTransaction(): void {
    for (let tries = 0; tries < exitTriesMax; tries++) {
      const before = Atomics.compareExchange(this.#state, 0, flushIdle, flushStopped)
      if (before === flushIdle || before === flushStopped) return
      Atomics.wait(this.#state, 0, before, exitWaitMs)
    }
  }
}

interface Waiting {
  readonly directory: string
  readonly resolve: (memory: ArrayBuffer | null) => void
  readonly reject: (error: Error) => void
}

const exitTriesMax = 20
const exitWaitMs = 500

/** The thread is a TypeScript file in the source tree and a JavaScript file in the package. */
const threadUrl = new URL(`./store-flush-thread${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)

/** Whether the memory of `bytes` contains nothing else, as for a batch fresh from its builder. */
function ownsItsMemory(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes.byteOffset === 0 && bytes.buffer instanceof ArrayBuffer && !Buffer.isBuffer(bytes)
}
