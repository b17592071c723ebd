import type { OptionNames } from '../../../base/option-names.ts'
import { shown } from '../../../base/shown.ts'
import { checkOptions } from '../../api/checked-options.ts'
import { LogError } from '../../api/errors.ts'
import { defaultTopicConfig, type TopicConfig, type TopicInfo, type TopicSpec } from '../../api/topic.ts'
import type { LogConfig } from '../../config.ts'

/**
 * The complete configuration of a topic: its own settings take precedence over the log's, and those over Kafka's
 * defaults.
 */
export function topicConfig(given: Partial<TopicConfig>, log: TopicDefaults): TopicConfig {
  checkSettingNames(given)
  const config: TopicConfig = {
    ...defaultTopicConfig,
    segmentBytes: cleansItself(given) ? Math.min(log.segmentBytes, cleanedSegmentBytes) : log.segmentBytes,
    segmentMs: log.segmentMs,
    maxMessageBytes: log.maxMessageBytes,
    ...definedOnly(given),
  }
  checkTopicConfig(config)
  return config
}

/**
 * Whether the log removes parts of the topic by itself. Only closed segments can be removed, so they should not be
 * large.
 */
function cleansItself(config: Partial<TopicConfig>): boolean {
  const { cleanupPolicy = 'delete', purgedWhenRead = false, windowRetentionMs } = config
  return cleanupPolicy !== 'delete' || purgedWhenRead || windowRetentionMs !== undefined
}

/** The segment size of changelogs and repartition topics that do not set their own. */
export const cleanedSegmentBytes: number = 64 * 1024 * 1024

export type TopicDefaults = Pick<LogConfig, 'segmentBytes' | 'segmentMs' | 'maxMessageBytes'>

/** Throws INVALID_CONFIG, naming the option, its value and the bounds. */
export function checkTopicConfig(config: TopicConfig): void {
  if (!['delete', 'compact', 'compact,delete'].includes(config.cleanupPolicy))
    throw refused('cleanupPolicy', config.cleanupPolicy, "use 'delete', 'compact' or 'compact,delete'")
  for (const [name, [min, max]] of Object.entries(integerBounds)) {
    const value = config[name as keyof typeof integerBounds]
    if (!Number.isSafeInteger(value) || value < min || value > max)
      throw refused(name, value, `use an integer from ${min} to ${max}`)
  }
  for (const name of codecIds)
    if (config[name] !== undefined && typeof config[name] !== 'string')
      throw refused(name, config[name], 'use the id, a text')
  const { windowRetentionMs: windows, storeClock: clock, purgedWhenRead: purged } = config
  if (windows !== undefined && (!Number.isSafeInteger(windows) || windows < 0))
    throw refused('windowRetentionMs', windows, `use an integer from 0 to ${never}`)
  if ((windows === undefined) !== (clock === undefined) || (clock !== undefined && typeof clock !== 'string'))
    throw refused('storeClock', clock, 'name the operator together with windowRetentionMs')
  if (purged !== undefined && typeof purged !== 'boolean') throw refused('purgedWhenRead', purged, 'use true or false')
  const { segmentMs, segmentJitterMs, minCompactionLagMs, maxCompactionLagMs } = config
  if (segmentJitterMs >= segmentMs)
    throw refused('segmentJitterMs', segmentJitterMs, `use less than segmentMs, ${segmentMs}`)
  if (maxCompactionLagMs < minCompactionLagMs)
    throw refused('maxCompactionLagMs', maxCompactionLagMs, `use at least minCompactionLagMs, ${minCompactionLagMs}`)
  const ratio = config.minCleanableDirtyRatio
  if (typeof ratio !== 'number' || !(ratio >= 0 && ratio <= 1))
    throw refused('minCleanableDirtyRatio', ratio, 'use a number from 0 to 1')
}

/**
 * Throws INVALID_CONFIG for an unknown setting (Kafka's name with dots, for example), which would be stored but never
 * used.
 */
export function checkSettingNames(given: Partial<TopicConfig>): void {
  // Many expect the number of partitions among the settings; the nearest name would be `partitioner`.
  const partitions: unknown = Reflect.get(Object(given) as object, 'partitions')
  if (partitions !== undefined)
    throw refused(
      'partitions',
      partitions,
      'it is not a setting of a topic; give it beside config when you create the topic, and add partitions with admin.createPartitions',
    )
  checkOptions('the topic', given, settingNames)
}

const codecIds = ['keyCodec', 'valueCodec', 'partitioner'] as const
const settingNames: OptionNames<TopicConfig> = {
  ...defaultTopicConfig,
  windowRetentionMs: true,
  storeClock: true,
  purgedWhenRead: true,
  keyCodec: true,
  valueCodec: true,
  partitioner: true,
}

const never = 2 ** 53 - 1

const integerBounds = {
  retentionMs: [-1, never],
  retentionBytes: [-1, never],
  segmentBytes: [1024, 2 ** 31 - 1],
  segmentMs: [1, never],
  segmentJitterMs: [0, never],
  segmentIndexBytes: [64, 2 ** 31 - 1],
  indexIntervalBytes: [0, 2 ** 31 - 1],
  maxMessageBytes: [128, 32 * 1024 * 1024],
  timestampAfterMaxMs: [0, never],
  timestampBeforeMaxMs: [0, never],
  deleteRetentionMs: [0, never],
  minCompactionLagMs: [0, never],
  maxCompactionLagMs: [1, never],
} as const

export const partitionsMax = 10_000

/** Throws INVALID_CONFIG unless the topic can have that many partitions. */
export function checkPartitions(spec: TopicSpec): void {
  const { partitions } = spec
  if (Number.isSafeInteger(partitions) && partitions >= 1 && partitions <= partitionsMax) return
  throw refused(`partitions of ${spec.name}`, partitions, `use an integer from 1 to ${partitionsMax}`)
}

/**
 * Throws TOPIC_MISMATCH if an existing topic differs from the requested one in its partitions or in the meaning of its
 * bytes.
 */
export function checkSameTopic(existing: TopicInfo, spec: TopicSpec): void {
  if (existing.partitions !== spec.partitions)
    throw mismatch(spec, `${existing.partitions} partitions`, `${spec.partitions}`)
  for (const name of ['keyCodec', 'valueCodec', 'partitioner'] as const) {
    const has = existing.config[name]
    const wanted = spec.config?.[name]
    if (has !== undefined && wanted !== undefined && has !== wanted) throw mismatch(spec, `${name} ${has}`, wanted)
  }
  // Rows that were written without a window have no time by which they could expire.
  if (spec.config?.windowRetentionMs !== undefined && existing.config.windowRetentionMs === undefined)
    throw mismatch(spec, 'rows without windows', 'rows of windows')
}

function mismatch(spec: TopicSpec, has: string, wanted: string): LogError {
  return new LogError(
    'TOPIC_MISMATCH',
    `topic ${spec.name} exists with ${has}, but ${wanted} was requested: use another name, or declare it as it is`,
    { topic: spec.name, has, wanted },
  )
}

function definedOnly(config: Partial<TopicConfig>): Partial<TopicConfig> {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined))
}

function refused(name: string, value: unknown, remedy: string): LogError {
  return new LogError('INVALID_CONFIG', `${name} is ${shown(value)}: ${remedy}`, { name, value })
}
