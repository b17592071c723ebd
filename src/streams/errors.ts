import { CodedError } from '../base/coded-error.ts'

/**
 * Every way in which a stream application refuses a call or fails, and how the runtime reacts. `docs/errors.md` lists
 * the same codes; a test compares the two.
 */
export const streamsErrorCodes: { readonly [Code in StreamsErrorCode]: StreamsErrorKind } = {
  TOPOLOGY_INVALID: { action: 'refuse', description: 'The topology breaks a rule; nothing has run.' },
  NOT_COPARTITIONED: {
    action: 'refuse',
    description: 'Topics that are processed together differ in partitions, key codec or partitioner.',
  },
  CONFIG_INVALID: {
    action: 'refuse',
    description: 'There is no option of that name, or its value lies outside its bounds.',
  },
  TOPIC_MISSING: {
    action: 'refuse',
    description: 'A topic that is read does not exist and has no number of partitions.',
  },
  ASYNC_SCHEMA: { action: 'stop', description: 'A schema answers with a Promise.' },
  INVALID_RECORD: { action: 'stop', description: 'A record cannot be decoded or does not fit its schema.' },
  INVALID_TIMESTAMP: { action: 'stop', description: 'A timestamp is no whole number of milliseconds.' },
  PROCESSING_FAILED: { action: 'stop', description: 'User code of a node threw.' },
  UNDEFINED_RESULT: { action: 'stop', description: 'A mapper or aggregator returned undefined.' },
  PRODUCTION_FAILED: { action: 'stop', description: 'A result cannot be encoded or its topic does not take it.' },
  COMMIT_TOO_LARGE: { action: 'stop', description: 'What must be committed together exceeds 64 MiB.' },
  COMMIT_ABORTED: { action: 'rebuild', description: 'A commit did not become durable; tasks go back to the last one.' },
  STORE_MISMATCH: { action: 'refuse', description: 'A store was written with another codec, schema or shape.' },
  STORE_AHEAD: { action: 'rebuild', description: 'A store is ahead of its changelog; it is restored from it.' },
  STORE_UNKNOWN: { action: 'stop', description: 'A node asks for a store that is not connected to it.' },
  STORE_FAILED: { action: 'stop', description: 'A store could not be read or written.' },
  FENCED: { action: 'stop', description: 'Another instance of the application has taken over.' },
  INVALID_PHASE: { action: 'refuse', description: 'The call does not fit the phase of the application.' },
}

export interface StreamsErrorKind {
  /**
   * `refuse`: the call fails, nothing has changed. `stop`: the application stops, and nothing is half committed.
   * `rebuild`: the runtime restores its tasks and continues without help.
   */
  readonly action: 'refuse' | 'stop' | 'rebuild'
  readonly description: string
}

/** What a {@link StreamsError} can be; {@link streamsErrorCodes} says of each what it means. */
export type StreamsErrorCode =
  | 'TOPOLOGY_INVALID'
  | 'NOT_COPARTITIONED'
  | 'CONFIG_INVALID'
  | 'TOPIC_MISSING'
  | 'ASYNC_SCHEMA'
  | 'INVALID_RECORD'
  | 'INVALID_TIMESTAMP'
  | 'PROCESSING_FAILED'
  | 'UNDEFINED_RESULT'
  | 'PRODUCTION_FAILED'
  | 'COMMIT_TOO_LARGE'
  | 'COMMIT_ABORTED'
  | 'STORE_MISMATCH'
  | 'STORE_AHEAD'
  | 'STORE_UNKNOWN'
  | 'STORE_FAILED'
  | 'FENCED'
  | 'INVALID_PHASE'

/** An expected failure of a stream application: what happened, to what, and what to do. */
export class StreamsError extends CodedError<StreamsErrorCode> {
  override readonly name = 'StreamsError'

  /** What the runtime does about it. */
  get action(): StreamsErrorKind['action'] {
    return streamsErrorCodes[this.code].action
  }
}
