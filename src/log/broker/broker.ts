import type {
  Bounds,
  Committer,
  EpochQuery,
  GroupOptions,
  Isolation,
  Membership,
  OffsetEntry,
  Position,
  Reader,
  TimeQuery,
} from '../api/log.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import type { TopicConfig, TopicInfo, TopicSpec } from '../api/topic.ts'
import type { RecordedSection, TaskId } from '../api/commit-section.ts'

/**
 * What a broker does with bytes: the embedded clients call it, and so will the wire server. One append path, one read
 * path, one commit path.
 */
export interface Broker {
  /**
   * Appends one finished record batch (v2, any base offset and leader epoch: both are stamped into `batch`, they lie
   * outside its checksum). The bytes are copied before `append` returns when {@link Broker.canAppend} is true; else the
   * append waits in line and the caller leaves them alone until the promise settles. Resolves when the batch is written
   * (synced under `sync: 'commit'`). Rejects with UNKNOWN_TOPIC, UNKNOWN_PARTITION, MESSAGE_TOO_LARGE, INVALID_RECORD,
   * CORRUPT_BATCH, WRITE_FAILED, DISK_FULL or CLOSED.
   */
  append(at: TopicPartition, batch: Uint8Array): Promise<AppendedBatch>
  /** Whether the bound on what is not yet in the segment files leaves room. */
  readonly canAppend: boolean
  /** Resolves when {@link Broker.canAppend} holds. */
  ready(): Promise<void>
  /** The one way to read: long poll over any number of partitions, fair between them. */
  openReader(options: { readonly isolation: Isolation }): Reader
  openCommitter(options: { readonly id: string }): Committer

  bounds(at: readonly TopicPartition[], isolation: Isolation): readonly Bounds[]
  /** Per query the first record with at least that timestamp; a partition without one gives its end offset. */
  offsetsForTime(at: readonly TimeQuery[]): readonly Position[]
  epochEnds(at: readonly EpochQuery[]): readonly Position[]
  purgeBefore(at: readonly Position[]): Promise<void>

  /** The topic, or undefined. Cheap: ask per send if you like. */
  topic(name: string): TopicInfo | undefined
  /** All topics, internal ones too, by name. */
  listTopics(): readonly TopicInfo[]
  /** TOPIC_EXISTS, INVALID_TOPIC or INVALID_CONFIG; all of them or none. */
  createTopics(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]>
  /** Creates what is missing; TOPIC_MISMATCH names both where partitions or codecs differ. */
  ensureTopics(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]>
  deleteTopic(name: string): Promise<void>
  alterTopicConfig(name: string, changes: Partial<TopicConfig>): Promise<TopicInfo>

  /** GROUP_IN_USE while another member is in. */
  joinGroup(options: GroupOptions): Membership
  /** FENCED unless `generation` is the group's, or -1 while the group has no member. Resolves when written. */
  commitOffsets(group: string, generation: number, offsets: readonly OffsetEntry[]): Promise<void>
  committedOffsets(group: string, at: readonly TopicPartition[]): readonly OffsetEntry[]
  /** Groups that have offsets or a member. */
  listGroups(): readonly string[]
  lastSections(group: string, tasks: readonly TaskId[]): readonly RecordedSection[]

  /** Resolves when all that was acknowledged is on the device; at once under `sync: 'commit'`. */
  sync(): Promise<void>
  close(): Promise<void>
}

export interface AppendedBatch {
  readonly baseOffset: Offset
  /** Offset of the batch's last record. */
  readonly lastOffset: Offset
  readonly leaderEpoch: number
}
