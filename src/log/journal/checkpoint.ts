import { Packr } from 'msgpackr'
import { crc32c } from '../../base/crc32c.ts'
import { LogError } from '../api/errors.ts'
import type { RecordedSection } from '../api/commit-section.ts'
import type { OffsetEntry } from '../api/log.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import { defaultTopicConfig, type TopicInfo } from '../api/topic.ts'

/**
 * All that is known to be in the files when every group up to `sequence` is applied and synced: recovery starts from it
 * and replays only what came after. Two copies are written in turn, so that a cut in one leaves the other.
 */
export interface CheckpointState {
  /** The last group whose entries are all in synced segment files. */
  readonly sequence: number
  readonly incarnation: number
  readonly topics: readonly TopicInfo[]
  readonly partitions: readonly PartitionState[]
  readonly offsets: readonly GroupOffsetState[]
  /** Groups that have or had members, as their newest records. Absent in checkpoints of before it was kept. */
  readonly groups?: readonly { readonly group: string; readonly record: Uint8Array }[]
  readonly sections: readonly SectionState[]
  /** What applications can be rewound to. Absent in checkpoints of before it was kept. */
  readonly rewinds?: readonly RewindState[]
  /** Transactional ids, and offsets of open transactions. Absent in checkpoints of before there were any. */
  readonly transactions?: readonly TransactionRecordState[]
  readonly transactionalOffsets?: readonly TransactionalOffsetsState[]
  /** Deletions whose entries lie below `sequence`, still to be carried out when both checkpoints know of them. */
  readonly deletions: readonly PendingDeletion[]
}

export interface PartitionState {
  readonly topicId: string
  readonly partition: number
  readonly logStart: Offset
  readonly end: Offset
  /** Per segment its base offset, valid bytes, and the time of its first and last append (wall clock, ms). */
  readonly segments: readonly SegmentState[]
  /** Leader epochs and where each starts in this partition, ascending. */
  readonly epochs: readonly { readonly epoch: number; readonly start: Offset }[]
  /** Absent where no producer with an id has written. */
  readonly producers?: readonly ProducerState[]
  /** Aborted transactions whose markers lie at or above the log start, in the markers' order. Absent: none. */
  readonly aborted?: readonly AbortedTransactionState[]
}

/** What a partition knows of a producer. */
export interface ProducerState {
  readonly producerId: number
  readonly producerEpoch: number
  /** Of the last marker; -1 before the first. */
  readonly coordinatorEpoch: number
  /** Wall-clock time of its last batch or marker here. */
  readonly usedAt: number
  /** Timestamp of the last marker; -1 before the first. */
  readonly markedAt: number
  /** First offset of its open transaction, or -1. */
  readonly transactionStart: Offset
  /** The last batches of this epoch, oldest first. */
  readonly batches: readonly RememberedBatch[]
}

/** A batch that is known again when it comes twice. */
export interface RememberedBatch {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly lastOffset: Offset
  /** From its first to its last offset. */
  readonly offsetDelta: number
  readonly timestamp: number
}

export interface AbortedTransactionState {
  readonly producerId: number
  readonly firstOffset: Offset
  readonly lastOffset: Offset
  readonly lastStableOffset: Offset
}

export interface SegmentState {
  readonly base: Offset
  readonly bytes: number
  readonly firstAppendAt: number
  readonly lastAppendAt: number
  readonly maxTimestamp: number
  /** Sum of the segment's bytes after compaction replaced it; absent while batches' own checksums serve. */
  readonly checksum?: number
  /**
   * Of a segment that compaction wrote: from here on it was not gone through, so that newer records of older ones' keys may
   * stand there. Absent where all of it was.
   */
  readonly dirtyFrom?: Offset
}

/** A transactional id, as the value of its record in `__transaction_state`. */
export interface TransactionRecordState {
  readonly transactionalId: string
  readonly record: Uint8Array
}

/** What one request of an open transaction brought to a group, without what later ones of it have replaced. */
export interface TransactionalOffsetsState {
  readonly producerId: number
  readonly group: string
  readonly entries: readonly OffsetEntry[]
  readonly committedAt: number
  /** Of the batch in `__consumer_offsets`. */
  readonly recordOffset: Offset
}

export interface GroupOffsetState {
  readonly group: string
  readonly at: TopicPartition
  readonly offset: Offset
  readonly leaderEpoch: number
  readonly metadata: string
  readonly committedAt: number
  /** Of its batch in `__consumer_offsets`. Absent in checkpoints of before it was kept. */
  readonly recordOffset?: Offset
}

