import { ByteReader, ByteWriter } from '../../base/bytes.ts'
import type { TopicPartition } from '../api/record.ts'
import {
  readNullableBytes,
  readNullableString,
  readString,
  writeNullableBytes,
  writeNullableString,
  writeString,
} from '../format/kafka-string.ts'

/**
 * What members of protocol type `consumer` tell each other through the group, in Kafka's layouts
 * (`ConsumerProtocol...`), so that clients in other languages can be in one group with ours. The group passes the bytes
 * on without reading them; it only decodes them to expire offsets and to describe a group.
 *
 * ```
 * subscription  i16 version 3 | [string topic] | bytes userData | [owned] | i32 generation | string rack
 * assignment    i16 version 3 | [owned] | bytes userData
 * owned         string topic | [i32 partition]
 * [x]           i32 count | x ...            user data and rack are nullable
 * ```
 *
 * Version 0 ends after the user data, 1 after the owned partitions, 2 after the generation. Newer versions begin with
 * the same fields, because Kafka only ever appends fields.
 */
export interface Subscription {
  readonly topics: readonly string[]
  readonly userData: Uint8Array | null
  readonly owned: readonly TopicPartition[]
  /** The generation in which the owned partitions were assigned; -1 if the member does not say. */
  readonly generation: number
}

export interface Assignment {
  readonly partitions: readonly TopicPartition[]
  readonly userData: Uint8Array | null
}

export const consumerProtocolType = 'consumer'
const version = 3

export function encodeSubscription(subscription: Subscription): Uint8Array {
  const into = new ByteWriter()
  into.i16(version)
  into.i32(subscription.topics.length)
  for (const topic of subscription.topics) writeString(into, topic)
  writeNullableBytes(into, subscription.userData)
  writePartitions(into, subscription.owned)
  into.i32(subscription.generation)
  writeNullableString(into, null)
  return into.toBytes()
}

/** Throws RangeError for bytes that are not a subscription. */
export function decodeSubscription(bytes: Uint8Array): Subscription {
  const from = new ByteReader(bytes)
  const written = from.i16()
  const topics: string[] = []
  for (let left = count(from); left > 0; left--) topics.push(readString(from))
  const userData = readUserData(from)
  const owned = written >= 1 ? readPartitions(from) : []
  const generation = written >= 2 ? from.i32() : -1
  if (written >= 3) readNullableString(from)
  return { topics, userData, owned, generation }
}

export function encodeAssignment(assignment: Assignment): Uint8Array {
  const into = new ByteWriter()
  into.i16(version)
  writePartitions(into, assignment.partitions)
  writeNullableBytes(into, assignment.userData)
  return into.toBytes()
}

/** Decodes an assignment. Empty bytes are an empty assignment, which a member gets if the leader left it out. */
export function decodeAssignment(bytes: Uint8Array): Assignment {
  if (bytes.length === 0) return { partitions: [], userData: null }
  const from = new ByteReader(bytes)
  from.i16()
  return { partitions: readPartitions(from), userData: readUserData(from) }
}

function writePartitions(into: ByteWriter, partitions: readonly TopicPartition[]): void {
  const byTopic = Map.groupBy(partitions, ({ topic }) => topic)
  into.i32(byTopic.size)
  for (const [topic, places] of byTopic) {
    writeString(into, topic)
    into.i32(places.length)
    for (const { partition } of places) into.i32(partition)
  }
}

function readPartitions(from: ByteReader): TopicPartition[] {
  const partitions: TopicPartition[] = []
  for (let topics = count(from); topics > 0; topics--) {
    const topic = readString(from)
    for (let left = count(from); left > 0; left--) partitions.push({ topic, partition: from.i32() })
  }
  return partitions
}

/** Returns a copy, because the bytes belong to a buffer that is reused. */
function readUserData(from: ByteReader): Uint8Array | null {
  const bytes = readNullableBytes(from)
  return bytes === null ? null : Uint8Array.from(bytes)
}

/** The bytes come from other clients, so a count that they cannot hold is refused before anything is allocated. */
function count(from: ByteReader): number {
  const value = from.i32()
  if (value < 0 || value * 2 > from.remaining) throw new RangeError(`a list of ${value} in ${from.remaining} bytes`)
  return value
}
