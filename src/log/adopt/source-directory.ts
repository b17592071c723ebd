import type { Disk } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import { readText } from '../storage/data-directory.ts'
import { topicIdOf } from '../storage/partition-directory.ts'
import { partitionOfName, segmentFile } from '../storage/segment-files.ts'

/**
 * What lies in a log directory of a broker, by Kafka's own rules and without touching it:
 *
 * - `.deleted` is gone, `.cleaned` was never finished.
 * - A `.swap` was finished: it stands for every segment from its base on, as far as it reaches. Unless a `.cleaned` at or
 *   below its base says that the same step left more behind.
 * - Partitions that are being deleted, moved or belong to nobody are left out, and named.
 */
export interface SourceDirectory {
  readonly partitions: readonly SourcePartition[]
  /** Directories that were left out. */
  readonly leftOut: readonly string[]
  /** Whether a broker closed it: then nothing may be torn. */
  readonly cleanlyClosed: boolean
}

export interface SourcePartition {
  readonly at: TopicPartition
  readonly path: string
  /** Null if the directory does not say. */
  readonly topicId: string | null
  readonly segments: readonly SourceSegment[]
  readonly logStart: Offset
  /** Below it a broker had synced everything: what is broken there is no torn tail. */
  readonly recoveryPoint: Offset
}

export interface SourceSegment {
  readonly base: Offset
  readonly path: string
  readonly bytes: number
}

/** Throws NEWER_FORMAT where `meta.properties` says that a later Kafka has laid it out. */
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
    })
  }
  partitions.sort((left, right) =>
    left.at.topic < right.at.topic ? -1 : left.at.topic > right.at.topic ? 1 : left.at.partition - right.at.partition,
  )
  return { partitions, leftOut, cleanlyClosed }
}

/** Version 0 is of brokers with ZooKeeper, 1 of those without; the files of a partition are the same. */
function checkVersion(disk: Disk, path: string): void {
  const version = /^version=(.*)$/m.exec(readText(disk, path) ?? '')?.[1]?.trim() ?? '1'
  if (version === '0' || version === '1') return
  throw new LogError(
    'NEWER_FORMAT',
    `${path} says version ${version}, known are 0 and 1: adopt with a newer millrace, or a directory of an older broker`,
    { path, version },
  )
}

function isPartition(disk: Disk, path: string): boolean {
  try {
    return disk.list(path).some((name) => /^\d{20}\.(log|log\.swap)$/.test(name) || name === 'partition.metadata')
  } catch {
    // A file that is called like one.
    return false
  }
}

function sourceSegments(disk: Disk, path: string): readonly SourceSegment[] {
  const names = disk.list(path)
  const basesOf = (suffix: string): Offset[] =>
    names.filter((name) => /^\d{20}\./.test(name) && name.slice(20) === suffix).map((name) => Number(name.slice(0, 20)))
  const unfinished = Math.min(...basesOf('.log.cleaned'), Infinity)
  const swaps = basesOf('.log.swap').filter((base) => base < unfinished)
  const segments = new Map<Offset, SourceSegment>()
  for (const base of basesOf('.log')) segments.set(base, segment(disk, path, base, '.log'))
  for (const base of swaps) {
    const swap = segment(disk, path, base, '.log.swap')
    const reach = endOf(disk, swap)
    for (const other of segments.keys()) if (other >= base && other < reach) segments.delete(other)
    segments.set(base, swap)
  }
  return [...segments.values()].sort((left, right) => left.base - right.base)
}

function segment(disk: Disk, path: string, base: Offset, suffix: '.log' | '.log.swap'): SourceSegment {
  const file = disk.open(`${path}/${segmentFile(base, suffix)}`, 'read')
  try {
    return { base, path: file.path, bytes: file.size() }
  } finally {
    file.close()
  }
}

/** The offset after the last batch, by the headers; as far as they lead. */
function endOf(disk: Disk, { path, bytes, base }: SourceSegment): Offset {
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

/** `topic partition offset` per line, by partition; empty if there is none that can be read: then nothing is claimed. */
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

/** A line takes some 40 bytes. */
const checkpointBytesMax = 64 * 1024 * 1024
