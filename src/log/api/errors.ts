import { CodedError } from '../../base/coded-error.ts'
import { shown } from '../../base/shown.ts'
import type { TopicPartition } from './record.ts'

/**
 * Every way in which the log refuses or fails. With `retriable`, the same call may succeed later. With `fatal`, the log
 * accepts no further writes until it is opened again. `docs/errors.md` lists all of them; a test checks that both
 * agree.
 */
export const logErrorCodes: { readonly [Code in LogErrorCode]: LogErrorKind } = {
  UNKNOWN_TOPIC: { retriable: false, fatal: false, description: 'The topic does not exist.' },
  UNKNOWN_PARTITION: { retriable: false, fatal: false, description: 'The topic has fewer partitions.' },
  TOPIC_EXISTS: { retriable: false, fatal: false, description: 'A topic of that name exists already.' },
  TOPIC_MISMATCH: {
    retriable: false,
    fatal: false,
    description: 'The topic exists with other partitions, codecs or partitioner.',
  },
  INVALID_TOPIC: { retriable: false, fatal: false, description: 'The topic name is not allowed.' },
  INVALID_CONFIG: {
    retriable: false,
    fatal: false,
    description: 'There is no option of that name, or its value lies outside its bounds.',
  },
  INVALID_RECORD: { retriable: false, fatal: false, description: 'The record or batch breaks a rule of its topic.' },
  PARTITIONER_FAILED: { retriable: false, fatal: false, description: 'The given partitioner threw.' },
  INVALID_TIMESTAMP: {
    retriable: false,
    fatal: false,
    description: "The timestamp is negative, not an integer, or too far from the log's clock.",
  },
  POLICY_VIOLATION: {
    retriable: false,
    fatal: false,
    description: 'The topic is only compacted: records are removed by key, not by offset.',
  },
  MESSAGE_TOO_LARGE: { retriable: false, fatal: false, description: 'The record exceeds maxMessageBytes.' },
  COMMIT_TOO_LARGE: { retriable: false, fatal: false, description: 'One commit exceeds 64 MiB.' },
  UNSUPPORTED_COMPRESSION: { retriable: false, fatal: false, description: 'The codec of the batch is not known.' },
  CORRUPT_BATCH: { retriable: false, fatal: false, description: 'Stored bytes do not match their checksum or layout.' },
  OFFSET_OUT_OF_RANGE: {
    retriable: false,
    fatal: false,
    description: 'The offset lies before the log start or beyond its end.',
  },
  NO_OFFSET: {
    retriable: false,
    fatal: false,
    description: 'No committed offset, and autoOffsetReset is none.',
  },
  OUT_OF_ORDER_SEQUENCE: {
    retriable: false,
    fatal: false,
    description: 'A batch of the producer is missing before this one.',
  },
  INVALID_PRODUCER_EPOCH: {
    retriable: false,
    fatal: false,
    description: 'A newer epoch of the producer has written: this one was replaced or its transaction ended.',
  },
  INVALID_PRODUCER_ID_MAPPING: {
    retriable: false,
    fatal: false,
    description: 'The producer id does not belong to the transactional id, or the id has expired.',
  },
  PRODUCER_FENCED: {
    retriable: false,
    fatal: false,
    description: 'Another producer has taken over the transactional id, or the admin aborted it.',
  },
  UNSTABLE_OFFSET_COMMIT: {
    retriable: true,
    fatal: false,
    description: 'An open transaction may still move the committed offset.',
  },
  INVALID_TXN_STATE: {
    retriable: false,
    fatal: false,
    description: 'The transaction is not in a state that allows this.',
  },
  INVALID_TRANSACTION_TIMEOUT: {
    retriable: false,
    fatal: false,
    description: 'The transaction timeout lies outside its bounds.',
  },
  TRANSACTION_COORDINATOR_FENCED: {
    retriable: false,
    fatal: false,
    description: 'A marker comes from an older coordinator than one before it.',
  },
  TRANSACTIONAL_ID_NOT_FOUND: {
    retriable: false,
    fatal: false,
    description: 'No producer with that transactional id is known.',
  },
  FENCED: { retriable: false, fatal: false, description: 'A newer committer or member of the same id has taken over.' },
  ABORTED: {
    retriable: true,
    fatal: false,
    description: 'Sequenced records did not become durable; restore and repeat.',
  },
  OUTCOME_UNKNOWN: { retriable: false, fatal: false, description: 'The commit may or may not have happened.' },
  GROUP_IN_USE: { retriable: true, fatal: false, description: 'The group has a member already.' },
  INVALID_GROUP_ID: { retriable: false, fatal: false, description: "The group's name is empty or too long." },
  UNKNOWN_MEMBER_ID: { retriable: false, fatal: false, description: 'The group does not know the member (any more).' },
  ILLEGAL_GENERATION: {
    retriable: false,
    fatal: false,
    description: 'The generation of the group differs from that of the member.',
  },
  FENCED_INSTANCE_ID: {
    retriable: false,
    fatal: false,
    description: 'Another member has joined under the same group instance id.',
  },
  MEMBER_ID_REQUIRED: {
    retriable: true,
    fatal: false,
    description: 'The group gave the member an id, with which it has to join.',
  },
  REBALANCE_IN_PROGRESS: {
    retriable: true,
    fatal: false,
    description: 'The group is about to assign its partitions anew.',
  },
  INCONSISTENT_GROUP_PROTOCOL: {
    retriable: false,
    fatal: false,
    description: 'The member has no assignor in common with the rest of the group.',
  },
  INVALID_ASSIGNMENT: {
    retriable: false,
    fatal: false,
    description: 'An assignor gave a partition twice, or to a member that does not read it.',
  },
  INVALID_SESSION_TIMEOUT: {
    retriable: false,
    fatal: false,
    description: "The session timeout lies outside the log's bounds.",
  },
  GROUP_MAX_SIZE_REACHED: {
    retriable: false,
    fatal: false,
    description: 'The group has as many members as it may have.',
  },
  NON_EMPTY_GROUP: { retriable: false, fatal: false, description: 'The group has members.' },
  GROUP_ID_NOT_FOUND: { retriable: false, fatal: false, description: 'There is no such group.' },
  GROUP_SUBSCRIBED_TO_TOPIC: { retriable: false, fatal: false, description: 'Members of the group read the topic.' },
  CLOSED: { retriable: false, fatal: false, description: 'The log or client is closed.' },
  TIMEOUT: { retriable: true, fatal: false, description: 'The time allowed has passed.' },
  BUFFER_EXHAUSTED: { retriable: true, fatal: false, description: 'More records wait than the buffer may hold.' },
  DIRECTORY_IN_USE: { retriable: true, fatal: false, description: 'Another process has the data directory open.' },
  FOREIGN_DIRECTORY: { retriable: false, fatal: false, description: 'The directory was not written by millrace.' },
  UNSUPPORTED_NODE: { retriable: false, fatal: false, description: 'The version of Node is too old.' },
  NOT_WRITABLE: {
    retriable: false,
    fatal: false,
    description: 'The data directory is read-only, or the rights are missing.',
  },
  NEWER_FORMAT: {
    retriable: false,
    fatal: false,
    description: 'A newer version of millrace, or of Kafka, wrote the directory.',
  },
  JOURNAL_MISSING: { retriable: false, fatal: false, description: 'There are topics, but their journal is missing.' },
  JOURNAL_GAP: { retriable: false, fatal: false, description: 'A journal file in the middle is missing.' },
  JOURNAL_ROT: {
    retriable: false,
    fatal: false,
    description: 'Durable bytes of the journal have changed on the disk.',
  },
  CHECKPOINT_ROT: { retriable: false, fatal: false, description: 'Both copies of the checkpoint are unreadable.' },
  DISK_FULL: { retriable: false, fatal: true, description: 'The disk is full: nothing more is written.' },
  WRITE_FAILED: { retriable: false, fatal: true, description: 'A write or sync failed: nothing more is written.' },
  READ_FAILED: { retriable: true, fatal: false, description: 'A read failed.' },
}

