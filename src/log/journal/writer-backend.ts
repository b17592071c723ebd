import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { Disk } from '../../base/disk.ts'
import type { Clock } from '../../base/clock.ts'
import { completeSums, type SummedRange } from './group.ts'
import { JournalWriter, type JournalStart, type JournalSync } from './journal-writer.ts'

/**
 * The sequencer's commands to the writer, which carries them out in this order. A sync goes on beside the writes that
 * follow it; `seal` and `close` are sent only when it is over and all groups are reported.
 */
export type WriterCommand =
  | {
      readonly kind: 'write'
      readonly sequence: number
      readonly group: Uint8Array
      readonly summed: readonly SummedRange[]
    }
  | { readonly kind: 'sync' }
  | { readonly kind: 'seal' }
  | { readonly kind: 'close' }
  | { readonly kind: 'recycle'; readonly below: number }

/** `sync` is answered by `synced`, `recycle` by nothing. After `failed` or `closed` no report follows. */
export type WriterReport =
  | { readonly kind: 'done'; readonly lastSequence: number; readonly durableSequence: number }
  | { readonly kind: 'synced'; readonly durableSequence: number }
  | { readonly kind: 'closed'; readonly lastSequence: number; readonly durableSequence: number }
  | { readonly kind: 'failed'; readonly diskFull: boolean; readonly message: string }

/** Messages to the thread: first `begin`, then commands. */
export type ThreadCommand = WriterCommand | { readonly kind: 'begin'; readonly start: JournalStart }

/** Messages from the thread: first `ready`, then reports. */
export type ThreadMessage = WriterReport | { readonly kind: 'ready' }

/** The writer, wherever it runs. */
export interface WriterBackend {
  /** Whether reports come later, in a turn of their own, instead of from inside `send`. */
  readonly asynchronous: boolean
  send(command: WriterCommand): void
  /** Stops the thread, if there is one. Nothing is reported afterwards. */
  end(): Promise<void>
}

/** Executes a command other than `sync`. A disk error is returned as a report, and it is final. */
export function perform(
  writer: JournalWriter,
  command: Exclude<WriterCommand, { readonly kind: 'sync' }>,
): WriterReport | null {
  try {
    switch (command.kind) {
      case 'write':
        writer.write(command.sequence, asBuffer(command.group), command.summed)
        break
      case 'seal':
        writer.seal({ closed: false })
        break
      case 'recycle':
        writer.recycleBelow(command.below)
        return null
      case 'close':
        writer.close()
        break
    }
  } catch (error) {
    return failure(error)
  }
  const { lastSequence, durableSequence } = writer
  return { kind: command.kind === 'close' ? 'closed' : 'done', lastSequence, durableSequence }
}

export function failure(error: unknown): WriterReport {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return {
    kind: 'failed',
    diskFull: code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG',
    message: error instanceof Error ? error.message : String(error),
  }
}

/** The writer on the caller's thread: for simulation, and where a thread would not pay off. */
export class InlineBackend implements WriterBackend {
  readonly asynchronous = false
  readonly #writer: JournalWriter
  readonly #clock: Clock
  readonly #report: (report: WriterReport) => void
  readonly #lasts: boolean
  #preparing = false
  #ended = false

  constructor(options: InlineOptions, report: (report: WriterReport) => void) {
    this.#writer = new JournalWriter(options.disk, options.start, options.sync)
    this.#clock = options.clock
    this.#report = report
    this.#lasts = options.lasts
  }

  send(command: WriterCommand): void {
    if (command.kind === 'sync') return this.#sync()
    this.#deliver(perform(this.#writer, command))
    if (command.kind === 'write' && this.#lasts && !this.#ended) this.#prepareSoon()
  }

  #sync(): void {
    const synced = (): void => this.#deliver({ kind: 'synced', durableSequence: this.#writer.durableSequence })
    const failed = (error: unknown): void => this.#deliver(failure(error))
    if (this.#lasts) return void this.#writer.syncInBackground().then(synced, failed)
    try {
      this.#writer.sync()
    } catch (error) {
      return failed(error)
    }
    synced()
  }

  #deliver(report: WriterReport | null): void {
    if (report === null || this.#ended) return
    if (report.kind === 'failed' || report.kind === 'closed') this.#ended = true
    this.#report(report)
  }

  /** Hands the journal over to another writer, which continues from the returned state. */
  release(): JournalStart {
    this.#ended = true
    return this.#writer.release()
  }

  end(): Promise<void> {
    this.#ended = true
    return Promise.resolve()
  }

  /** Prepares the next file, one step per turn. If the file is needed sooner, the writer finishes it at once. */
  #prepareSoon(): void {
    if (this.#preparing) return
    this.#preparing = true
    void this.#clock.nextTurn().then(() => {
      this.#preparing = false
      if (this.#ended) return
      try {
        if (this.#writer.prepare()) this.#prepareSoon()
      } catch (error) {
        this.#deliver(failure(error))
      }
    })
  }
}

interface InlineOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly start: JournalStart
  readonly sync: JournalSync
  /**
   * Whether this writer stays. Then the next file is prepared between commands, and syncs go on in the background. A
   * writer that a thread will soon replace has finished everything when `send` returns.
   */
  readonly lasts: boolean
}

