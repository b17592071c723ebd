import type { Disk } from '../../base/disk.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import type { PartitionState } from '../journal/checkpoint.ts'
import { readText } from './data-directory.ts'
import { lostAndFound, partitionMetadataFile, partitionPath, segmentFile, type SegmentSuffix } from './segment-files.ts'

/** `partition.metadata`: which topic the directory belongs to. Kafka's text, without a newline at the end. */
export function partitionMetadata(topicId: string): Uint8Array {
  return new TextEncoder().encode(`version: 0\ntopic_id: ${topicId}`)
}

/** The topic id that a partition's directory carries; null if it has none that can be read. */
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
 * Moves a file or directory that nobody vouches for out of the way, under a name that says where it was. Deleting is
 * never right here: it may be the only copy of something. Returns its new path.
 */
export function moveToLostAndFound(disk: Disk, directory: string, path: string): string {
  const home = `${directory}/${lostAndFound}`
  disk.makeDirectory(home)
  const name = path.slice(directory.length + 1).replaceAll('/', '~')
  let target = `${home}/${name}`
  for (let copy = 1; disk.exists(target); copy++) target = `${home}/${name}.${copy}`
  disk.rename(path, target)
  // Crash here: the file is under its old or its new name. Under the old one the next opening finds and moves it again.
  disk.syncDirectory(home)
  disk.syncDirectory(path.slice(0, path.lastIndexOf('/')))
  disk.syncDirectory(directory)
  return target
}

/** Removes a deleted partition's directory with its files. Started again after a crash, it goes on. */
export function removePartitionDirectory(disk: Disk, path: string): void {
  for (const name of disk.list(path)) disk.unlink(`${path}/${name}`)
  disk.removeDirectory(path)
}

/** Whether the directory of a partition is there and belongs to this topic. */
export function isDirectoryOf(disk: Disk, directory: string, at: TopicPartition, topicId: string): boolean {
  const path = partitionPath(directory, at)
  return disk.exists(path) && topicIdOf(disk, path) === topicId
}
