import { Packr } from 'msgpackr'
import { crc32c } from '../../base/crc32c.ts'
import { LogError } from '../api/errors.ts'
import type { LastSection } from '../api/commit-section.ts'
import type { OffsetEntry } from '../api/log.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import { defaultTopicConfig, type TopicInfo } from '../api/topic.ts'

/**
 * Everything that the files hold when all groups up to `sequence` are applied and synced. Recovery starts from it and
 * replays only later groups. Two copies are written alternately, so that a crash while one is written leaves the other
 * intact.
 */
export interface CheckpointState {
  /** The last group whose entries are all in synced segment files. */
  readonly sequence: number
  readonly incarnation: number
  /**
   * Which journal it belongs to, and the last group that was durable in it. Under `sync: 'os'` that group may come
   * before `sequence`: the segments are synced, the journal is not. Absent in checkpoints written before it was added,
   * which assert that the journal is durable up to `sequence`.
   */
  readonly journal?: { readonly id: Uint8Array; readonly durable: number }
  readonly topics: readonly TopicInfo[]
  readonly partitions: readonly PartitionState[]
  readonly offsets: readonly GroupOffsetState[]
  /** Groups that have or had members, as their newest records. Absent in checkpoints written before it was added. */
  readonly groups?: readonly { readonly group: string; readonly record: Uint8Array }[]
  readonly sections: readonly SectionState[]
  /** The states that applications can be rewound to. Absent in checkpoints written before it was added. */
  readonly rewinds?: readonly RewindState[]
  /** Transactional ids, and offsets of open transactions. Absent in checkpoints written before transactions existed. */
  readonly transactions?: readonly TransactionRecordState[]
  readonly transactionalOffsets?: readonly TransactionalOffsetsState[]
  /** Deletions with entries up to `sequence`, which are carried out once both checkpoints contain them. */
  readonly deletions: readonly PendingDeletion[]
}

export interface PartitionState {
  readonly topicId: string
  readonly partition: number
  readonly logStart: Offset
  readonly end: Offset
  /** Base offset, valid bytes, and time of the first and last append (wall clock, ms) of each segment. */
  readonly segments: readonly SegmentState[]
  /** Leader epochs and where each starts in this partition, ascending. */
  readonly epochs: readonly { readonly epoch: number; readonly start: Offset }[]
  /** Absent if no producer with an id has written. */
  readonly producers?: readonly ProducerState[]
  /** Aborted transactions whose markers are at or above the log start, in the order of the markers. Absent if none. */
  readonly aborted?: readonly AbortedTransactionState[]
}

/** What a partition knows of a producer. */
export interface ProducerState {
  readonly producerId: number
  readonly producerEpoch: number
  /** Coordinator epoch of the last marker; -1 before the first. */
  readonly coordinatorEpoch: number
  /** Wall-clock time of the producer's last batch or marker in this partition. */
  readonly usedAt: number
  /** Timestamp of the last marker; -1 before the first. */
  readonly markedAt: number
  /** First offset of its open transaction, or -1. */
  readonly transactionStart: Offset
  /** The last batches of this epoch, oldest first. */
  readonly batches: readonly RememberedBatch[]
}

/** A batch that is remembered to recognize its duplicates. */
export interface RememberedBatch {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly lastOffset: Offset
  /** Last offset minus first offset. */
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
  /**
   * Checksum of the segment's bytes if compaction wrote it; absent otherwise, as the batches' own checksums suffice.
   */
  readonly checksum?: number
  /**
   * Only for a segment that compaction wrote: the offset from which the pass did not examine it, so that records from
   * there on may supersede older ones. Absent if the whole segment was examined.
   */
  readonly dirtyFrom?: Offset
}

/** A transactional id, as the value of its record in `__transaction_state`. */
export interface TransactionRecordState {
  readonly transactionalId: string
  readonly record: Uint8Array
}

/**
 * The offsets that one request of an open transaction wrote for a group, without those that later requests replaced.
 */
export interface TransactionalOffsetsState {
  readonly producerId: number
  readonly group: string
  readonly entries: readonly OffsetEntry[]
  readonly committedAt: number
  /** Offset of the batch in `__consumer_offsets`. */
  readonly recordOffset: Offset
}

export interface GroupOffsetState {
  readonly group: string
  readonly at: TopicPartition
  readonly offset: Offset
  readonly leaderEpoch: number
  readonly metadata: string
  readonly committedAt: number
  /** Offset of the batch in `__consumer_offsets`. Absent in checkpoints written before it was added. */
  readonly recordOffset?: Offset
}

export interface SectionState {
  readonly group: string
  readonly section: LastSection
}

/** The positions that one application can be rewound to. `offsets` and `clocks` of a mark have one entry per place. */
export interface RewindState {
  readonly group: string
  /** Partition of `__millrace_commits`. */
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

/** The positions of an application at one commit. */
export interface RewindMark {
  /** Wall-clock time of the commit, and of the one before it (-1: none). */
  at: number
  previousAt: number
  /** Offset of the commit's record in `__millrace_commits`. */
  offset: Offset
  /** Bytes retained for rewinding, from the application's first commit to this one. */
  bytes: number
  /** End offset of a changelog, or position in an input topic. */
  readonly offsets: number[]
  /** The window store's clock at the end of its changelog; -1 for a place without one. */
  readonly clocks: number[]
}

/** The end offset of a changelog at the moment its window store's clock reached each of these values. Ascending. */
export interface WindowMarks {
  readonly clocks: number[]
  readonly offsets: number[]
}

export interface PendingDeletion {
  readonly topicId: string
  readonly partition: number
  /** Base offsets of the segments to unlink; absent: the whole directory of a deleted topic's partition. */
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

// No shared structures: each file can be decoded without any other.
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

/** Decodes the bytes of a checkpoint file; null if they are not a valid checkpoint. A newer version is NEWER_FORMAT. */
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

/** Decodes the body on first use: the older of the two copies is usually not needed. */
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
    // Options that were added later get their defaults.
    const topics = state.topics.map((topic) => ({ ...topic, config: { ...defaultTopicConfig, ...topic.config } }))
    return (this.#state = { ...state, topics })
  }
}
