import { LogError } from '../../api/errors.ts'
import type { Offset, OutgoingRecord, TopicPartition } from '../../api/record.ts'
import { BatchBuilder, recordBytesBound, type SealOptions } from '../../format/batch-builder.ts'
import type { Compression } from '../../format/compression.ts'

/**
 * Collects the records of one partition for its next batch, with the callers that wait for them. A sealed batch takes
 * its deliveries along. The accumulator then starts the next batch in the same memory, or in a spare builder's if the
 * sealed batch has to keep its memory for a while.
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
  /** The largest batch that the topic takes. */
  #bytesMax = 0

  /** `spares` are unused builders shared with other accumulators: this one takes some, but returns none. */
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
   * Copies the first record of a batch, and returns the bytes that it takes in the producer's buffer. Throws
   * MESSAGE_TOO_LARGE for a record that exceeds any batch of the topic, INVALID_TIMESTAMP.
   */
  begin(record: OutgoingRecord, delivery: Delivery | null, limits: AddLimits): number {
    this.#builder.append(record)
    if (this.#builder.bytes > limits.maxMessageBytes) {
      const bytes = this.#builder.bytes
      this.#builder.reset()
      throw tooLarge(this.at, bytes, limits.maxMessageBytes)
    }
    this.#since = limits.now
    this.#bytesMax = limits.maxMessageBytes
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
   * Takes the batch, with its producer's numbers and its deliveries. With `kept` false, the bytes belong to the
   * accumulator and are valid until the next `add`, so the caller must copy them synchronously. With `kept` they stay
   * valid, and the caller returns their builder, if there is one, as a spare.
   */
  take(options: { readonly kept: boolean; readonly numbers: SealOptions }): SealedBatch {
    const builder = this.#builder
    // Compression makes random bytes a little larger, and the batch was filled without it.
    const seal: SealOptions = {
      ...options.numbers,
      compression: this.#compression,
      compressedBytesMax: this.#bytesMax,
      checksum: 'later',
    }
    // A mostly empty builder stays here, so that many small queued batches do not each hold a large buffer.
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

/** The caller that waits for one record of a batch. */
export interface Delivery {
  /** The record's place in its batch. */
  index: number
  readonly timestamp: number
  readonly resolve: (sent: SentRecord) => void
  readonly reject: (error: unknown) => void
}

/** The place of a record that was written. */
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
  /** The builder that owns the bytes, if the accumulator has given it up. */
  readonly builder: BatchBuilder | null
  readonly count: number
  /** When (monotonic) its first record was taken. */
  readonly since: number
  /** One per record that was sent; posted records have none. */
  readonly deliveries: readonly Delivery[]
  /** Bytes that the records take in the producer's buffer. */
  readonly bytesTaken: number
}

function tooLarge(at: TopicPartition, bytes: number, bytesMax: number): LogError {
  return new LogError(
    'MESSAGE_TOO_LARGE',
    `a record of ${bytes} bytes (with the header of its batch) for ${at.topic}-${at.partition}, at most ${bytesMax} are allowed: raise maxMessageBytes of the topic or send less`,
    { topic: at.topic, partition: at.partition, bytes, bytesMax },
  )
}
