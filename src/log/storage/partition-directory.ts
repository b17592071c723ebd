import type { Disk } from '../../base/disk.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import type { PartitionState } from '../journal/checkpoint.ts'
import { readText } from './data-directory.ts'
import {
  lostAndFound,
  partitionMetadataFile,
  partitionPath,
  segmentFile,
  type SegmentSuffix,
} from './segment/segment-files.ts'

/** `partition.metadata`: the topic that the directory belongs to. Kafka's text, without a newline at the end. */
export function partitionMetadata(topicId: string): Uint8Array {
  return new TextEncoder().encode(`version: 0\ntopic_id: ${topicId}`)
}

/** The topic id stored in a partition's directory; null if there is none or it is unreadable. */
export function topicIdOf(disk: Disk, path: string): string | null {
  const text = readText(disk, `${path}/${partitionMetadataFile}`)
  return /^version: 0\ntopic_id: ([A-Za-z0-9_-]{22})$/.exec(text ?? '')?.[1] ?? null
}

/** `leader-epoch-checkpoint`: Kafka's text, `0`, the count, then `epoch startOffset` per line. */
export function leaderEpochCheckpoint(epochs: PartitionState['epochs']): string {
  return ['0', String(epochs.length), ...epochs.map(({ epoch, start }) => `${epoch} ${start}`), ''].join('\n')
}

const everySuffix: readonly SegmentSuffix[] = [
  '.log',
  '.index',
  '.timeindex',
  '.txnindex',
  '.snapshot',
  '.log.cleaned',
  '.log.swap',
]

/** Paths of all files that a segment may have. */
export function segmentPaths(path: string, base: Offset): string[] {
  return everySuffix.map((suffix) => `${path}/${segmentFile(base, suffix)}`)
}

/**
 * Moves a file or directory that belongs to nothing to `lost+found`, under a name that tells its old path. Deleting it
 * would be wrong, because it may be the only copy of something. Returns its new path.
 */
export function moveToLostAndFound(disk: Disk, directory: string, path: string): string {
  const home = `${directory}/${lostAndFound}`
  disk.makeDirectory(home)
  const name = shortened(path.slice(directory.length + 1).replaceAll('/', '~'))
  let target = `${home}/${name}`
  for (let copy = 1; disk.exists(target); copy++) target = `${home}/${name}.${copy}`
  disk.rename(path, target)
  // Crash here: the file has its old or its new name. If it has the old one, the next opening moves it again.
  disk.syncDirectory(home)
  disk.syncDirectory(path.slice(0, path.lastIndexOf('/')))
  disk.syncDirectory(directory)
  return target
}

/** A topic's name may be so long that the path of its file is no name any more. The beginning and the end tell enough. */
function shortened(name: string): string {
  if (name.length <= lostNameLengthMax) return name
  return `${name.slice(0, lostNameLengthMax - lostNameEnd)}~${name.slice(1 - lostNameEnd)}`
}

/** File systems take 255 bytes; the rest is for the number of a copy. */
const lostNameLengthMax = 240
const lostNameEnd = 60

/** Removes a deleted partition's directory with its files. Can be repeated after a crash. */
export function removePartitionDirectory(disk: Disk, path: string): void {
  for (const name of disk.list(path)) disk.unlink(`${path}/${name}`)
  disk.removeDirectory(path)
}

/** Whether a partition's directory exists and belongs to this topic. */
export function isDirectoryOf(disk: Disk, directory: string, at: TopicPartition, topicId: string): boolean {
  const path = partitionPath(directory, at)
  return disk.exists(path) && topicIdOf(disk, path) === topicId
}