export interface SectionState {
  readonly group: string
  readonly section: RecordedSection
}

/** One application's trail; `offsets` and `clocks` of its marks have an entry per place. */
export interface RewindState {
  readonly group: string
  /** Of `__millrace_commits`. */
  readonly partition: number
  readonly places: readonly {
    readonly topicId: string
    readonly partition: number
    readonly role: 'changelog' | 'input'
    readonly windows: WindowMarks
  }[]
  readonly latest: RewindMark
  readonly marks: readonly RewindMark[]
}

/** Where an application stood at one commit. */
export interface RewindMark {
  /** Wall-clock time of the commit, and of the one before it (-1: none). */
  at: number
  previousAt: number
  /** Of its record in `__millrace_commits`. */
  offset: Offset
  /** Bytes kept because of rewinding, from the application's first commit to this one. */
  bytes: number
  /** End of a changelog, position in an input. */
  readonly offsets: number[]
  /** The window store's clock at a changelog's end; -1 where there is none. */
  readonly clocks: number[]
}

/** Where a changelog ended when its window store's clock showed each of these. Ascending. */
export interface WindowMarks {
  readonly clocks: number[]
  readonly offsets: number[]
}

export interface PendingDeletion {
  readonly topicId: string
  readonly partition: number
  /** Segments to unlink; absent: the whole directory of a deleted topic. */
  readonly bases?: readonly Offset[]
}

/*
 * Layout of a checkpoint file, big-endian:
 *
 *   +0   8   "MRCHECKP"
 *   +8   u32 crc32c of all that follows
 *   +12  u32 format version, 1
 *   +16  u32 length of the body
 *   +20  i64 counter: how many checkpoints were written before it; the higher of two copies is the newer
 *   +28      the body: CheckpointState in msgpack
 *
 * Nothing follows the body.
 */
const checkpointMagic = Buffer.from('MRCHECKP')
const checkpointVersion = 1
const checkpointHeaderBytes = 28

// No shared structures: each file stands for itself.
const packr = new Packr({ useRecords: false })

export interface NumberedCheckpoint {
  readonly counter: number
  readonly state: CheckpointState
}

export function encodeCheckpoint(checkpoint: NumberedCheckpoint): Uint8Array {
  const body = packr.pack(checkpoint.state)
  const bytes = Buffer.alloc(checkpointHeaderBytes + body.length)
  bytes.set(checkpointMagic)
  bytes.writeUInt32BE(checkpointVersion, 12)
  bytes.writeUInt32BE(body.length, 16)
  bytes.writeBigInt64BE(BigInt(checkpoint.counter), 20)
  bytes.set(body, checkpointHeaderBytes)
  bytes.writeUInt32BE(crc32c(bytes, 12), 8)
  return bytes
}

/** The checkpoint in the bytes of a file; null if they are not one. A newer version's is NEWER_FORMAT. */
export function decodeCheckpoint(bytes: Buffer, path: string): NumberedCheckpoint | null {
  if (bytes.length < checkpointHeaderBytes || !bytes.subarray(0, 8).equals(checkpointMagic)) return null
  if (bytes.length !== checkpointHeaderBytes + bytes.readUInt32BE(16)) return null
  if (bytes.readUInt32BE(8) !== crc32c(bytes, 12)) return null
  const version = bytes.readUInt32BE(12)
  if (version > checkpointVersion) {
    throw new LogError(
      'NEWER_FORMAT',
      `${path} has format ${version}, this version reads up to ${checkpointVersion}: open the log with the newer millrace`,
      { path, version },
    )
  }
  if (version !== checkpointVersion) return null
  return new StoredCheckpoint(Number(bytes.readBigInt64BE(20)), bytes.subarray(checkpointHeaderBytes))
}

/** The body is read when somebody asks for it: of the older of two copies nobody does. */
class StoredCheckpoint implements NumberedCheckpoint {
  readonly counter: number
  readonly #body: Uint8Array
  #state: CheckpointState | null = null

  constructor(counter: number, body: Uint8Array) {
    this.counter = counter
    this.#body = body
  }

  get state(): CheckpointState {
    if (this.#state !== null) return this.#state
    const state = packr.unpack(this.#body) as CheckpointState
    // Options that were added later default.
    const topics = state.topics.map((topic) => ({ ...topic, config: { ...defaultTopicConfig, ...topic.config } }))
    return (this.#state = { ...state, topics })
  }
}