export interface LogErrorKind {
  readonly retriable: boolean
  readonly fatal: boolean
  readonly description: string
}

/** The codes of a {@link LogError}; {@link logErrorCodes} has the meaning of each, and whether a retry can help. */
export type LogErrorCode =
  | 'UNKNOWN_TOPIC'
  | 'UNKNOWN_PARTITION'
  | 'TOPIC_EXISTS'
  | 'TOPIC_MISMATCH'
  | 'INVALID_TOPIC'
  | 'INVALID_CONFIG'
  | 'INVALID_RECORD'
  | 'PARTITIONER_FAILED'
  | 'INVALID_TIMESTAMP'
  | 'POLICY_VIOLATION'
  | 'MESSAGE_TOO_LARGE'
  | 'COMMIT_TOO_LARGE'
  | 'UNSUPPORTED_COMPRESSION'
  | 'CORRUPT_BATCH'
  | 'OFFSET_OUT_OF_RANGE'
  | 'NO_OFFSET'
  | 'OUT_OF_ORDER_SEQUENCE'
  | 'INVALID_PRODUCER_EPOCH'
  | 'INVALID_PRODUCER_ID_MAPPING'
  | 'PRODUCER_FENCED'
  | 'UNSTABLE_OFFSET_COMMIT'
  | 'INVALID_TXN_STATE'
  | 'INVALID_TRANSACTION_TIMEOUT'
  | 'TRANSACTION_COORDINATOR_FENCED'
  | 'TRANSACTIONAL_ID_NOT_FOUND'
  | 'FENCED'
  | 'ABORTED'
  | 'OUTCOME_UNKNOWN'
  | 'GROUP_IN_USE'
  | 'INVALID_GROUP_ID'
  | 'UNKNOWN_MEMBER_ID'
  | 'ILLEGAL_GENERATION'
  | 'FENCED_INSTANCE_ID'
  | 'MEMBER_ID_REQUIRED'
  | 'REBALANCE_IN_PROGRESS'
  | 'INCONSISTENT_GROUP_PROTOCOL'
  | 'INVALID_ASSIGNMENT'
  | 'INVALID_SESSION_TIMEOUT'
  | 'GROUP_MAX_SIZE_REACHED'
  | 'NON_EMPTY_GROUP'
  | 'GROUP_ID_NOT_FOUND'
  | 'GROUP_SUBSCRIBED_TO_TOPIC'
  | 'CLOSED'
  | 'TIMEOUT'
  | 'BUFFER_EXHAUSTED'
  | 'DIRECTORY_IN_USE'
  | 'FOREIGN_DIRECTORY'
  | 'UNSUPPORTED_NODE'
  | 'NOT_WRITABLE'
  | 'NEWER_FORMAT'
  | 'JOURNAL_MISSING'
  | 'JOURNAL_GAP'
  | 'JOURNAL_ROT'
  | 'CHECKPOINT_ROT'
  | 'DISK_FULL'
  | 'WRITE_FAILED'
  | 'READ_FAILED'

/** An expected failure of the log: what happened, to what, and what to do. */
export class LogError extends CodedError<LogErrorCode> {
  override readonly name = 'LogError'

  /** Whether the same call may succeed later. */
  get retriable(): boolean {
    return logErrorCodes[this.code].retriable
  }

  /** Whether the log accepts no further writes until it is opened again. */
  get fatal(): boolean {
    return logErrorCodes[this.code].fatal
  }
}

/** The error for a topic that does not exist; `otherwise` is another remedy than creating it. */
export function unknownTopic(topic: string, otherwise = 'correct the name'): LogError {
  const remedy = `create it first, with log.admin.ensureTopics, or ${otherwise}`
  return new LogError('UNKNOWN_TOPIC', `topic ${shown(topic)} does not exist: ${remedy}`, { topic })
}

/** The error for a partition that the topic does not have. */
export function unknownPartition({ topic, partition }: TopicPartition, partitions: number): LogError {
  const has = partitions === 1 ? 'partition 0 alone' : `partitions 0 to ${partitions - 1}`
  return new LogError('UNKNOWN_PARTITION', `topic ${topic} has ${has}, not ${shown(partition)}`, { topic, partition })
}
