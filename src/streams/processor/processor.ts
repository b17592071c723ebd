import type { Header, TopicPartition } from '../../log/api/record.ts'

export type { Header }

/**
 * What a node of a topology does with records; operators of the DSL and users' own processors implement it alike. One
 * instance per task. Key and value stand as arguments, not as an object, because most nodes only pass them on; what is
 * left of the record (headers, origin) stands in the context.
 */
export interface Processor<KIn = unknown, VIn = unknown> {
  /** Called once per task, before the first record and after the stores are restored. */
  init?(context: ProcessorContext): void
  process(key: KIn, value: VIn, timestamp: number): void
  close?(): void
}

/** The world of a processor: where it forwards to, which record it is at, what time it is, which stores it has. */
export interface ProcessorContext {
  readonly applicationId: string
  /** `0_1`: sub-topology and partition. */
  readonly taskId: string
  readonly partition: number
  /** The node's own name. */
  readonly node: string
  /** Hands a record to every child, depth first, in the order in which they were added. */
  forward(key: unknown, value: unknown, timestamp: number): void
  /** Hands a record to the child of that name. */
  forwardTo(child: string, key: unknown, value: unknown, timestamp: number): void
  /** Headers of the record in process; what is forwarded carries them. Setting them changes what is forwarded from here. */
  headers: readonly Header[]
  /** Where the record in process came from; null in a punctuation. */
  readonly origin: RecordOrigin | null
  /** The task's stream time: highest timestamp taken so far, -1 before the first record. */
  readonly streamTime: number
  /** The wall clock as given to user code: read once per polled batch and recorded, so that a replay sees the same. */
  now(): number
  /** The store of this name; it must be connected to the node. */
  store<S>(name: string): S
  /**
   * Calls back each `intervalMs`: by stream time first with the first record, then at multiples of the interval, once
   * after a gap; by wall clock first one interval from now. A `startMs` anchors the schedule instead.
   */
  schedule(
    options: { readonly intervalMs: number; readonly by: 'streamTime' | 'wallClock'; readonly startMs?: number },
    callback: (time: number) => void,
  ): Cancellable
  /** Asks for a commit soon. */
  requestCommit(): void
  /** Counts a record that was dropped, with the reason as a word for the metrics. */
  dropped(reason: string): void
  /**
   * A small piece of state that is saved with each commit under the node's name and given back after a restart: stream
   * time of the operator, last closed window, buffer sequence.
   */
  restored(name: string): number | undefined
  saveAtCommit(name: string, read: () => number): void
}

export interface Cancellable {
  cancel(): void
}

/** Where the record in process lies in its topic. */
export interface RecordOrigin extends TopicPartition {
  readonly offset: number
}

/** Between table operators: the value now, and the value that was forwarded before. Undefined is never a value. */
export interface Change<V> {
  readonly newValue: V | null
  readonly oldValue: V | null
}
