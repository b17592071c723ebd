import type { Header } from '../../log/api/record.ts'
import type { RecordContext } from '../store/record-context.ts'
import type { Cancellable, ProcessorContext, RecordOrigin } from './processor.ts'

/** What a record is handed to: an operator, a user's processor, or a sink. */
export interface Receiver {
  process(key: unknown, value: unknown, timestamp: number): void
}

/** A receiver under the name of its node. */
export interface Child {
  readonly name: string
  readonly receiver: Receiver
}

/** What a node's context requires of its task. */
export interface NodeHost {
  readonly applicationId: string
  readonly taskId: string
  readonly partition: number
  readonly streamTime: number
  now(): number
  store(node: string, name: string): unknown
  schedule(
    node: NodeContext,
    options: { readonly intervalMs: number; readonly by: 'streamTime' | 'wallClock'; readonly startMs?: number },
    callback: (time: number) => void,
  ): Cancellable
  requestCommit(): void
  dropped(node: string, reason: string): void
  restored(node: string, name: string): number | undefined
  saveAtCommit(node: string, name: string, read: () => number): void
  /**
   * Null: an error propagates and stops the application. Otherwise it is called for the innermost node; if it returns,
   * the record is dropped there and processing continues with that node's siblings.
   */
  readonly onProcessingError: ((error: unknown, node: string) => void) | null
}

/**
 * Connects a node with its children. `forward` is a direct call, depth first, in the order in which the children were
 * added. A child sees the headers as its parent left them; its own changes to them end with its call.
 */
export class NodeContext implements ProcessorContext {
  readonly node: string
  readonly #host: NodeHost
  readonly #record: RecordContext
  #children: readonly Child[] = []
  #receivers: readonly Receiver[] = []
  #only: Receiver | null = null
  #onlyName = ''

  constructor(node: string, host: NodeHost, record: RecordContext) {
    this.node = node
    this.#host = host
    this.#record = record
  }

  connect(children: readonly Child[]): void {
    const guarded = this.#host.onProcessingError === null ? children : children.map((child) => this.#guarded(child))
    this.#children = guarded
    this.#receivers = guarded.map((child) => child.receiver)
    const only = guarded.length === 1 ? guarded[0] : undefined
    this.#only = only?.receiver ?? null
    this.#onlyName = only?.name ?? ''
  }

  forward(key: unknown, value: unknown, timestamp: number): void {
    const record = this.#record
    const headers = record.headers
    const only = this.#only
    if (only !== null) {
      record.node = this.#onlyName
      only.process(key, value, timestamp)
      // The headers are usually unchanged, and storing them again would cost a write barrier of the garbage collector.
      if (record.headers !== headers) record.headers = headers
      record.node = this.node
      return
    }
    const receivers = this.#receivers
    for (let index = 0; index < receivers.length; index++) {
      record.node = (this.#children[index] as Child).name
      ;(receivers[index] as Receiver).process(key, value, timestamp)
      if (record.headers !== headers) record.headers = headers
    }
    record.node = this.node
  }

  forwardTo(name: string, key: unknown, value: unknown, timestamp: number): void {
    const record = this.#record
    const headers = record.headers
    const child = this.#children.find((one) => one.name === name)
    if (child === undefined) {
      const names = this.#children.map((one) => one.name).join(', ')
      throw new RangeError(`node ${this.node} has no child ${name}; it has ${names === '' ? 'none' : names}`)
    }
    record.node = name
    child.receiver.process(key, value, timestamp)
    record.headers = headers
    record.node = this.node
  }

  #guarded(child: Child): Child {
    const { name, receiver } = child
    const host = this.#host
    return {
      name,
      receiver: {
        process: (key, value, timestamp) => {
          try {
            receiver.process(key, value, timestamp)
          } catch (error) {
            host.onProcessingError?.(error, name)
          }
        },
      },
    }
  }

  get applicationId(): string {
    return this.#host.applicationId
  }

  get taskId(): string {
    return this.#host.taskId
  }

  get partition(): number {
    return this.#host.partition
  }

  get headers(): readonly Header[] {
    return this.#record.headers
  }

  set headers(headers: readonly Header[]) {
    this.#record.headers = headers
  }

  get origin(): RecordOrigin | null {
    const { input, offset } = this.#record
    return input === null ? null : { topic: input.topic, partition: input.partition, offset }
  }

  get streamTime(): number {
    return this.#host.streamTime
  }

  now(): number {
    return this.#host.now()
  }

  store<S>(name: string): S {
    return this.#host.store(this.node, name) as S
  }

  schedule(
    options: { readonly intervalMs: number; readonly by: 'streamTime' | 'wallClock'; readonly startMs?: number },
    callback: (time: number) => void,
  ): Cancellable {
    return this.#host.schedule(this, options, callback)
  }

  requestCommit(): void {
    this.#host.requestCommit()
  }

  dropped(reason: string): void {
    this.#host.dropped(this.node, reason)
  }

  restored(name: string): number | undefined {
    return this.#host.restored(this.node, name)
  }

  saveAtCommit(name: string, read: () => number): void {
    this.#host.saveAtCommit(this.node, name, read)
  }
}
