import { LogError } from '../../api/errors.ts'
import type { StagedPartition } from '../../api/log.ts'
import type { OutgoingRecord, TopicPartition } from '../../api/record.ts'
import { BatchBuilder } from '../../format/batch-builder.ts'
import type { EntryDraft } from '../sequencer.ts'
import type { Partition } from '../topics/partition.ts'
import { OutputRuns, type CountedBatch, type RangeKind } from './output-runs.ts'

/**
 * The part of a commit that goes to one partition: batches being built, and the section of each record. Its first builder
 * keeps its memory from commit to commit; the others are shared with the other partitions. A batch is closed at
 * {@link batchBytesTarget}, so that readers can stop between two batches.
 */
export class StagedBatches implements StagedPartition {
  readonly at: TopicPartition
  readonly #partition: Partition
  readonly #stage: StageMemory
  readonly #builders: BatchBuilder[] = [new BatchBuilder({ initialBytes: 4096 })]
  readonly #runs = new OutputRuns()
  #builder: BatchBuilder
  /** The size at which a batch is closed. */
  #bytesMax: number
  #count = 0

  constructor(partition: Partition, stage: StageMemory) {
    this.at = partition.at
    this.#partition = partition
    this.#stage = stage
    this.#builder = this.#builders[0] as BatchBuilder
    this.#bytesMax = Math.min(batchBytesTarget, partition.topic.config.maxMessageBytes)
  }

  get partition(): Partition {
    return this.#partition
  }

  get count(): number {
    return this.#count
  }

  append(record: OutgoingRecord, section: number, kind: RangeKind): void {
    if (this.#builder.wouldExceed(record, this.#bytesMax)) this.#makeRoom(record)
    const builder = this.#builder
    const before = builder.count === 0 ? 0 : builder.bytes
    builder.append(record)
    this.#stage.bytes += builder.bytes - before
    this.#runs.add(this.#count, section, kind)
    this.#count += 1
  }

  #makeRoom(record: OutgoingRecord): void {
    if (this.#builder.count > 0) {
      this.#builder = this.#stage.spares.pop() ?? new BatchBuilder()
      this.#builders.push(this.#builder)
    }
    const { maxMessageBytes } = this.#partition.topic.config
    if (!this.#builder.wouldExceed(record, maxMessageBytes)) return
    const size = Math.max(0, record.keyEnd - record.keyStart) + Math.max(0, record.valueEnd - record.valueStart)
    throw new LogError(
      'MESSAGE_TOO_LARGE',
      `a record of ${size} bytes for ${this.#partition.name}; its topic takes batches of at most ${maxMessageBytes} bytes: send less or raise maxMessageBytes`,
      { at: this.at, size, maxMessageBytes },
    )
  }

  get bytes(): number {
    let bytes = 0
    for (const builder of this.#builders) if (builder.count > 0) bytes += builder.bytes
    return bytes
  }

  /**
   * Places every batch in the draft. The bytes stay in the builders until the entry has been copied; do not clear
   * before that.
   */
  placeIn(draft: EntryDraft): readonly CountedBatch[] {
    const placed: CountedBatch[] = []
    for (const builder of this.#builders) {
      if (builder.count === 0) continue
      const batch = draft.batch(this.#partition, builder.seal({ checksum: 'later' }))
      placed.push({ batch, count: builder.count })
    }
    return placed
  }

  get runs(): OutputRuns {
    return this.#runs
  }

  clear(): void {
    for (const builder of this.#builders) builder.reset()
    for (const builder of this.#builders.splice(1)) this.#spare(builder)
    this.#builder = this.#builders[0] as BatchBuilder
    this.#bytesMax = Math.min(batchBytesTarget, this.#partition.topic.config.maxMessageBytes)
    this.#count = 0
    this.#runs.clear()
  }

  #spare(builder: BatchBuilder): void {
    // Memory that an unusually large record or commit needed is not kept for ever.
    if (builder.capacity <= spareBytesMax && this.#stage.spares.length < sparesMax) this.#stage.spares.push(builder)
  }
}

/** What the partitions of a commit share. */
export interface StageMemory {
  /** The bytes of all records so far. */
  bytes: number
  /** Empty builders. */
  readonly spares: BatchBuilder[]
}

/**
 * Batches of a commit are closed at this size, which is large enough for speed and small enough for readers with a
 * limit.
 */
export const batchBytesTarget: number = 256 * 1024

const spareBytesMax = 2 * batchBytesTarget
/** As many as a worker's largest commit needs by default, twice. */
const sparesMax = 64
