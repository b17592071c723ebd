import { assert, unreachable } from '../../base/assert.ts'
import { ByteReader, ByteWriter, copySharedBytes, latin1Slice } from '../../base/bytes.ts'
import { LogError } from '../api/errors.ts'
import type { Offset } from '../api/record.ts'
import { defaultTopicConfig, type TopicConfig } from '../api/topic.ts'

/**
 * A commit entry: what one caller wants to become durable and visible atomically. It is a list of parts, and recovery
 * finds all of them or none. Every part carries what is needed to apply it again after a crash, whether or not the
 * files already contain it.
 */
export type EntryPart =
  | BatchPart
  | TopicCreatedPart
  | TopicDeletedPart
  | TopicConfigPart
  | LogStartPart
  | SegmentsReplacedPart
  | IncarnationPart
  | PartitionsAddedPart

/** A record batch with its position in a segment file: applying it is a positioned write. */
export interface BatchPart {
  readonly kind: 'batch'
  readonly topicId: string
  readonly partition: number
  readonly leaderEpoch: number
  /** Base offset of the segment, which names its files. */
  readonly segmentBase: Offset
  /** Byte position in the segment's file where the batch starts. Position 0 starts a new segment. */
  readonly filePosition: number
  /** Exactly Kafka's bytes, base offset and leader epoch stamped. */
  readonly bytes: Uint8Array
  /**
   * The part of the batch's checksum that the caller already knows, so that the group does not compute it again. Not
   * stored.
   */
  readonly summed?: SummedBytes | undefined
}

/** The CRC-32C of some bytes from `from` to their end; null as in {@link SummedRange}. */
export interface SummedBytes {
  readonly from: number
  readonly checksum: number | null
}

export interface TopicCreatedPart {
  readonly kind: 'topicCreated'
  readonly topicId: string
  readonly name: string
  readonly partitions: number
  readonly config: TopicConfig
}

export interface TopicDeletedPart {
  readonly kind: 'topicDeleted'
  readonly topicId: string
}

export interface TopicConfigPart {
  readonly kind: 'topicConfig'
  readonly topicId: string
  readonly config: TopicConfig
}

/**
 * Records below `offset` are deleted. Segments wholly below it may be unlinked once both checkpoints cover the entry.
 */
export interface LogStartPart {
  readonly kind: 'logStart'
  readonly topicId: string
  readonly partition: number
  readonly offset: Offset
}

/**
 * Compaction has written `<newBase>.log.cleaned` and synced it. From this entry on that file replaces the old segments.
 * Applying the entry renames it to `.log.swap`; the old files are unlinked once both checkpoints cover the entry.
 */
export interface SegmentsReplacedPart {
  readonly kind: 'segmentsReplaced'
  readonly topicId: string
  readonly partition: number
  readonly oldBases: readonly Offset[]
  readonly newBase: Offset
  readonly newBytes: number
}

/** The log was opened for writing. `number` is the leader epoch of everything appended until the next incarnation. */
export interface IncarnationPart {
  readonly kind: 'incarnation'
  readonly number: number
}

/** The topic has this many partitions from now on, which is more than before. */
export interface PartitionsAddedPart {
  readonly kind: 'partitionsAdded'
  readonly topicId: string
  readonly partitions: number
}

/*
 * Layout, big-endian. An entry and each of its parts start at a multiple of 8 bytes; the padding is zero.
 *
 *   entry   +0   u32  length of the entry with this header, a multiple of 8
 *           +4   u32  number of parts
 *           +8        parts
 *
 *   batch   +0   u8   kind 1
 *           +1   u8   length T of the topic id
 *           +2   u16  0
 *           +4   u32  length N of the batch
 *           +8   i32  partition
 *           +12  i32  leader epoch
 *           +16  i64  base offset of the segment
 *           +24  i64  file position
 *           +32       topic id, T bytes of ASCII, filled up to a multiple of 8
 *                     the batch, N bytes, filled up to a multiple of 8
 *
 *   others  +0   u8   kind 2 to 8
 *           +1   u24  0
 *           +4   u32  length N of the fields
 *           +8        the fields in the order of their interface, N bytes, filled up to a multiple of 8
 *
 * Kind 128 is reserved for a batch by reference, whose bytes are already in the segment. There are no checksums here:
 * the checksum of the group covers its entries.
 */
