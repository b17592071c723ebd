import type { OptionNames } from '../base/option-names.ts'
import { shown } from '../base/shown.ts'
import { checkOptions } from './api/checked-options.ts'
import { LogError } from './api/errors.ts'

/** Options of `openLog`; all but `dataDir` have defaults. */
export interface LogOptions extends Partial<LogNumbers> {
  /** The directory of the log. It is created if it does not exist. Kafka: `log.dirs`. */
  readonly dataDir: string
  /**
   * `commit` (default): data is synced before it is acknowledged, and survives a power loss. `os`: it survives a crash
   * of the process, but a power loss may undo what was acknowledged since the last checkpoint. Kafka: `flush.messages`
   * 1, or none.
   */
  readonly sync?: SyncMode
  /** Whether the journal writer and the applier run in threads of their own. Default true. */
  readonly threads?: boolean
}

/** What an acknowledgement means: `commit`, synced to the device; `os`, handed to the operating system. */
export type SyncMode = 'commit' | 'os'

/** {@link LogOptions}, checked and complete. */
export interface LogConfig extends LogNumbers {
  readonly dataDir: string
  readonly sync: SyncMode
  readonly threads: boolean
}

/** The options that are numbers; {@link logNumbers} contains the default, unit, bounds and meaning of each. */
export interface LogNumbers {
  readonly segmentBytes: number
  readonly segmentMs: number
  readonly maxMessageBytes: number
  readonly commitBytesMax: number
  readonly journalFileBytesMin: number
  readonly journalFileBytesMax: number
  readonly checkpointIntervalMs: number
  readonly checkpointBytes: number
  readonly checkpointEveryCommits: number
  readonly unappliedBytesMax: number
  readonly recentBytesMax: number
  readonly retentionCheckIntervalMs: number
  readonly compactionIntervalMs: number
  readonly scrubBytesPerSecond: number
  readonly scrubIntervalMs: number
  readonly rewindRetentionMs: number
  readonly rewindRetentionBytes: number
  readonly offsetsRetentionMs: number
  readonly offsetsRetentionCheckIntervalMs: number
  readonly groupInitialRebalanceDelayMs: number
  readonly groupSessionTimeoutMsMin: number
  readonly groupSessionTimeoutMsMax: number
  readonly groupMembersMax: number
  readonly transactionTimeoutMaxMs: number
  readonly transactionCheckIntervalMs: number
  readonly transactionalIdExpirationMs: number
  readonly producerIdExpirationMs: number
  readonly pipelineDepth: number
  readonly commitMinIntervalMs: number
}

export interface NumberOption {
  readonly default: number
  readonly unit: 'bytes' | 'ms' | 'commits' | 'count'
  readonly min: number
  readonly max: number
  /** Kafka's name of the option, or null if it has none. */
  readonly kafka: string | null
  readonly description: string
}

const kib = 1024
const mib = 1024 * kib
const gib = 1024 * mib
const day = 24 * 3_600_000
const never = 2 ** 53 - 1
/** The longest timer that Node supports: 24 days. */
const timerMax = 2 ** 31 - 1

