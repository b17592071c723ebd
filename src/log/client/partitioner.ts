import { partitionOfKey } from '../../base/murmur2.ts'

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
