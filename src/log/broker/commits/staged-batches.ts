import { LogError } from '../../api/errors.ts'
import type { StagedPartition } from '../../api/log.ts'
import type { OutgoingRecord, TopicPartition } from '../../api/record.ts'
import { BatchBuilder } from '../../format/batch-builder.ts'
import type { EntryDraft } from '../sequencer.ts'
import type { Partition } from '../topics/partition.ts'
import { OutputRuns, type CountedBatch, type RangeKind } from './output-runs.ts'

/**
 * The part of a commit that goes to one partition: batches being built, and the section of each record. Its builders
 * keep their memory from commit to commit. A batch is closed at {@link batchBytesTarget}, so that readers can stop
 * between two batches.
 */
export class StagedBatches implements StagedPartition {
  readonly at: TopicPartition
  readonly #partition: Partition
  readonly #stage: StageBytes
  readonly #builders: BatchBuilder[] = [new BatchBuilder({ initialBytes: 4096 })]
  readonly #runs = new OutputRuns()
  #builder: BatchBuilder
  /** The size at which a batch is closed. */
  #bytesMax: number
  #active = 0
  #count = 0

  constructor(partition: Partition, stage: StageBytes) {
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
      this.#active += 1
      if (this.#active === this.#builders.length) this.#builders.push(new BatchBuilder())
      this.#builder = this.#builders[this.#active] as BatchBuilder
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
    // Memory that one unusually large commit needed is not kept for ever.
    if (this.#builders.length > buildersKept) this.#builders.length = buildersKept
    this.#builder = this.#builders[0] as BatchBuilder
    this.#bytesMax = Math.min(batchBytesTarget, this.#partition.topic.config.maxMessageBytes)
    this.#active = 0
    this.#count = 0
    this.#runs.clear()
  }
}

/** The running total over all partitions of a commit. */
export interface StageBytes {
  bytes: number
}

/**
 * Batches of a commit are closed at this size, which is large enough for speed and small enough for readers with a
 * limit.
 */
export const batchBytesTarget: number = 256 * 1024

const buildersKept = 4
