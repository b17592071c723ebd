import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { TableReader, TableRows } from './table-rows.ts'
import { checkResult } from './undefined-result.ts'

export interface StreamTableJoinOptions {
  readonly node: string
  readonly rows: TableRows
  readonly joiner: (value: unknown, row: unknown, key: unknown, rowKey: unknown) => unknown
  /** In a left join, a record without a row is joined with null; in an inner join, it produces nothing. */
  readonly isLeft: boolean
  /** Returns the key of the row for a record, in joins with global tables; null if it is the record's own key. */
  readonly rowKey: ((value: unknown, key: unknown) => unknown) | null
}

/**
 * Joins each record of a stream with the current row of its key; changes of the table produce no results. Results have
 * the record's timestamp and headers.
 *
 * A null value is dropped and counted. So is a null row key, but a left join keeps such a record and joins it with
 * null.
 */
export function streamTableJoinSupplier(options: StreamTableJoinOptions): () => Processor {
  return () => new StreamTableJoin(options)
}

class StreamTableJoin implements Processor {
  readonly #options: StreamTableJoinOptions
  #context!: ProcessorContext
  #rows!: TableReader

  constructor(options: StreamTableJoinOptions) {
    this.#options = options
  }

  init(context: ProcessorContext): void {
    this.#context = context
    this.#rows = this.#options.rows.open(context, 'newest')
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    const { isLeft, rowKey, joiner, node } = this.#options
    if (value === null) {
      this.#context.dropped('null value')
      return
    }
    const wanted = rowKey === null ? key : rowKey(value, key)
    checkResult(wanted, node, 'key selector')
    if (wanted === null && !isLeft) {
      this.#context.dropped('null key')
      return
    }
    const row = wanted === null ? null : this.#rows.get(wanted)
    if (row === null && !isLeft) return
    const joined = joiner(value, row, key, wanted)
    checkResult(joined, node, 'joiner')
    this.#context.forward(key, joined, timestamp)
  }
}
