import { ByteReader, ByteWriter } from '../../base/bytes.ts'
import { LogError } from '../api/errors.ts'
import {
  readNullableBytes,
  readNullableString,
  readString,
  writeNullableBytes,
  writeNullableString,
  writeString,
} from '../format/kafka-string.ts'

/**
 * A group as a record of `__consumer_offsets`, in Kafka's layout (`GroupMetadataKey` 2, `GroupMetadataValue` 3):
 *
 * ```
 * key     i16 version 2 | string group
 * value   i16 version 3 | string protocolType | i32 generation | string? protocol | string? leader
 *         | i64 phaseSince | i32 count | member ...                          null deletes the group
 * member  string memberId | string? groupInstanceId | string clientId | string clientHost
 *         | i32 rebalanceTimeout | i32 sessionTimeout | bytes subscription | bytes assignment
 * ```
 *
 * It is written when a generation has its assignment, when a group has lost its last member, and when a static member
 * returns under a new id. `phaseSince` was added in version 2, the rebalance timeout in 1, the instance id in 3.
 */
export interface GroupRecord {
  readonly protocolType: string
  readonly generation: number
  readonly protocol: string | null
  readonly leader: string | null
  /** The wall-clock time since when the group is in its phase. Offsets of an empty group expire based on it. */
  readonly phaseSince: number
  readonly members: readonly GroupRecordMember[]
}

export interface GroupRecordMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly rebalanceTimeoutMs: number
  readonly sessionTimeoutMs: number
  /** The member's metadata for the group's protocol. */
  readonly metadata: Uint8Array
  readonly assignment: Uint8Array
}

export const groupKeyVersion = 2
const valueVersion = 3

export function encodeGroupKey(into: ByteWriter, group: string): void {
  into.i16(groupKeyVersion)
  writeString(into, group)
}

/** The group's name, or null for a record that is not a group. */
export function decodeGroupKey(bytes: Uint8Array): string | null {
  const from = new ByteReader(bytes)
  return from.i16() === groupKeyVersion ? readString(from) : null
}

export function encodeGroupRecord(record: GroupRecord): Uint8Array {
  const into = new ByteWriter()
  into.i16(valueVersion)
  writeString(into, record.protocolType)
  into.i32(record.generation)
  writeNullableString(into, record.protocol)
  writeNullableString(into, record.leader)
  into.i64(record.phaseSince)
  into.i32(record.members.length)
  for (const member of record.members) {
    writeString(into, member.memberId)
    writeNullableString(into, member.groupInstanceId)
    writeString(into, member.clientId)
    writeString(into, member.clientHost)
    into.i32(member.rebalanceTimeoutMs)
    into.i32(member.sessionTimeoutMs)
    writeNullableBytes(into, member.metadata)
    writeNullableBytes(into, member.assignment)
  }
  return into.toBytes()
}

export function decodeGroupRecord(bytes: Uint8Array): GroupRecord {
  const from = new ByteReader(bytes)
  const version = from.i16()
  if (version < 0 || version > valueVersion)
    throw new LogError('NEWER_FORMAT', `a group record has version ${version}, this build reads up to 3`, { version })
  const protocolType = readString(from)
  const generation = from.i32()
  const protocol = readNullableString(from)
  const leader = readNullableString(from)
  const phaseSince = version >= 2 ? from.i64() : -1
  const members: GroupRecordMember[] = []
  for (let left = from.i32(); left > 0; left--) {
    const memberId = readString(from)
    const groupInstanceId = version >= 3 ? readNullableString(from) : null
    const clientId = readString(from)
    const clientHost = readString(from)
    const rebalanceTimeoutMs = version >= 1 ? from.i32() : -1
    const sessionTimeoutMs = from.i32()
    const metadata = Uint8Array.from(readNullableBytes(from) ?? [])
    const assignment = Uint8Array.from(readNullableBytes(from) ?? [])
    members.push({
      memberId,
      groupInstanceId,
      clientId,
      clientHost,
      rebalanceTimeoutMs: rebalanceTimeoutMs < 0 ? sessionTimeoutMs : rebalanceTimeoutMs,
      sessionTimeoutMs,
      metadata,
      assignment,
    })
  }
  return { protocolType, generation, protocol, leader, phaseSince, members }
}
