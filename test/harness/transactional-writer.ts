import type { GroupMetadata } from '../../src/log/api/group-metadata.ts'
import type { Broker } from '../../src/log/broker/broker.ts'
import { BatchBuilder } from '../../src/log/format/batch-builder.ts'
import { recordOf, type RecordSpec } from './log-harness.ts'

/** A transactional producer as the broker sees one: numbered batches, sent by hand. */
export class TransactionalWriter {
  readonly transactionalId: string
  readonly #broker: Broker
  producerId = -1
  producerEpoch = -1
  readonly #sequences = new Map<string, number>()

  constructor(broker: Broker, transactionalId: string) {
    this.#broker = broker
    this.transactionalId = transactionalId
  }

  static async open(broker: Broker, transactionalId: string, timeoutMs = 60_000): Promise<TransactionalWriter> {
    const writer = new TransactionalWriter(broker, transactionalId)
    writer.#goOn(await broker.initProducer(transactionalId, timeoutMs))
    return writer
  }

  #goOn({ producerId, producerEpoch }: { readonly producerId: number; readonly producerEpoch: number }): void {
    this.producerId = producerId
    this.producerEpoch = producerEpoch
    this.#sequences.clear()
  }

  /** Appends one batch to the open transaction; returns where it went. */
  async write(topic: string, partition: number, values: readonly RecordSpec[]): Promise<number> {
    const place = `${topic}-${partition}`
    const baseSequence = this.#sequences.get(place) ?? 0
    this.#sequences.set(place, baseSequence + values.length)
    const { producerId, producerEpoch } = this
    const builder = new BatchBuilder()
    for (const value of values) builder.append(recordOf(value))
    const batch = builder.finish({ transactional: true, producerId, producerEpoch, baseSequence })
    return (await this.#broker.append({ topic, partition }, batch)).baseOffset
  }

  offset(topic: string, partition: number, offset: number, from: GroupMetadata): Promise<void> {
    const entry = { at: { topic, partition }, offset, leaderEpoch: -1, metadata: '' }
    return this.#broker.sendOffsetsToTransaction(this, [entry], from)
  }

  async end(outcome: 'commit' | 'abort'): Promise<void> {
    this.#goOn(await this.#broker.endTransaction(this.transactionalId, this, outcome))
  }
}

/** The metadata of a consumer that is not a member: its partitions are assigned by hand. */
export function outside(group: string): GroupMetadata {
  return { group, generation: -1, memberId: '', groupInstanceId: null }
}