/**
 * The writer on a thread of its own. Until that thread has started, which takes longer than the first appends should
 * wait, an inline writer does the work on the caller's thread.
 *
 * There is only one writer at any time. The inline writer executes each command before `send` returns, so none is in
 * flight when the thread reports that it is ready. Then the inline writer closes the files, and only after that the
 * thread is told where to begin.
 */
export class StartingBackend implements WriterBackend {
  readonly #thread: ThreadBackend
  #inline: InlineBackend | null

  constructor(options: Omit<InlineOptions, 'lasts'>, report: (report: WriterReport) => void) {
    this.#inline = new InlineBackend({ ...options, lasts: false }, report)
    this.#thread = new ThreadBackend(options.sync, report, () => {
      const inline = this.#inline
      if (inline === null) return
      this.#inline = null
      try {
        this.#thread.begin(inline.release())
      } catch (error) {
        report(failure(error))
      }
    })
  }

  get asynchronous(): boolean {
    return this.#inline === null
  }

  send(command: WriterCommand): void {
    if (this.#inline !== null) this.#inline.send(command)
    else this.#thread.send(command)
  }

  end(): Promise<void> {
    return this.#thread.end()
  }
}

/**
 * The writer on a thread of its own, which sleeps on a shared counter between commands.
 *
 * A group in shared memory is passed by reference. A group too large for shared memory is copied and transferred.
 */
export class ThreadBackend implements WriterBackend {
  readonly asynchronous = true
  readonly #worker: Worker
  readonly #port: MessageChannel['port1']
  readonly #signal = new Int32Array(new SharedArrayBuffer(4))
  /** Number of commands whose reports are awaited. */
  #awaited = 0
  #ended = false

  constructor(sync: JournalSync, report: (report: WriterReport) => void, ready: () => void) {
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    const setup: JournalThreadSetup = { port: port2, signal: this.#signal, sync }
    this.#worker = new Worker(journalThreadUrl, { workerData: setup, transferList: [port2] })
    // An idle journal does not keep the process alive; one with a command in flight does.
    this.#worker.unref()
    const deliver = (message: ThreadMessage): void => {
      if (this.#ended) return
      if (message.kind === 'ready') return ready()
      this.#awaited -= 1
      if (this.#awaited <= 0 || message.kind === 'failed') this.#port.unref()
      report(message)
    }
    const lost = (error: Error): void => {
      // The exit event may arrive before messages that the thread sent earlier: deliver those, then the failure.
      for (;;) {
        const said: { message: ThreadMessage } | undefined = receiveMessageOnPort(this.#port)
        if (said === undefined || this.#ended) break
        deliver(said.message)
      }
      deliver(failure(error))
      this.#ended = true
    }
    this.#port.on('message', deliver)
    this.#port.unref()
    this.#worker.on('error', lost)
    this.#worker.on('exit', (code) => lost(new Error(`the journal thread ended with code ${code}`)))
  }

  /** From here on the thread owns the journal. */
  begin(start: JournalStart): void {
    this.#port.postMessage({ kind: 'begin', start } satisfies ThreadCommand)
    this.#wake()
  }

  send(command: WriterCommand): void {
    if (command.kind !== 'recycle') {
      this.#awaited += 1
      this.#port.ref()
    }
    if (command.kind === 'write') this.#post(command)
    else this.#port.postMessage(command)
    this.#wake()
  }

  #wake(): void {
    Atomics.add(this.#signal, 0, 1)
    Atomics.notify(this.#signal, 0)
  }

  #post(command: WriterCommand & { readonly kind: 'write' }): void {
    const { group } = command
    if (group.buffer instanceof SharedArrayBuffer) return this.#port.postMessage(command)
    // Readers will see these bytes, and not those of the copy.
    const summed = completeSums(group, command.summed)
    const copy = Uint8Array.from(group)
    this.#port.postMessage({ ...command, group: copy, summed }, [copy.buffer])
  }

  async end(): Promise<void> {
    this.#ended = true
    this.#port.close()
    await this.#worker.terminate()
  }
}

/** The thread's worker data. */
export interface JournalThreadSetup {
  readonly port: MessageChannel['port2']
  /** Counts commands, so that the thread can sleep until the next one. */
  readonly signal: Int32Array<SharedArrayBuffer>
  readonly sync: JournalSync
}

const journalThreadUrl = new URL(`./journal-thread${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
