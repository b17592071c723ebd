import { LogError } from '../api/errors.ts'
import type { Offset, OutgoingRecord, TopicPartition } from '../api/record.ts'
import { BatchBuilder, recordBytesBound, type SealOptions } from '../format/batch-builder.ts'
import type { Compression } from '../format/compression.ts'

/**
 * Collects the records of one partition into the batch that goes next, with who waits for it. A sealed batch leaves with
 * its deliveries; the accumulator starts the next one in the same memory, or in a spare builder's if the batch has to keep
 * its own for a while.
 */
export class BatchAccumulator {
  readonly at: TopicPartition
  readonly #compression: Compression
  readonly #spares: BatchBuilder[]
  #builder = new BatchBuilder()
  #deliveries: Delivery[] = []
  #bytesTaken = 0
  /** Monotonic time of the first record, for linger and for the delivery timeout. */
  #since = 0

  /** `spares` are builders that nobody uses, shared with others: some are taken, none is added here. */
  constructor(at: TopicPartition, compression: Compression, spares: BatchBuilder[]) {
    this.at = at
    this.#compression = compression
    this.#spares = spares
  }

  get isEmpty(): boolean {
    return this.#builder.count === 0
  }

  get count(): number {
    return this.#builder.count
  }

  get since(): number {
    return this.#since
  }

  /** Whether the batch has no room for this record and must be sent first. A first record always has room. */
  mustSendBefore(record: OutgoingRecord, batchBytesMax: number): boolean {
    return this.#builder.count > 0 && this.#builder.wouldExceed(record, batchBytesMax)
  }

  /**
   * Copies the first record of a batch and returns what it counts against the producer's buffer. Throws MESSAGE_TOO_LARGE for
   * one that no batch of the topic can hold, INVALID_TIMESTAMP.
   */
  begin(record: OutgoingRecord, delivery: Delivery | null, limits: AddLimits): number {
    this.#builder.append(record)
    if (this.#builder.bytes > limits.maxMessageBytes) {
      const bytes = this.#builder.bytes
      this.#builder.reset()
      throw tooLarge(this.at, bytes, limits.maxMessageBytes)
    }
    this.#since = limits.now
    return this.#taken(record, delivery)
  }

  /** Copies a record that follows others. Throws INVALID_TIMESTAMP. */
  add(record: OutgoingRecord, delivery: Delivery | null): number {
    this.#builder.append(record)
    return this.#taken(record, delivery)
  }

  #taken(record: OutgoingRecord, delivery: Delivery | null): number {
    const bytes = recordBytesBound(record)
    this.#bytesTaken += bytes
    if (delivery !== null) {
      delivery.index = this.#builder.count - 1
      this.#deliveries.push(delivery)
    }
    return bytes
  }

  /**
   * Takes the batch, with its producer's numbers, and those who wait for it. With `kept` false the bytes are the accumulator's own: they hold until
   * the next `add`, so whoever takes them must copy before it returns. With `kept` they hold, and the builder that they
   * are in, if any, is the taker's to give back as a spare.
   */
  take(options: { readonly kept: boolean; readonly numbers: SealOptions }): SealedBatch {
    const builder = this.#builder
    const seal = { ...options.numbers, compression: this.#compression }
    // A builder that is mostly empty stays: where small batches wait in line, their builders must not.
    const leaves = options.kept && this.#compression === 'none' && builder.bytes * 2 >= builder.capacity
    const sealed: SealedBatch = {
      bytes: options.kept && !leaves ? builder.finish(seal) : builder.seal(seal),
      builder: leaves ? builder : null,
      count: builder.count,
      since: this.#since,
      deliveries: this.#deliveries,
      bytesTaken: this.#bytesTaken,
    }
    if (leaves) this.#builder = this.#spares.pop() ?? new BatchBuilder()
    else builder.reset()
    this.#deliveries = []
    this.#bytesTaken = 0
    return sealed
  }
}

/** Who waits for one record of a batch. */
export interface Delivery {
  /** The record's place in its batch. */
  index: number
  readonly timestamp: number
  readonly resolve: (sent: SentRecord) => void
  readonly reject: (error: unknown) => void
}

/** Where a record went. */
export interface SentRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  readonly timestamp: number
}

export interface AddLimits {
  readonly maxMessageBytes: number
  /** Monotonic. */
  readonly now: number
}

export interface SealedBatch {
  readonly bytes: Uint8Array
  /** Whose memory the bytes are, where the accumulator has given it up. */
  readonly builder: BatchBuilder | null
  readonly count: number
  /** When (monotonic) its first record was taken. */
  readonly since: number
  /** One per record that was sent; posted records have none. */
  readonly deliveries: readonly Delivery[]
  /** What the records count against the producer's buffer. */
  readonly bytesTaken: number
}

function tooLarge(at: TopicPartition, bytes: number, bytesMax: number): LogError {
  return new LogError(
    'MESSAGE_TOO_LARGE',
    `a record of ${bytes} bytes (with the header of its batch) for ${at.topic}-${at.partition}, at most ${bytesMax} are allowed: raise maxMessageBytes of the topic or send less`,
    { topic: at.topic, partition: at.partition, bytes, bytesMax },
  )
}
