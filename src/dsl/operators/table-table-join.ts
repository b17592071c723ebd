import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { TableReader, TableRows } from './table-rows.ts'
import { undefinedResult } from './undefined-result.ts'

export type TableJoinType = 'inner' | 'left' | 'outer'

/** `(left, right, key)`, null for a side without a row where the type of the join allows it. */
export type Joiner = (left: unknown, right: unknown, key: unknown) => unknown

/** What two rows make together: null unless the type of the join wants a result from what is there. */
export function joinOf(node: string, type: TableJoinType, joiner: Joiner): Joiner {
  const needsLeft = type !== 'outer'
  const needsRight = type === 'inner'
  return (left, right, key) => {
    if ((left === null && (needsLeft || right === null)) || (right === null && needsRight)) return null
    const joined = joiner(left, right, key)
    if (joined === undefined) throw undefinedResult(node, 'joiner')
    return joined
  }
}

export interface TableJoinSideOptions {
  /** The rows of the other side. */
  readonly other: TableRows
  readonly isLeft: boolean
  readonly type: TableJoinType
  /** From {@link joinOf}. */
  readonly combine: Joiner
  readonly needsOld: boolean
}

/**
 * One side of a join of two tables: its changes meet the row of the other side and make a change of the result, with the
 * later timestamp of the two rows, which may be earlier than that of the result before.
 *
 * - The other side is seen as it was last forwarded, so each change takes back exactly what was given.
 * - Where the other side must have a row and has none, nothing leaves. Where it has one, a delete leaves as a tombstone
 *   even if there never was a result, as in Kafka.
 * - Outer sides stay silent about a row that was not there before and is not there now.
 */
export function tableJoinSideSupplier(options: TableJoinSideOptions): () => Processor {
  return () => new TableJoinSide(options)
}

class TableJoinSide implements Processor<unknown, Change<unknown>> {
  readonly #rows: TableRows
  readonly #isLeft: boolean
  readonly #needsOther: boolean
  readonly #needsOld: boolean
  readonly #combine: Joiner
  #context!: ProcessorContext
  #other!: TableReader

  constructor({ other, isLeft, type, combine, needsOld }: TableJoinSideOptions) {
    this.#rows = other
    this.#isLeft = isLeft
    this.#needsOther = type === 'inner' || (type === 'left' && !isLeft)
    this.#needsOld = needsOld
    this.#combine = combine
  }

  init(context: ProcessorContext): void {
    this.#context = context
    this.#other = this.#rows.open(context, 'forwarded')
  }

  process(key: unknown, change: Change<unknown>, timestamp: number): void {
    const other = this.#other.get(key)
    let time = timestamp
    if (other === null) {
      if (this.#needsOther || (change.newValue === null && change.oldValue === null)) return
    } else if (this.#other.timestamp > time) {
      time = this.#other.timestamp
    }
    const newValue = this.#joined(change.newValue, other, key)
    const oldValue = this.#needsOld ? this.#joined(change.oldValue, other, key) : null
    const joined: Change<unknown> = { newValue, oldValue }
    this.#context.forward(key, joined, time)
  }

  #joined(own: unknown, other: unknown, key: unknown): unknown {
    return this.#isLeft ? this.#combine(own, other, key) : this.#combine(other, own, key)
  }
}
