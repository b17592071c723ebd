import type { RecordQueue } from '../task/record-queue.ts'

/**
 * Which record the worker takes next: the smallest head over the inputs of all its tasks, by (timestamp, topic ordinal,
 * partition). A binary heap of the inputs that have a head; topic ordinal and partition are one number, the rank.
 *
 * - Offset order within a partition never changes: only heads compete.
 * - Nothing is taken while an input is *hungry*, that is while its next record is known to be on the log and is not here.
 * - A task that reads an empty internal partition waits while a task upstream may still put something older there:
 *   because it has output that no commit has carried away, or an unread head that is smaller. Its head is *parked* until
 *   the next commit or fetch; the others go on.
 *
 * Without this, one task pours 19 minutes of event time into a repartition partition before its neighbour starts, and
 * everything that the neighbour sends is late.
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
      if (top.task.upstream.length === 0 || !mustWait(top)) return top
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
    for (const input of parked) this.push(input)
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
  readonly task: PickTask
  readonly queue: RecordQueue
}

/** What the order asks of a task. */
export interface PickTask {
  readonly inputs: readonly { readonly queue: RecordQueue; readonly internal: boolean }[]
  /** Tasks whose outputs it may have to wait for. */
  readonly upstream: readonly PickTask[]
  readonly hasUncommittedOutput: boolean
}

function isBefore(left: RecordQueue, right: RecordQueue): boolean {
  return (
    left.headTimestamp < right.headTimestamp || (left.headTimestamp === right.headTimestamp && left.rank < right.rank)
  )
}

/** Whether a task upstream may still put something older than this head into an input of the task that is empty. */
function mustWait({ task, queue }: PickInput): boolean {
  if (!task.inputs.some((input) => input.internal && !input.queue.hasHead)) return false
  for (const upstream of task.upstream) {
    if (upstream.hasUncommittedOutput) return true
    for (const input of upstream.inputs) if (input.queue.hasHead && isBefore(input.queue, queue)) return true
  }
  return false
}
