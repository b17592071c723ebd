import { partitionOfKey } from '../../base/murmur2.ts'

/**
 * A partitioner of one's own. `id` names the rule: a topic that was made with `partitioner: id` is only written with that
 * one. The bytes hold until `partition` returns.
 * @example { id: 'first-byte', partition: (key, partitions) => (key?.[0] ?? 0) % partitions }
 */
export interface ProducerPartitioner {
  readonly id: string
  /** A number below `partitions`; anything else is UNKNOWN_PARTITION. A null key is a record without one. */
  partition(
    key: Uint8Array | null,
    partitions: number,
    record: { readonly topic: string; readonly value: Uint8Array | null },
  ): number
}

/**
 * Chooses partitions as Kafka's producer does: murmur2 of the key, so that every client puts a key where it belongs;
 * without a key one partition until its batch is sent, then the next one, so that batches fill and partitions even out.
 */
export class Partitioner {
  #sticky = 0

  ofKey(bytes: Uint8Array, start: number, end: number, partitions: number): number {
    return partitionOfKey(bytes, start, end, partitions)
  }

  withoutKey(partitions: number): number {
    return this.#sticky % partitions
  }

  /** The partition's batch is sent: records without a key go elsewhere now. */
  batchSent(partition: number, partitions: number): void {
    if (this.#sticky % partitions === partition) this.#sticky = (partition + 1) % partitions
  }
}
