export { type OpenLogOptions, openLog } from './open-log.ts'
export { EmbeddedLog } from './embedded-log.ts'
export { type AdoptOptions, type AdoptProgress, type AdoptReport, adoptDirectory } from './adopt/adopt-directory.ts'
export type { PartitionSize, ProducerState, TransactionState } from './broker/broker.ts'
export {
  type Finding,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyReport,
  verifyDirectory,
} from './verify/verify-directory.ts'
export type { Damage } from './broker/scrubber.ts'
export type { LogOptions, SyncMode } from './config.ts'
export { Admin, type TopicDescription } from './client/admin.ts'
export type { GroupDescription, GroupListing, GroupPartition, MemberDescription } from './broker/groups/group-admin.ts'
export type { GroupPhase } from './group/group-lifecycle.ts'
export type { GroupOffsetReset, MovedOffset } from './client/group-offset-reset.ts'
export { Consumer } from './client/consumer/consumer.ts'
export type {
  AssignorName,
  ConsumerOptions,
  ConsumerRecord,
  ListenOptions,
  PartitionLag,
  PollOptions,
  RebalanceListener,
  RecordBatch,
  RecordListenOptions,
} from './client/consumer/consumer-options.ts'
export { RetryTopics, type RetryTopicsOptions } from './client/retry/retry-topics.ts'
export type { OffsetReset, SeekTarget } from './client/offset-reset.ts'
export type { AssignorMember, GroupAssignor } from './api/assignor.ts'
export type { BytesRecord, ProducerOptions, TypedRecord } from './client/producer/producer-options.ts'
export { Producer } from './client/producer/producer.ts'
export type { ProducerPartitioner } from './client/producer/partitioner.ts'
export type { BytesIn, BytesOut } from './client/record-format.ts'
export { LogError, type LogErrorCode, logErrorCodes } from './api/errors.ts'
export type { GroupMetadata } from './api/group-metadata.ts'
export type {
  Bounds,
  Chunk,
  Committer,
  Isolation,
  Log,
  Membership,
  OffsetEntry,
  Placement,
  Position,
  Progress,
  Reader,
  Receipt,
  Sequenced,
  Staged,
  StagedPartition,
} from './api/log.ts'
export { decodeCommitRecord } from './api/commit-records.ts'
export type { CommitRecord, LastSection, OffsetRange, RecordedSection, TaskSection } from './api/commit-section.ts'
export type { Header, Offset, OutgoingRecord, RecordCursor, TopicPartition } from './api/record.ts'
export type { CleanupPolicy, TopicConfig, TopicInfo, TopicSpec } from './api/topic.ts'
export { partitionOfKey } from '../base/murmur2.ts'
