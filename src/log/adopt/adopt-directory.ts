import { dirname, normalize, resolve } from 'node:path'
import { SystemClock, type Clock } from '../../base/clock.ts'
import { NodeDisk, type Disk } from '../../base/disk.ts'
import type { OptionNames } from '../../base/option-names.ts'
import { shown } from '../../base/shown.ts'
import { checkOptions } from '../api/checked-options.ts'
import { LogError } from '../api/errors.ts'
import { isInternalTopic, offsetsTopic, transactionsTopic } from '../api/internal-topics.ts'
import { partitionName, type Offset } from '../api/record.ts'
import { defaultTopicConfig, type CleanupPolicy, type TopicConfig, type TopicInfo } from '../api/topic.ts'
import { openFailure } from '../broker/open-failure.ts'
import { checkSettingNames, checkTopicConfig } from '../broker/topics/topic-config.ts'
import { CheckpointFile } from '../journal/checkpoint-file.ts'
import type { GroupOffsetState, PartitionState } from '../journal/checkpoint.ts'
import { openLog } from '../open-log.ts'
import { isDataDirectory } from '../storage/data-directory.ts'
import { partitionPath } from '../storage/segment/segment-files.ts'
import { adoptPartition } from './adopted-partition.ts'
import { readDecisions, readGroupOffsets, readTopicConfigs } from './broker-records.ts'
import { readSourceDirectory, type SourcePartition } from './source-directory.ts'

/** What `adoptDirectory` adopts, and where it writes to. */
export interface AdoptOptions {
  /** A log directory (`log.dirs`) of a broker that is not running. It is read and never changed. */
  readonly source: string
  /** The data directory to create. It must not exist, or must be empty. */
  readonly target: string
  /** Settings for topics where the source has none; settings in the source take precedence. */
  readonly topicConfig?: Partial<TopicConfig>
  /** Default: the file system. */
  readonly disk?: Disk
  /** Default: the system's time. */
  readonly clock?: Clock
  /** Called again and again while it works. Default: nobody is told. */
  readonly onProgress?: (progress: AdoptProgress) => void
}

const adoptOptionNames: OptionNames<AdoptOptions> = {
  source: true,
  target: true,
  topicConfig: true,
  disk: true,
  clock: true,
  onProgress: true,
}

/** Totals are known before the first byte is copied. */
export interface AdoptProgress {
  readonly bytes: number
  readonly bytesTotal: number
  readonly partitions: number
  readonly partitionsTotal: number
}

/** What was adopted. */
export interface AdoptReport {
  readonly topics: readonly TopicInfo[]
  readonly partitions: number
  readonly bytes: number
  readonly groups: number
  /** Messages about what was left out, cut or decided, and about what cannot be known. */
  readonly notes: readonly string[]
}

/**
 * Adopts the log directory of a Kafka broker: creates a data directory with every record at its offset, with its time,
 * headers, key and value, with transactions decided as they were, and with groups' offsets and topics' settings.
 *
 * - The source is only read. The target appears as a whole, by a rename, or not at all.
 * - Whatever Kafka would cut off in a directory that was not closed is cut off in the copy and noted in the report.
 * - The broker's own topics are read for their contents but not copied.
 *
 * Two things cannot be known: the times at which records were appended (retention counts from now on), which the report
 * says, and members of groups.
 *
 * Rejects with FOREIGN_DIRECTORY if there is nothing to adopt or the target is not empty, NEWER_FORMAT if a later Kafka
 * wrote the source, CORRUPT_BATCH if synced bytes are damaged, READ_FAILED if the source cannot be read, and with what
 * `openLog` says of a target that cannot be written.
 * @example await adoptDirectory({ source: '/var/lib/kafka', target: 'data' })
 */
export async function adoptDirectory(options: AdoptOptions): Promise<AdoptReport> {
  checkOptions('adoptDirectory', options, adoptOptionNames)
  checkSettingNames(options.topicConfig ?? {})
  const directory = directoryOf('source', options.source)
  const target = directoryOf('target', options.target)
  try {
    return await adopt(directory, target, options)
  } catch (error) {
    throw adoptFailure(error, directory, target)
  }
}