/** Every number of the configuration. `docs/config.md` lists them. */
export const logNumbers: { readonly [Name in keyof LogNumbers]: NumberOption } = {
  segmentBytes: {
    default: gib,
    unit: 'bytes',
    min: kib,
    max: 2 ** 31 - 1,
    kafka: 'log.segment.bytes',
    description: 'Size at which a topic that does not say otherwise starts a new segment.',
  },
  segmentMs: {
    default: 7 * day,
    unit: 'ms',
    min: 1,
    max: never,
    kafka: 'log.roll.ms',
    description: 'How long after its first append a segment is closed, for topics that do not say otherwise.',
  },
  maxMessageBytes: {
    default: 1_048_588,
    unit: 'bytes',
    min: kib,
    max: 32 * mib,
    kafka: 'message.max.bytes',
    description: 'Largest batch of topics that do not say otherwise.',
  },
  commitBytesMax: {
    default: 64 * mib,
    unit: 'bytes',
    min: 64 * kib,
    max: 64 * mib,
    kafka: null,
    description: 'Largest commit of a worker over all partitions; beyond it COMMIT_TOO_LARGE.',
  },
  journalFileBytesMin: {
    default: mib,
    unit: 'bytes',
    min: 16 * kib,
    max: gib,
    kafka: null,
    description: 'Size of the first journal file; prepared ones double from there.',
  },
  journalFileBytesMax: {
    default: 32 * mib,
    unit: 'bytes',
    min: 16 * kib,
    max: gib,
    kafka: null,
    description: 'Size at which journal files stop doubling.',
  },
  checkpointIntervalMs: {
    default: 30_000,
    unit: 'ms',
    min: 1,
    max: timerMax,
    kafka: null,
    description: 'Time after which a checkpoint is due if anything was appended.',
  },
  checkpointBytes: {
    default: 64 * mib,
    unit: 'bytes',
    min: kib,
    max: never,
    kafka: null,
    description:
      'Bytes of journal after which a checkpoint is due; up to four times as many where there are thousands of partitions.',
  },
  checkpointEveryCommits: {
    default: 0,
    unit: 'commits',
    min: 0,
    max: never,
    kafka: null,
    description: 'Groups of the journal after which a checkpoint is due; 0: only by time and bytes. For tests.',
  },
  unappliedBytesMax: {
    default: 32 * mib,
    unit: 'bytes',
    min: 64 * kib,
    max: 4 * gib,
    kafka: null,
    description:
      'Appended bytes that may be missing from the segment files; beyond this, appends, offset commits and transactions wait.',
  },
  recentBytesMax: {
    default: 16 * mib,
    unit: 'bytes',
    min: 0,
    max: 4 * gib,
    kafka: null,
    description:
      'Memory of batches that are kept for readers at the tail, although the segment files have them already.',
  },
  retentionCheckIntervalMs: {
    default: 300_000,
    unit: 'ms',
    min: 1,
    max: timerMax,
    kafka: 'log.retention.check.interval.ms',
    description: 'How often retention is enforced.',
  },
  compactionIntervalMs: {
    default: 15_000,
    unit: 'ms',
    min: 1,
    max: timerMax,
    kafka: 'log.cleaner.backoff.ms',
    description: 'How often compaction looks for a partition that is dirty enough.',
  },
  scrubBytesPerSecond: {
    default: mib,
    unit: 'bytes',
    min: 0,
    max: gib,
    kafka: null,
    description: 'How fast closed segments are reread in the background to find rot; 0: never.',
  },
  scrubIntervalMs: {
    default: 7 * day,
    unit: 'ms',
    min: 1000,
    max: never,
    kafka: null,
    description: 'Time from the start of one such pass to the start of the next.',
  },
  rewindRetentionMs: {
    default: day,
    unit: 'ms',
    min: 0,
    max: never,
    kafka: null,
    description: 'How long an application can be rewound to a commit; what that requires is kept until then.',
  },
  rewindRetentionBytes: {
    default: 10 * gib,
    unit: 'bytes',
    min: 0,
    max: never,
    kafka: null,
    description:
      'Bytes of changelogs, repartition topics and recorded commits that are kept for rewinding, per application.',
  },
  offsetsRetentionMs: {
    default: 7 * day,
    unit: 'ms',
    min: 1,
    max: never,
    kafka: 'offsets.retention.minutes',
    description: 'How long the offsets of a consumer group are kept after its last member has left.',
  },
  offsetsRetentionCheckIntervalMs: {
    default: 600_000,
    unit: 'ms',
    min: 1,
    max: timerMax,
    kafka: 'offsets.retention.check.interval.ms',
    description: 'How often expired offsets are removed.',
  },
  groupInitialRebalanceDelayMs: {
    default: 0,
    unit: 'ms',
    min: 0,
    max: 300_000,
    kafka: 'group.initial.rebalance.delay.ms',
    description: 'How long the first member of an empty group waits for others before it gets its partitions.',
  },
  groupSessionTimeoutMsMin: {
    default: 6000,
    unit: 'ms',
    min: 1,
    max: timerMax,
    kafka: 'group.min.session.timeout.ms',
    description: 'Shortest session timeout that a member may ask for.',
  },
  groupSessionTimeoutMsMax: {
    default: 1_800_000,
    unit: 'ms',
    min: 1,
    max: timerMax,
    kafka: 'group.max.session.timeout.ms',
    description: 'Longest session timeout that a member may ask for.',
  },
  groupMembersMax: {
    default: 2 ** 31 - 1,
    unit: 'count',
    min: 1,
    max: 2 ** 31 - 1,
    kafka: 'group.max.size',
    description: 'Members that one consumer group may have; beyond it GROUP_MAX_SIZE_REACHED.',
  },
  transactionTimeoutMaxMs: {
    default: 900_000,
    unit: 'ms',
    min: 1,
    max: timerMax,
    kafka: 'transaction.max.timeout.ms',
    description: 'Longest timeout that a transactional producer may ask for.',
  },
  transactionCheckIntervalMs: {
    default: 10_000,
    unit: 'ms',
    min: 1,
    max: timerMax,
    kafka: 'transaction.abort.timed.out.transaction.cleanup.interval.ms',
    description: 'How often open transactions are checked for having timed out.',
  },
  transactionalIdExpirationMs: {
    default: 7 * day,
    unit: 'ms',
    min: 1,
    max: never,
    kafka: 'transactional.id.expiration.ms',
    description: 'How long a transactional id that nobody uses is remembered.',
  },
  producerIdExpirationMs: {
    default: day,
    unit: 'ms',
    min: 1,
    max: never,
    kafka: 'producer.id.expiration.ms',
    description:
      'How long a partition remembers a producer that no longer writes to it; later duplicates are not recognised.',
  },
  pipelineDepth: {
    default: 2,
    unit: 'count',
    min: 1,
    max: 16,
    kafka: null,
    description: 'Commits of one committer that may have begun without being sequenced yet.',
  },
  commitMinIntervalMs: {
    default: 2,
    unit: 'ms',
    min: 0,
    max: never,
    kafka: null,
    description: 'A hint to workers: committing more often than this brings nothing.',
  },
}