const kindBatch = 1
const kindTopicCreated = 2
const kindTopicDeleted = 3
const kindTopicConfig = 4
const kindLogStart = 5
const kindSegmentsReplaced = 6
const kindIncarnation = 7
const kindPartitionsAdded = 8

const entryHeaderBytes = 8
const batchHeaderBytes = 32
const partHeaderBytes = 8

/** Number of bytes that {@link writeEntry} will write: a multiple of 8. */
export function measureEntry(parts: readonly EntryPart[]): number {
  let bytes = entryHeaderBytes
  for (const part of parts) {
    bytes +=
      part.kind === 'batch'
        ? batchHeaderBytes + padded(part.topicId.length) + padded(part.bytes.length)
        : partHeaderBytes + padded(encodeFields(part).length)
  }
  return bytes
}

/**
 * Writes the entry to `target` at `at`, a multiple of 8, overwriting what was there. Returns where in `target` the bytes
 * of each batch part start.
 */
export function writeEntry(parts: readonly EntryPart[], target: Buffer, at: number): number[] {
  const starts: number[] = []
  let position = at + entryHeaderBytes
  for (const part of parts) {
    if (part.kind === 'batch') {
      const start = writeBatchHeader(part, target, position)
      const { bytes } = part
      copySharedBytes(bytes, 0, bytes.length, target, start)
      starts.push(start)
      position = pad(target, start + bytes.length)
      continue
    }
    const fields = encodeFields(part)
    target.writeUInt32LE(kindOf(part), position)
    target.writeUInt32BE(fields.length, position + 4)
    target.set(fields, position + partHeaderBytes)
    position = pad(target, position + partHeaderBytes + fields.length)
  }
  target.writeUInt32BE(position - at, at)
  target.writeUInt32BE(parts.length, at + 4)
  return starts
}

/** Returns where the bytes of the batch start. */
function writeBatchHeader(part: BatchPart, target: Buffer, at: number): number {
  const { topicId, bytes } = part
  assert(topicId.length <= 0xff, `topic id of ${topicId.length} characters`)
  target[at] = kindBatch
  target[at + 1] = topicId.length
  target[at + 2] = 0
  target[at + 3] = 0
  target.writeUInt32BE(bytes.length, at + 4)
  target.writeInt32BE(part.partition, at + 8)
  target.writeInt32BE(part.leaderEpoch, at + 12)
  writeInt64(target, part.segmentBase, at + 16)
  writeInt64(target, part.filePosition, at + 24)
  for (let index = 0; index < topicId.length; index++) target[at + batchHeaderBytes + index] = topicId.charCodeAt(index)
  return pad(target, at + batchHeaderBytes + topicId.length)
}

/** Pads with zeros up to a multiple of 8, and returns that position. */
function pad(target: Buffer, at: number): number {
  while ((at & 7) !== 0) target[at++] = 0
  return at
}

/**
 * The entries of a group's memory, in order. Batches are views of that memory, not copies.
 *
 * The memory has passed its checksum, so an unknown kind was written by a newer version: NEWER_FORMAT.
 */
export function* readEntries(memory: Uint8Array): Generator<readonly EntryPart[], void, undefined> {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength)
  let at = 0
  while (at + entryHeaderBytes <= memory.length) {
    const length = view.getUint32(at)
    // Groups are padded with zeros to a multiple of 64 bytes.
    if (length === 0) return
    assert(length % 8 === 0 && at + length <= memory.length, `entry of ${length} bytes at ${at} of ${memory.length}`)
    const count = view.getUint32(at + 4)
    const parts: EntryPart[] = []
    let position = at + entryHeaderBytes
    for (let index = 0; index < count; index++) {
      const payload = view.getUint32(position + 4)
      if (memory[position] === kindBatch) {
        const idStart = position + batchHeaderBytes
        const idEnd = idStart + (memory[position + 1] as number)
        const start = idStart + padded(idEnd - idStart)
        parts.push({
          kind: 'batch',
          topicId: latin1Slice(memory, idStart, idEnd),
          partition: view.getInt32(position + 8),
          leaderEpoch: view.getInt32(position + 12),
          segmentBase: readInt64(view, position + 16),
          filePosition: readInt64(view, position + 24),
          bytes: memory.subarray(start, start + payload),
        })
        position = start + padded(payload)
      } else {
        const start = position + partHeaderBytes
        parts.push(decodeFields(memory[position] as number, new ByteReader(memory, start, start + payload)))
        position = start + padded(payload)
      }
    }
    assert(position === at + length, `the parts of the entry at ${at} end at ${position}, not at ${at + length}`)
    yield parts
    at += length
  }
}

