import { assert } from '../../../base/assert.ts'
import { ByteWriter } from '../../../base/bytes.ts'
import { transactionsTopic } from '../../api/internal-topics.ts'
import { outgoingRecord } from '../../api/record.ts'
import { BatchBuilder } from '../../format/batch-builder.ts'
import type { TransactionRecordState } from '../../journal/checkpoint.ts'
import {
  decodeTransactionValue,
  encodeTransactionKey,
  encodeTransactionValue,
  type TransactionState,
} from '../../transaction/transaction-topic.ts'
import { offsetsPartition } from '../groups/offset-records.ts'
import type { EntryDraft } from '../sequencer.ts'
import type { Catalog } from '../topics/catalog.ts'

/**
 * Writes the states of transactional ids: as records in `__transaction_state`, in the same entry as what they describe,
 * and as the current state when that entry is promoted. Checkpoints contain the current state, so that opening only
 * reads the records after the checkpoint.
 */
export class TransactionLog {
  readonly #catalog: Catalog
  readonly #promoted = new Map<string, TransactionState>()
  readonly #key = new ByteWriter()
  readonly #value = new ByteWriter()
  readonly #builder = new BatchBuilder({ initialBytes: 512 })
  readonly #record = outgoingRecord()

  constructor(catalog: Catalog, records: readonly TransactionRecordState[] = []) {
    this.#catalog = catalog
    for (const { transactionalId, record } of records) this.set(decodeTransactionValue(transactionalId, record))
  }

  set(state: TransactionState): void {
    this.#promoted.set(state.transactionalId, state)
  }

  delete(transactionalId: string): void {
    this.#promoted.delete(transactionalId)
  }

  states(): readonly TransactionState[] {
    return [...this.#promoted.values()]
  }

  /** The states in the form that a checkpoint keeps. */
  records(): readonly TransactionRecordState[] {
    return this.states().map((state) => {
      const value = new ByteWriter()
      encodeTransactionValue(value, state)
      return { transactionalId: state.transactionalId, record: value.toBytes() }
    })
  }

  /**
   * Adds a new state to the draft. Submit the draft within the same turn, because the memory of the batch is reused.
   */
  write(draft: EntryDraft, state: TransactionState): void {
    this.#value.clear()
    encodeTransactionValue(this.#value, state)
    this.#place(draft, state.transactionalId, this.#value.length)
    draft.also(() => this.set(state))
  }

  /** Adds a tombstone to the draft. */
  forget(draft: EntryDraft, transactionalId: string): void {
    this.#place(draft, transactionalId, -1)
    draft.also(() => this.delete(transactionalId))
  }

  #place(draft: EntryDraft, transactionalId: string, valueBytes: number): void {
    const record = this.#record
    this.#key.clear()
    encodeTransactionKey(this.#key, transactionalId)
    record.key = this.#key.bytes
    record.keyStart = 0
    record.keyEnd = this.#key.length
    record.value = this.#value.bytes
    record.valueStart = valueBytes < 0 ? -1 : 0
    record.valueEnd = valueBytes
    record.timestamp = draft.context.now
    this.#builder.reset()
    this.#builder.append(record)
    const topic = this.#catalog.topic(transactionsTopic)
    const partition = topic?.partitions[offsetsPartition(transactionalId, topic.partitions.length)]
    assert(partition !== undefined, `${transactionsTopic} is created together with the log`)
    draft.batch(partition, this.#builder.seal())
  }
}
