import type { OptionNames } from '../../base/option-names.ts'
import { shown } from '../../base/shown.ts'
import { LogError } from '../api/errors.ts'
import type { Bounds } from '../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'

/** Which committed offsets of a group to move, and to which offsets. Kafka: `kafka-consumer-groups --reset-offsets`. */
export interface GroupOffsetReset {
  /** All partitions of these topics. Default, without `partitions`: those with committed offsets. */
  readonly topics?: readonly string[]
  /** Individual partitions, in addition to those of `topics`. */
  readonly partitions?: readonly TopicPartition[]
  /**
   * The target: the first offset, the end, the committed offset itself (`current`; without one the end), an offset, the
   * first record with at least that timestamp, the first record not older than `ago` ms, or the committed offset plus
   * `shift` (backwards if negative).
   */
  readonly to:
    | 'earliest'
    | 'latest'
    | 'current'
    | { readonly offset: Offset }
    | { readonly timestamp: number }
    | { readonly ago: number }
    | { readonly shift: number }
  /** Default false: only returns where the offsets would move, and changes nothing. */
  readonly execute?: boolean
}

export const groupOffsetResetNames: OptionNames<GroupOffsetReset> = {
  topics: true,
  partitions: true,
  to: true,
  execute: true,
}

/** A committed offset before and after a reset. */
export interface MovedOffset {
  readonly at: TopicPartition
  /** The committed offset before; null without one. */
  readonly from: Offset | null
  readonly to: Offset
}

/** Computes where the offsets would move. Throws UNKNOWN_TOPIC, UNKNOWN_PARTITION, INVALID_CONFIG, GROUP_ID_NOT_FOUND. */
export function plannedReset(broker: Broker, group: string, reset: GroupOffsetReset): readonly MovedOffset[] {
  const at = placesOf(broker, group, reset)
  const committed = new Map(
    broker.committedOffsets(group, at).map(({ at: place, offset }) => [partitionName(place), offset]),
  )
  return broker.bounds(at, 'committed').map((bounds) => {
    const from = committed.get(partitionName(bounds.at)) ?? null
    return { at: bounds.at, from, to: within(bounds, target(broker, bounds, { from, to: reset.to })) }
  })
}

function placesOf(broker: Broker, group: string, { topics, partitions }: GroupOffsetReset): readonly TopicPartition[] {
  const places = new Map<string, TopicPartition>()
  for (const topic of topics ?? []) {
    const known = broker.topic(topic)
    if (known === undefined)
      throw new LogError('UNKNOWN_TOPIC', `topic ${topic} does not exist: name one that listTopics has`, { topic })
    for (let partition = 0; partition < known.partitions; partition++)
      places.set(partitionName({ topic, partition }), { topic, partition })
  }
  for (const at of partitions ?? []) places.set(partitionName(at), at)
  if (topics === undefined && partitions === undefined)
    for (const at of broker.groupAdmin.committedPartitions(group)) places.set(partitionName(at), at)
  return [...places.values()]
}

function target(
  broker: Broker,
  { at, start, end }: Bounds,
  { from, to }: { readonly from: Offset | null; readonly to: GroupOffsetReset['to'] },
): Offset {
  if (to === 'earliest') return start
  if (to === 'latest') return end
  if (to === 'current') return from ?? end
  if (typeof to !== 'object' || to === null || !resetKinds.some((kind) => kind in to))
    throw new LogError(
      'INVALID_CONFIG',
      `the reset goes to ${shown(to)}: use 'earliest', 'latest', 'current', { offset }, { timestamp }, { ago } or { shift }`,
      { to },
    )
  if ('offset' in to) return checked('offset', to.offset)
  if ('shift' in to) return (from ?? end) + checked('shift', to.shift)
  const timestamp =
    'ago' in to ? Math.max(0, broker.now() - checked('ago', to.ago)) : checked('timestamp', to.timestamp)
  return broker.offsetsForTime([{ at, timestamp }], 'committed')[0]?.offset ?? end
}

function within({ start, end }: Bounds, offset: Offset): Offset {
  return Math.min(end, Math.max(start, offset))
}

const resetKinds = ['offset', 'timestamp', 'ago', 'shift'] as const

function checked(name: (typeof resetKinds)[number], value: number): number {
  if (Number.isSafeInteger(value) && (name === 'shift' || value >= 0)) return value
  const remedy = name === 'shift' ? 'an integer, below 0 to go back' : 'an integer of 0 or more'
  throw new LogError('INVALID_CONFIG', `${name} of the reset is ${shown(value)}: use ${remedy}`, { [name]: value })
}