export const logOptionNames: OptionNames<LogOptions> = { dataDir: true, sync: true, threads: true, ...logNumbers }

/** Checks every option once. Throws INVALID_CONFIG, naming the option, its value and its bounds. */
export function logConfig(options: LogOptions): LogConfig {
  checkOptions('openLog', options, logOptionNames)
  const { dataDir, sync = 'commit', threads = true } = options
  if (typeof dataDir !== 'string' || dataDir === '' || dataDir.includes('\0'))
    throw refused('dataDir', dataDir, 'name the directory of the log')
  if (sync !== 'commit' && sync !== 'os') throw refused('sync', sync, "use 'commit' or 'os'")
  if (typeof threads !== 'boolean') throw refused('threads', threads, 'use true or false')
  const numbers: { [name: string]: number } = {}
  for (const [name, option] of Object.entries(logNumbers)) {
    const given = options[name as keyof LogNumbers]
    const value = given === undefined ? option.default : given
    if (!Number.isSafeInteger(value) || value < option.min || value > option.max)
      throw refused(name, value, `use an integer from ${option.min} to ${option.max} (${option.unit})`)
    numbers[name] = value
  }
  // The loop above has given every name in the table a value.
  const config = { dataDir, sync, threads, ...numbers } as unknown as LogConfig
  if (config.journalFileBytesMax < config.journalFileBytesMin)
    throw refused('journalFileBytesMax', config.journalFileBytesMax, 'use at least journalFileBytesMin')
  return config
}

function refused(name: string, value: unknown, remedy: string): LogError {
  return new LogError('INVALID_CONFIG', `${name} is ${shown(value)}: ${remedy}`, { name, value })
}
