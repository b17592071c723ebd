import { isMissing, type Disk } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import { partitionsMax } from '../broker/topics/topic-config.ts'
import { readText } from '../storage/data-directory.ts'
import { topicIdOf } from '../storage/partition-directory.ts'
import { partitionOfName, segmentFile } from '../storage/segment/segment-files.ts'

/**
 * The contents of a broker's log directory, interpreted by Kafka's own rules without changing it:
 *
 * - A `.deleted` file has been deleted, a `.cleaned` file was never finished.
 * - A `.swap` file was finished: it replaces every segment from its base up to its end. It is ignored if a `.cleaned`
 *   file at or below its base shows that the same step was not finished.
 * - Partitions that are being deleted or moved, or that are stray, are left out and listed.
 */
export interface SourceDirectory {
  readonly partitions: readonly SourcePartition[]
  /** The names of directories that were left out. */
  readonly leftOut: readonly string[]
  /** Whether the broker was shut down properly; if so, nothing may be torn. */
  readonly cleanlyClosed: boolean
}

export interface SourcePartition {
  readonly at: TopicPartition
  readonly path: string
  /** Null if the directory does not contain it. */
  readonly topicId: string | null
  readonly segments: readonly SourceSegment[]
  readonly logStart: Offset
  /** The broker had synced everything below this offset, so corruption there is not a torn tail. */
  readonly recoveryPoint: Offset
  /** Names of indexes without a segment: what remains of an interrupted deletion, or of a segment that was lost. */
  readonly orphans: readonly string[]
}

export interface SourceSegment {
  readonly base: Offset
  readonly path: string
  readonly bytes: number
  /** The base of the next segment; every offset in this one is below it. Infinity for the last one. */
  readonly below: Offset
}

/**
 * Reads a directory. Throws NEWER_FORMAT if `meta.properties` says that a later Kafka wrote it, or FOREIGN_DIRECTORY if
 * the number of a partition is one that no topic has.
 */
export function readSourceDirectory(disk: Disk, directory: string): SourceDirectory {
  checkVersion(disk, `${directory}/meta.properties`)
  const starts = offsetCheckpoint(disk, `${directory}/log-start-offset-checkpoint`)
  const points = offsetCheckpoint(disk, `${directory}/recovery-point-offset-checkpoint`)
  const cleanlyClosed = disk.exists(`${directory}/.kafka_cleanshutdown`)
  const partitions: SourcePartition[] = []
  const leftOut: string[] = []
  for (const name of disk.list(directory)) {
    const at = partitionOfName(name)
    const path = `${directory}/${name}`
    if (at === null || !isPartition(disk, path)) {
      if (/-(delete|stray|future)$/.test(name)) leftOut.push(name)
      continue
    }
    checkNumber(at, path)
    const segments = sourceSegments(disk, path)
    const first = segments[0]?.base ?? 0
    const last = segments.at(-1)?.base ?? 0
    partitions.push({
      at,
      path,
      topicId: topicIdOf(disk, path),
      segments,
      logStart: Math.max(starts.get(name) ?? 0, first),
      recoveryPoint: points.get(name) ?? last,
      orphans: orphansOf(disk, path, segments),
    })
  }
  partitions.sort((left, right) =>
    left.at.topic < right.at.topic ? -1 : left.at.topic > right.at.topic ? 1 : left.at.partition - right.at.partition,
  )
  return { partitions, leftOut, cleanlyClosed }
}

/**
 * Version 0 is written by brokers with ZooKeeper and version 1 by those without; the files of a partition are the same.
 */
function checkVersion(disk: Disk, path: string): void {
  const version = /^version=(.*)$/m.exec(readText(disk, path) ?? '')?.[1]?.trim() ?? '1'
  if (version === '0' || version === '1') return
  throw new LogError(
    'NEWER_FORMAT',
    `${path} says version ${version}, but only 0 and 1 are known: adopt with a newer millrace, or a directory of an older broker`,
    { path, version },
  )
}

