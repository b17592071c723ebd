import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { TableReader, TableRows } from './table-rows.ts'
import { checkResult } from './undefined-result.ts'

export type TableJoinType = 'inner' | 'left' | 'outer'

/** Called as `(left, right, key)`, with null for a side without a row if the type of the join allows it. */
export type Joiner = (left: unknown, right: unknown, key: unknown) => unknown

/** The result of two rows, or null if this type of join has no result for them. */
export function joinOf(node: string, type: TableJoinType, joiner: Joiner): Joiner {
  const needsLeft = type !== 'outer'
  const needsRight = type === 'inner'
  return (left, right, key) => {
    if ((left === null && (needsLeft || right === null)) || (right === null && needsRight)) return null
    const joined = joiner(left, right, key)
    checkResult(joined, node, 'joiner')
    return joined
  }
}

export interface TableJoinSideOptions {
  /** The rows of the other side. */
  readonly other: TableRows
  readonly isLeft: boolean
  readonly type: TableJoinType
  /** The result of {@link joinOf}. */
  readonly combine: Joiner
  readonly needsOld: boolean
}

/**
 * One side of a join of two tables: its changes are joined with the row of the other side and become a change of the
 * result. Its timestamp is the later of the two rows, which may be earlier than that of the previous result.
 *
 * - The other side is read as it was last forwarded, so the old value of each change is exactly what was forwarded
 *   before.
 * - If the other side needs a row and has none, nothing is forwarded. If it has one, a delete is forwarded as a
 *   tombstone even if there never was a result, as in Kafka.
 * - Outer sides forward nothing for a row that was absent before and still is.
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