async function adopt(directory: string, target: string, options: AdoptOptions): Promise<AdoptReport> {
  const { disk = new NodeDisk(), clock = new SystemClock() } = options
  const source = readSource(disk, directory)
  if (`${resolve(target)}/`.startsWith(`${resolve(directory)}/`))
    throw new LogError(
      'FOREIGN_DIRECTORY',
      `${target} is in the source, which is only read: adopt into a directory elsewhere`,
      { directory: target },
    )
  const temporary = `${target}.adopting`
  checkTarget(disk, target, temporary)

  const progress = { bytes: 0, bytesTotal: 0, partitions: 0, partitionsTotal: source.partitions.length }
  for (const { segments } of source.partitions) for (const { bytes } of segments) progress.bytesTotal += bytes
  const told = (): void => options.onProgress?.({ ...progress })
  const notes = source.leftOut.map((name) => `${name}: left out, it was being deleted or moved`)
  for (const { at, orphans } of source.partitions)
    for (const name of orphans)
      notes.push(
        `${partitionName(at)}: ${name} has no segment beside it: unless the broker had deleted that one, its records are missing`,
      )
  if (!source.cleanlyClosed)
    notes.push(
      'the broker was not closed: what it had not synced may be torn, and records deleted in its last minute may have returned',
    )

  const log = await openLog({
    dataDir: temporary,
    clock,
    threads: false,
    ...(options.disk === undefined ? {} : { disk }),
  })
  await log.close()
  const copy = async (
    partition: SourcePartition,
    to: { readonly path: string; readonly topic: Pick<TopicInfo, 'id' | 'config'>; readonly keep?: Buffer[] },
    decided: (producerId: number) => 'commit' | 'abort' | null,
  ) => {
    const adopted = await adoptPartition({
      disk,
      source: partition,
      topicId: to.topic.id,
      path: to.path,
      cleanlyClosed: source.cleanlyClosed,
      indexIntervalBytes: to.topic.config.indexIntervalBytes,
      now: clock.now(),
      decided,
      onBytes: (bytes) => {
        progress.bytes += bytes
      },
      ...(to.keep === undefined ? {} : { onBatch: (batch: Buffer) => to.keep?.push(batch) }),
      pause: async () => {
        told()
        await clock.nextTurn()
      },
    })
    progress.partitions += 1
    told()
    return adopted
  }

  // The broker's own topics come first, because they say how to read the others: the coordinator's decisions before all,
  // as even the offsets of groups may belong to an open transaction. Their copies are temporary.
  const decisions = new Map<number, 'commit' | 'abort'>()
  const decided = (producerId: number): 'commit' | 'abort' | null => decisions.get(producerId) ?? null
  const offsets: GroupOffsetState[] = []
  let configs: ReturnType<typeof readTopicConfigs> | null = null
  const scratch = `${temporary}/lost+found`
  const nobody = { id: zeroId, config: defaultTopicConfig }
  for (const partition of brokersOwn(source.partitions)) {
    const batches: Buffer[] = []
    const path = `${scratch}/${partition.at.topic}-${partition.at.partition}`
    const adopted = await copy(partition, { path, topic: nobody, keep: batches }, decided)
    notes.push(...adopted.notes)
    const isAborted = (producerId: number, offset: Offset): boolean => adopted.producers.aborted.has(producerId, offset)
    if (partition.at.topic === transactionsTopic)
      for (const [producerId, decision] of readDecisions(batches)) decisions.set(producerId, decision)
    else if (partition.at.topic === offsetsTopic) offsets.push(...readGroupOffsets(batches, isAborted))
    else if (partition.at.topic === clusterMetadata) configs = readTopicConfigs(batches)
    for (const name of disk.list(path)) disk.unlink(`${path}/${name}`)
    disk.removeDirectory(path)
  }
  if (disk.exists(scratch)) disk.removeDirectory(scratch)
  if (configs === null) notes.push('settings of topics are not in this directory, so the defaults are used')

  const users = source.partitions.filter(({ at }) => !isBrokersOwn(at.topic))
  const topics = topicsOf(users, configs ?? new Map(), options.topicConfig ?? {}, notes)
  const states: PartitionState[] = []
  for (const partition of users) {
    const topic = topics.get(partition.at.topic)
    if (topic === undefined) continue
    const path = partitionPath(temporary, partition.at)
    const adopted = await copy(partition, { path, topic }, decided)
    notes.push(...adopted.notes)
    if (adopted.state.end > 0) states.push(adopted.state)
  }
  notes.push('the times of appends are not known, so retention by time counts from now on')
  const known = offsets.filter(({ at }) => at.partition < (topics.get(at.topic)?.partitions ?? 0))
  writeCheckpoints(disk, temporary, { topics: [...topics.values()], states, offsets: known })
  // Crash here, or anywhere before: a temporary directory is left, which no log opens. The next attempt refuses and
  // names it.
  if (disk.exists(target)) disk.removeDirectory(target)
  disk.rename(temporary, target)
  disk.syncDirectory(dirname(target))
  return {
    topics: [...topics.values()],
    partitions: users.length,
    bytes: progress.bytes,
    groups: new Set(known.map(({ group }) => group)).size,
    notes,
  }
}

