import { Worker } from 'node:worker_threads'
import { reasonFor } from '../../../base/coded-error.ts'
import { LogError, type LogErrorCode } from '../../api/errors.ts'
import type { CheckpointState } from '../../journal/checkpoint.ts'
import type { WrittenGroup } from '../../journal/journal.ts'
import type { Applier, ApplierListener } from './applier.ts'
import { applierFailure, type ApplierOptions } from './inline-applier.ts'

export type ApplierCommand =
  | { readonly kind: 'apply'; readonly sequence: number; readonly memory: Uint8Array }
  | { readonly kind: 'checkpoint'; readonly id: number; readonly state: CheckpointState }
  | { readonly kind: 'close' }

export type ApplierReport =
  | { readonly kind: 'applied'; readonly sequence: number }
  | { readonly kind: 'failed'; readonly failure: ReportedFailure }
  | { readonly kind: 'checkpointed'; readonly id: number; readonly failure: ReportedFailure | null }
  | { readonly kind: 'closed'; readonly failure: ReportedFailure | null }

/** A {@link LogError} on its way between threads, which copy only plain data. */
export interface ReportedFailure {
  readonly code: LogErrorCode
  readonly reason: string
}

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: LogError) => void
}

/**
 * The applier in a thread of its own, on the machine's file system. A group in shared memory is passed by reference, as
 * it does not change before it is applied. A group too large for shared memory is copied and transferred. The queue is
 * bounded by the sequencer, which stops appending at its bound of unapplied bytes.
 */
export class ThreadedApplier implements Applier {
  readonly #listener: ApplierListener
  readonly #worker: Worker
  readonly #checkpoints = new Map<number, Waiting>()
  #nextCheckpoint = 0
  #closing: Waiting | null = null
  #closed: Promise<void> | null = null
  #failure: LogError | null = null

  constructor(options: Omit<ApplierOptions, 'disk'>, listener: ApplierListener) {
    this.#listener = listener
    const { directory, checkpointDirectory, topics, durable = [], producers = [], unsynced, openFilesMax } = options
    const workerData = {
      directory,
      checkpointDirectory,
      topics,
      durable,
      producers,
      ...(unsynced === undefined ? {} : { unsynced }),
      ...(openFilesMax === undefined ? {} : { openFilesMax }),
    }
    // The script is beside this file, both in the source tree and in the built one.
    const script = import.meta.url.endsWith('.ts') ? './applier-thread.ts' : './applier-thread.js'
    this.#worker = new Worker(new URL(script, import.meta.url), { workerData, name: 'millrace-applier' })
    this.#worker.on('message', (report: ApplierReport) => this.#take(report))
    this.#worker.on('error', (error) => this.#fail(applierFailure(error)))
    this.#worker.on('exit', () => this.#ended())
  }

  apply(group: WrittenGroup): void {
    if (this.#failure !== null || this.#closed !== null) return
    const { sequence, memory } = group
    if (memory.buffer instanceof SharedArrayBuffer) return this.#post({ kind: 'apply', sequence, memory })
    const copy = Uint8Array.from(memory)
    this.#worker.postMessage({ kind: 'apply', sequence, memory: copy } satisfies ApplierCommand, [copy.buffer])
  }

  checkpoint(state: CheckpointState): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    if (this.#closed !== null) return Promise.reject(new LogError('CLOSED', 'the log is closed'))
    const id = this.#nextCheckpoint++
    return new Promise((resolve, reject) => {
      this.#checkpoints.set(id, { resolve, reject })
      this.#post({ kind: 'checkpoint', id, state })
    })
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    try {
      if (this.#failure === null) {
        await new Promise<void>((resolve, reject) => {
          this.#closing = { resolve, reject }
          this.#post({ kind: 'close' })
        })
      }
    } finally {
      await this.#worker.terminate()
    }
  }

  #post(command: ApplierCommand): void {
    this.#worker.postMessage(command)
  }

  #take(report: ApplierReport): void {
    switch (report.kind) {
      case 'applied':
        if (this.#failure === null) this.#listener.applied(report.sequence)
        return
      case 'failed':
        this.#fail(errorOf(report.failure))
        return
      case 'checkpointed': {
        const waiting = this.#checkpoints.get(report.id)
        this.#checkpoints.delete(report.id)
        if (report.failure === null) waiting?.resolve()
        else waiting?.reject(this.#failure ?? errorOf(report.failure))
        return
      }
      case 'closed':
        if (report.failure === null) this.#closing?.resolve()
        else this.#closing?.reject(errorOf(report.failure))
        this.#closing = null
        return
    }
  }

  #ended(): void {
    if (this.#closed === null) this.#fail(applierFailure(new Error('the applier thread ended')))
    this.#closing?.reject(applierFailure(new Error('the applier thread ended')))
    this.#closing = null
  }

  #fail(error: LogError): void {
    if (this.#failure !== null) return
    this.#failure = error
    for (const waiting of this.#checkpoints.values()) waiting.reject(error)
    this.#checkpoints.clear()
    this.#closing?.reject(error)
    this.#closing = null
    this.#listener.failed(error)
  }
}

export function failureOf(thrown: unknown): ReportedFailure {
  const error = applierFailure(thrown)
  return { code: error.code, reason: reasonFor(error.code, error) }
}

function errorOf({ code, reason }: ReportedFailure): LogError {
  return new LogError(code, reason)
}