function isPartition(disk: Disk, path: string): boolean {
  try {
    return disk.list(path).some((name) => /^\d{20}\.(log|log\.swap)$/.test(name) || name === 'partition.metadata')
  } catch (error) {
    // A directory that may not be read is not passed over: its records would be missing without a word.
    if (!isMissing(error)) throw error
    // A file with the name of a partition.
    return false
  }
}

/** A copy such as `orders-20260131` has the name of a partition, but a topic with so many could not be opened. */
function checkNumber({ topic, partition }: TopicPartition, path: string): void {
  if (partition < partitionsMax) return
  throw new LogError(
    'FOREIGN_DIRECTORY',
    `${path} has the name of partition ${partition} of topic ${topic}, but partitions end at ${partitionsMax - 1}: move it elsewhere, or give a copy another name`,
    { path, partition },
  )
}

function sourceSegments(disk: Disk, path: string): readonly SourceSegment[] {
  const names = disk.list(path)
  const basesOf = (suffix: string): Offset[] =>
    names.filter((name) => /^\d{20}\./.test(name) && name.slice(20) === suffix).map((name) => Number(name.slice(0, 20)))
  const unfinished = Math.min(...basesOf('.log.cleaned'), Infinity)
  const swaps = basesOf('.log.swap').filter((base) => base < unfinished)
  const segments = new Map<Offset, FoundSegment>()
  for (const base of basesOf('.log')) segments.set(base, segment(disk, path, base, '.log'))
  for (const base of swaps) {
    const swap = segment(disk, path, base, '.log.swap')
    const reach = endOf(disk, swap)
    for (const other of segments.keys()) if (other >= base && other < reach) segments.delete(other)
    segments.set(base, swap)
  }
  const ordered = [...segments.values()].sort((left, right) => left.base - right.base)
  return ordered.map((one, index) => ({ ...one, below: ordered[index + 1]?.base ?? Infinity }))
}

function orphansOf(disk: Disk, path: string, segments: readonly SourceSegment[]): readonly string[] {
  const indexes = disk.list(path).filter((name) => /^\d{20}\.index$/.test(name))
  // A finished swap replaces segments whose indexes may still be there.
  const swapped = segments.some((segment) => segment.path.endsWith('.swap'))
  return swapped ? [] : indexes.filter((name) => segments.every(({ base }) => base !== Number(name.slice(0, 20))))
}

type FoundSegment = Omit<SourceSegment, 'below'>

function segment(disk: Disk, path: string, base: Offset, suffix: '.log' | '.log.swap'): FoundSegment {
  const file = disk.open(`${path}/${segmentFile(base, suffix)}`, 'read')
  try {
    return { base, path: file.path, bytes: file.size() }
  } finally {
    file.close()
  }
}

/** The offset after the last batch, according to the batch headers, as far as they can be followed. */
function endOf(disk: Disk, { path, bytes, base }: FoundSegment): Offset {
  const file = disk.open(path, 'read')
  let end = base
  try {
    const header = Buffer.alloc(61)
    for (let at = 0; at + 61 <= bytes && file.read(header, at) === 61;) {
      const size = header.readInt32BE(8) + 12
      if (size < 61) break
      end = Number(header.readBigInt64BE(0)) + header.readInt32BE(23) + 1
      at += size
    }
  } finally {
    file.close()
  }
  return end
}

/**
 * The offsets by partition, from lines of `topic partition offset`. Empty without a readable file, which means that
 * nothing is known.
 */
function offsetCheckpoint(disk: Disk, path: string): ReadonlyMap<string, Offset> {
  const offsets = new Map<string, Offset>()
  const lines = (readText(disk, path, checkpointBytesMax) ?? '').split('\n')
  if (lines[0] !== '0') return offsets
  for (const line of lines.slice(2)) {
    const match = /^(\S+) (\d+) (\d+)$/.exec(line)
    if (match?.[1] !== undefined) offsets.set(`${match[1]}-${match[2]}`, Number(match[3]))
  }
  return offsets
}

/** A line has some 40 bytes. */
const checkpointBytesMax = 64 * 1024 * 1024