/** The directory without what would make a name beside it another one, such as a slash at the end. */
function directoryOf(name: 'source' | 'target', given: unknown): string {
  if (typeof given !== 'string' || given === '' || given.includes('\0'))
    throw new LogError('INVALID_CONFIG', `${name} of adoptDirectory is ${shown(given)}: name a directory`, { given })
  const normal = normalize(given)
  if (/(^|\/)\.{1,2}\/?$/.test(normal)) return resolve(normal)
  return normal.replace(/(?<=.)\/+$/, '')
}

/** Translates an operating-system error: it is that of the source if its path is there or it was a read. */
function adoptFailure(error: unknown, source: string, target: string): unknown {
  if (!(error instanceof Error) || error instanceof LogError) return error
  const path = 'path' in error ? String(error.path) : ''
  if (path === source && 'code' in error && error.code === 'ENOTDIR') return noPartitions(source)
  const isRead = 'syscall' in error && error.syscall === 'read'
  if (path !== source && !path.startsWith(`${source}/`) && !isRead) return openFailure(error, target)
  return new LogError(
    'READ_FAILED',
    `${source} cannot be read (${error.message}): name a directory that this user may read with all that is in it`,
    { source },
    { cause: error },
  )
}

function readSource(disk: Disk, directory: string): ReturnType<typeof readSourceDirectory> {
  if (isDataDirectory(disk, directory))
    throw new LogError(
      'FOREIGN_DIRECTORY',
      `${directory} is a data directory of millrace, whose journal holds what its segments lack: open it as it is, or copy it`,
      { directory },
    )
  const source = disk.exists(directory) ? readSourceDirectory(disk, directory) : null
  if (source !== null && source.partitions.length > 0) return source
  throw noPartitions(directory)
}

function noPartitions(directory: string): LogError {
  return new LogError(
    'FOREIGN_DIRECTORY',
    `${directory} has no partitions of a Kafka broker (directories like orders-0 with segments in them): name one of its log.dirs`,
    { directory },
  )
}

function checkTarget(disk: Disk, target: string, temporary: string): void {
  if (disk.exists(temporary))
    throw new LogError(
      'FOREIGN_DIRECTORY',
      `${temporary} is left from an attempt that did not finish: remove it, then adopt again`,
      { directory: temporary },
    )
  if (!disk.exists(target) || disk.list(target).length === 0) return
  throw new LogError(
    'FOREIGN_DIRECTORY',
    `${target} has files (first: ${disk.list(target).slice(0, 3).join(', ')}): adopt into a new or an empty directory`,
    { directory: target },
  )
}

/**
 * Writes the checkpoint that turns the directory into a log: both copies, after everything that they refer to was
 * synced.
 */
function writeCheckpoints(
  disk: Disk,
  directory: string,
  adopted: {
    readonly topics: readonly TopicInfo[]
    readonly states: readonly PartitionState[]
    readonly offsets: readonly GroupOffsetState[]
  },
): void {
  disk.syncDirectory(directory)
  const file = CheckpointFile.open(disk, `${directory}/journal`)
  const { newest } = file
  if (newest === null) throw new LogError('JOURNAL_MISSING', `${directory} has no checkpoint`, { directory })
  // Everything appended from here on has a later epoch than anything that a broker wrote.
  const epoch = adopted.states.reduce((most, { epochs }) => Math.max(most, epochs.at(-1)?.epoch ?? 0), 0)
  const state = {
    ...newest,
    incarnation: Math.max(newest.incarnation, epoch),
    topics: [...newest.topics, ...adopted.topics],
    partitions: [...newest.partitions, ...adopted.states],
    offsets: [...newest.offsets, ...adopted.offsets],
  }
  file.write(state)
  file.write(state)
}

