import { isBefore, type RecordQueue } from '../task/record-queue.ts'

/**
 * Decides which record the worker takes next: the smallest head over the inputs of all its tasks, by (clock, sequence,
 * rank). It is a binary heap of the inputs that have a head.
 *
 * - The clock of a record is its timestamp. Records that one sub-topology writes for another have an order stamp
 *   instead, so that they are read in the order in which they were written, no matter which tasks wrote them and where
 *   commits fell (see `OutputOrder`).
 * - The rank combines the ordinal of the topic and the partition into one number.
 * - Offset order within a partition never changes: only heads are compared.
 * - Nothing is taken while an input is *hungry*, that is, while its next record is known to be in the log but is not
 *   fetched.
 * - A sub-topology that reads an internal topic whose queues are empty waits as long as a task upstream may still write
 *   something older to that topic, because that task has uncommitted output or an unread head that is smaller. All
 *   heads of the waiting sub-topology are *parked* until the next commit or fetch; if only some were, its tasks would
 *   overtake each other. Other sub-topologies continue.
 * - There is no deadlock: the smallest head of all never has to wait for another one, so either some task continues or
 *   a commit is due.
 *
 * Without this, one task could write 19 minutes of event time into a repartition partition before a task beside it
 * starts, and all records of the second task would be late.
 *
 * Deliberately not ordered this way: a user's topic that the application both writes and reads. Its records have no
 * stamps, because other programs may read and write it too.
 */
export class PickOrder<Input extends PickInput> {
  readonly #heap: Input[] = []
  #parked: Input[] = []

  /** Adds an input that has received a head. */
  push(input: Input): void {
    const heap = this.#heap
    let at = heap.push(input) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Input
      if (!isBefore(input.queue, above.queue)) break
      heap[at] = above
      at = parent
    }
    heap[at] = input
  }

  /** The input whose head is next; null if every head is taken or parked. */
  top(): Input | null {
    for (;;) {
      const top = this.#root
      if (top === null) return null
      const { group } = top
      if (group === null) return top
      if (!group.parked && !mustWait(top)) return top
      group.parked = true
      this.#parked.push(top)
      this.#remove()
    }
  }

  /** A read beyond the end of an array would make V8 discard the compiled loop when the first backlog ends. */
  get #root(): Input | null {
    return this.#heap.length === 0 ? null : (this.#heap[0] as Input)
  }

  /** Called after the head of the top was taken: moves the input to its new place, or removes it if it has no head. */
  moved(): void {
    const top = this.#root
    if (top === null) return
    if (top.queue.hasHead) this.#sink(top)
    else this.#remove()
  }

  /** Returns parked inputs to the heap, after a commit or a fetch. */
  unpark(): void {
    const parked = this.#parked
    if (parked.length === 0) return
    this.#parked = []
    for (const input of parked) {
      if (input.group !== null) input.group.parked = false
      this.push(input)
    }
  }

  /** Whether the heap contains heads that have not been tried yet, such as those that a commit has just unparked. */
  get hasUntried(): boolean {
    return this.#heap.length > 0
  }

  #remove(): void {
    const last = this.#heap.pop()
    if (last !== undefined && this.#heap.length > 0) this.#sink(last)
  }

  /** Puts `input` at the root and moves it down to its place. */
  #sink(input: Input): void {
    const heap = this.#heap
    const { length } = heap
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= length) break
      const right = child + 1
      if (right < length && isBefore((heap[right] as Input).queue, (heap[child] as Input).queue)) child = right
      const below = heap[child] as Input
      if (!isBefore(below.queue, input.queue)) break
      heap[at] = below
      at = child
    }
    heap[at] = input
  }
}

/** An input among those of all tasks of the worker. */
export interface PickInput {
  readonly queue: RecordQueue
  /** The inputs of a sub-topology wait together. Null if they never have to wait. */
  readonly group: PickGroup | null
  /** Other topics that the sub-topology reads and that tasks of the application write. */
  readonly awaited: readonly AwaitedTopic[]
}

export interface PickGroup {
  /** Whether some of its heads are parked. */
  parked: boolean
}

/** A topic from which an older record may still come, as long as none of its queues has a head. */
export interface AwaitedTopic {
  readonly queues: readonly RecordQueue[]
  /** All tasks whose output reaches the topic, directly or through others. */
  readonly upstream: readonly PickTask[]
}

/** What the pick order needs to know about a task. */
export interface PickTask {
  readonly inputs: readonly { readonly queue: RecordQueue }[]
  readonly hasUncommittedOutput: boolean
}

/** Whether a task upstream may still write something older than this head to a topic whose queues are empty. */
function mustWait({ awaited, queue }: PickInput): boolean {
  for (const { queues, upstream } of awaited) {
    if (queues.some((one) => one.hasHead)) continue
    for (const task of upstream) {
      if (task.hasUncommittedOutput) return true
      for (const input of task.inputs) if (input.queue.hasHead && isBefore(input.queue, queue)) return true
    }
  }
  return false
}
