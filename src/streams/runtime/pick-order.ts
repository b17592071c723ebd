import { isBefore, type RecordQueue } from '../task/record-queue.ts'

/**
 * Which record the worker takes next: the smallest head over the inputs of all its tasks, by (clock, sequence, rank). A
 * binary heap of the inputs that have a head.
 *
 * - The clock of a record is its timestamp. What a sub-topology wrote for another one has an order stamp instead, so that
 *   it is read in the order in which it was written, by whichever tasks, wherever commits fell (see `OutputOrder`).
 * - Topic ordinal and partition are one number, the rank.
 * - Offset order within a partition never changes: only heads compete.
 * - Nothing is taken while an input is *hungry*, that is while its next record is known to be on the log and is not here.
 * - A sub-topology that reads an internal topic with nothing in it waits while a task upstream may still put something
 *   older there: because it has output that no commit has carried away, or an unread head that is smaller. Its heads are
 *   *parked* until the next commit or fetch, all of them, or its tasks would overtake each other; the others go on.
 * - Nobody waits for ever: the smallest head of all never waits for another, so some task goes on or a commit is due.
 *
 * Without this, one task pours 19 minutes of event time into a repartition partition before its neighbour starts, and
 * everything that the neighbour sends is late.
 *
 * Deliberately not in order: a topic of the user's that the application both writes and reads. Its records have no
 * stamps, because others read them too, and others may write there.
 */
export class PickOrder<Input extends PickInput> {
  readonly #heap: Input[] = []
  #parked: Input[] = []

  /** The input got a head, or stands anew in the order after having had none. */
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

  /** The input whose head is next, or null: every head is taken or parked. */
  top(): Input | null {
    for (;;) {
      const top = this.#heap[0]
      if (top === undefined) return null
      const { group } = top
      if (group === null) return top
      if (!group.parked && !mustWait(top)) return top
      group.parked = true
      this.#parked.push(top)
      this.#remove()
    }
  }

  /** The head of the top was taken: it finds its new place, or leaves if it has none. */
  moved(): void {
    const top = this.#heap[0]
    if (top === undefined) return
    if (top.queue.hasHead) this.#sink(top)
    else this.#remove()
  }

  /** After a commit or a fetch those that waited compete again. */
  unpark(): void {
    const parked = this.#parked
    if (parked.length === 0) return
    this.#parked = []
    for (const input of parked) {
      if (input.group !== null) input.group.parked = false
      this.push(input)
    }
  }

  /** Heads compete that nobody has asked for yet, such as those that a commit has just let go on. */
  get hasUntried(): boolean {
    return this.#heap.length > 0
  }

  get parkedCount(): number {
    return this.#parked.length
  }

  #remove(): void {
    const last = this.#heap.pop()
    if (last !== undefined && this.#heap.length > 0) this.#sink(last)
  }

  /** Puts `input` at the root and lets it sink. */
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

/** An input among those of all tasks. */
export interface PickInput {
  readonly queue: RecordQueue
  /** The inputs of a sub-topology wait together; null: they never have to. */
  readonly group: PickGroup | null
  /** Other topics that its sub-topology reads and others write. */
  readonly awaited: readonly AwaitedTopic[]
}

export interface PickGroup {
  /** Some of its heads are parked. */
  parked: boolean
}

/** A topic from which something older may still come, as long as none of its queues has a head. */
export interface AwaitedTopic {
  readonly queues: readonly RecordQueue[]
  /** All tasks whose output reaches it, at any distance. */
  readonly upstream: readonly PickTask[]
}

/** What the order asks of a task. */
export interface PickTask {
  readonly inputs: readonly { readonly queue: RecordQueue }[]
  readonly hasUncommittedOutput: boolean
}

/** Whether a task upstream may still put something older than this head into a topic that has nothing. */
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