type ControlPart = Exclude<EntryPart, BatchPart>

function kindOf(part: ControlPart): number {
  switch (part.kind) {
    case 'topicCreated':
      return kindTopicCreated
    case 'topicDeleted':
      return kindTopicDeleted
    case 'topicConfig':
      return kindTopicConfig
    case 'logStart':
      return kindLogStart
    case 'segmentsReplaced':
      return kindSegmentsReplaced
    case 'incarnation':
      return kindIncarnation
    case 'partitionsAdded':
      return kindPartitionsAdded
    default:
      return unreachable(part)
  }
}

/** These parts are rare, so it does not matter that they are encoded twice: once to measure and once to write them. */
function encodeFields(part: ControlPart): Uint8Array {
  const out = new ByteWriter()
  switch (part.kind) {
    case 'topicCreated':
      out.string(part.topicId)
      out.string(part.name)
      out.i32(part.partitions)
      out.string(JSON.stringify(part.config))
      break
    case 'topicDeleted':
      out.string(part.topicId)
      break
    case 'topicConfig':
      out.string(part.topicId)
      out.string(JSON.stringify(part.config))
      break
    case 'logStart':
      out.string(part.topicId)
      out.i32(part.partition)
      out.i64(part.offset)
      break
    case 'segmentsReplaced':
      out.string(part.topicId)
      out.i32(part.partition)
      out.i32(part.oldBases.length)
      for (const base of part.oldBases) out.i64(base)
      out.i64(part.newBase)
      out.i64(part.newBytes)
      break
    case 'incarnation':
      out.i64(part.number)
      break
    case 'partitionsAdded':
      out.string(part.topicId)
      out.i32(part.partitions)
      break
    default:
      unreachable(part)
  }
  return out.bytes.subarray(0, out.length)
}

function decodeFields(kind: number, from: ByteReader): ControlPart {
  switch (kind) {
    case kindTopicCreated:
      return {
        kind: 'topicCreated',
        topicId: from.string(),
        name: from.string(),
        partitions: from.i32(),
        config: decodeConfig(from),
      }
    case kindTopicDeleted:
      return { kind: 'topicDeleted', topicId: from.string() }
    case kindTopicConfig:
      return { kind: 'topicConfig', topicId: from.string(), config: decodeConfig(from) }
    case kindLogStart:
      return { kind: 'logStart', topicId: from.string(), partition: from.i32(), offset: from.i64() }
    case kindSegmentsReplaced:
      return {
        kind: 'segmentsReplaced',
        topicId: from.string(),
        partition: from.i32(),
        oldBases: Array.from({ length: from.i32() }, () => from.i64()),
        newBase: from.i64(),
        newBytes: from.i64(),
      }
    case kindIncarnation:
      return { kind: 'incarnation', number: from.i64() }
    case kindPartitionsAdded:
      return { kind: 'partitionsAdded', topicId: from.string(), partitions: from.i32() }
    default:
      throw new LogError(
        'NEWER_FORMAT',
        `the journal contains a part of kind ${kind}, which this version does not know: open it with the newer millrace`,
        { kind },
      )
  }
}

/**
 * JSON, so that options can be added. Only millrace writes it, under the group's checksum. Missing options get their
 * defaults.
 */
function decodeConfig(from: ByteReader): TopicConfig {
  return { ...defaultTopicConfig, ...(JSON.parse(from.string()) as TopicConfig) }
}

function padded(length: number): number {
  return (length + 7) & ~7
}

function writeInt64(target: Buffer, value: number, at: number): void {
  target.writeInt32BE(Math.floor(value / 0x1_0000_0000) | 0, at)
  target.writeUInt32BE(value >>> 0, at + 4)
}

function readInt64(view: DataView, at: number): number {
  return view.getInt32(at) * 0x1_0000_0000 + view.getUint32(at + 4)
}