function topicsOf(
  partitions: readonly SourcePartition[],
  configs: ReadonlyMap<string, ReadonlyMap<string, string>>,
  given: Partial<TopicConfig>,
  notes: string[],
): ReadonlyMap<string, TopicInfo> {
  const topics = new Map<string, TopicInfo>()
  const named = new Map<string, string>()
  for (const { at, topicId } of partitions) {
    const known = topics.get(at.topic)
    if (known !== undefined) {
      topics.set(at.topic, { ...known, partitions: Math.max(known.partitions, at.partition + 1) })
      continue
    }
    const config = { ...defaultTopicConfig, ...given, ...configOf(at.topic, configs.get(at.topic), notes) }
    checkTopicConfig(config)
    // Everything in a log is found by the id of its topic, so of two topics with one id only one would be found.
    const other = topicId === null ? undefined : named.get(topicId)
    if (other !== undefined)
      notes.push(
        `${at.topic}: has the topic id of ${other}, as a copy of its directories would; it gets one of its own`,
      )
    const id = topicId === null || other !== undefined ? madeUpId(topics.size) : topicId
    named.set(id, at.topic)
    topics.set(at.topic, { name: at.topic, id, partitions: at.partition + 1, config })
  }
  notes.push(...missingPartitions(partitions, topics))
  return topics
}

/** A broker may spread a topic over several directories, and a cluster over several brokers. */
function missingPartitions(
  partitions: readonly SourcePartition[],
  topics: ReadonlyMap<string, TopicInfo>,
): readonly string[] {
  const present = new Map<string, number>()
  for (const { at } of partitions) present.set(at.topic, (present.get(at.topic) ?? 0) + 1)
  return [...topics.values()].flatMap(({ name, partitions: count }) => {
    const missing = count - (present.get(name) ?? 0)
    if (missing === 0) return []
    return [`${name}: ${missing} of its ${count} partitions are not in this directory and begin empty`]
  })
}

/** The settings that we have too, under our names. Values outside our bounds are noted in the report. */
function configOf(
  topic: string,
  settings: ReadonlyMap<string, string> | undefined,
  notes: string[],
): Partial<TopicConfig> {
  const config: { [name: string]: unknown } = {}
  for (const [name, value] of settings ?? []) {
    const own = numberSettings[name]
    const read: Partial<TopicConfig> =
      own !== undefined
        ? { [own]: Math.min(Number(value), Number.MAX_SAFE_INTEGER) }
        : name === 'cleanup.policy'
          ? { cleanupPolicy: policyOf(value) }
          : {}
    try {
      checkTopicConfig({ ...defaultTopicConfig, ...read })
      Object.assign(config, read)
    } catch (error) {
      notes.push(`${topic}: ${name}=${value} is not kept (${error instanceof Error ? error.message : String(error)})`)
    }
  }
  return config
}

function policyOf(value: string): CleanupPolicy {
  const policies = value.split(',').map((policy) => policy.trim())
  const compact = policies.includes('compact')
  return compact && policies.includes('delete') ? 'compact,delete' : compact ? 'compact' : 'delete'
}

const numberSettings: { readonly [kafka: string]: keyof TopicConfig } = {
  'retention.ms': 'retentionMs',
  'retention.bytes': 'retentionBytes',
  'segment.bytes': 'segmentBytes',
  'segment.ms': 'segmentMs',
  'segment.jitter.ms': 'segmentJitterMs',
  'segment.index.bytes': 'segmentIndexBytes',
  'index.interval.bytes': 'indexIntervalBytes',
  'max.message.bytes': 'maxMessageBytes',
  'message.timestamp.after.max.ms': 'timestampAfterMaxMs',
  'message.timestamp.before.max.ms': 'timestampBeforeMaxMs',
  'delete.retention.ms': 'deleteRetentionMs',
  'min.cleanable.dirty.ratio': 'minCleanableDirtyRatio',
  'min.compaction.lag.ms': 'minCompactionLagMs',
  'max.compaction.lag.ms': 'maxCompactionLagMs',
}

const clusterMetadata = '__cluster_metadata'
const zeroId = 'A'.repeat(22)

/** The partitions of the broker's own topics, those with the decisions on transactions first. */
function brokersOwn(partitions: readonly SourcePartition[]): readonly SourcePartition[] {
  const own = partitions.filter(({ at }) => isBrokersOwn(at.topic))
  const hasDecisions = ({ at }: SourcePartition): boolean => at.topic === transactionsTopic
  return [...own.filter(hasDecisions), ...own.filter((partition) => !hasDecisions(partition))]
}

function isBrokersOwn(topic: string): boolean {
  return isInternalTopic(topic) || topic === clusterMetadata || topic === '__share_group_state'
}

/**
 * An id for topics from before Kafka gave them ids. It is unique in this directory and recognizable by its first bytes.
 */
function madeUpId(index: number): string {
  const bytes = Buffer.alloc(16)
  bytes.write('adopted')
  bytes.writeUInt32BE(index + 1, 12)
  return bytes.toString('base64url')
}
