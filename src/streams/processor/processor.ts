import type { Header, TopicPartition } from '../../log/api/record.ts'

export type { Header }

/**
 * What a node of a topology does with records; operators of the DSL and users' own processors both implement it. There
 * is one instance per task. Key and value are arguments and not an object, because most nodes only pass them on; the
 * other parts of the record (headers, origin) are in the context.
 */
export interface Processor<KIn = unknown, VIn = unknown> {
  /** Called once per task, before the first record and after the stores are restored. */
  init?(context: ProcessorContext): void
  process(key: KIn, value: VIn, timestamp: number): void
  close?(): void
}

/** What a processor has access to: its children, the current record, the time, and its stores. */
export interface ProcessorContext {
  readonly applicationId: string
  /** `0_1`: sub-topology and partition. */
  readonly taskId: string
  readonly partition: number
  /** The node's own name. */
  readonly node: string
  /** Hands a record to every child, depth first, in the order in which they were added. */
  forward(key: unknown, value: unknown, timestamp: number): void
  /** Hands a record to the child with that name. */
  forwardTo(child: string, key: unknown, value: unknown, timestamp: number): void
  /**
   * Headers of the current record. Forwarded records have them too; setting them changes what is forwarded from then
   * on.
   */
  headers: readonly Header[]
  /** Where the current record came from; null in a punctuation. */
  readonly origin: RecordOrigin | null
  /** The task's stream time: the highest timestamp processed so far, -1 before the first record. */
  readonly streamTime: number
  /**
   * The wall clock for user code. It is read once per polled batch and recorded, so that a replay sees the same time.
   */
  now(): number
  /** The store of this name; it must be connected to the node. */
  store<S>(name: string): S
  /**
   * Calls back every `intervalMs`. By stream time, the first call comes with the first record, further ones at
   * multiples of the interval, and only one after a gap. By wall clock, the first call comes one interval from now.
   * `startMs` anchors the schedule instead.
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
   * A small piece of state that is saved with each commit under the node's name and returned after a restart, such as
   * the stream time of the operator or the last closed window.
   */
  restored(name: string): number | undefined
  saveAtCommit(name: string, read: () => number): void
}

export interface Cancellable {
  cancel(): void
}

/** Topic, partition and offset of the current record. */
export interface RecordOrigin extends TopicPartition {
  readonly offset: number
}

/**
 * What table operators pass to each other: the new value, and the value that was forwarded before. Undefined is never a
 * value.
 */
export interface Change<V> {
  readonly newValue: V | null
  readonly oldValue: V | null
}
