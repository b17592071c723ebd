import type { Disk } from '../../../base/disk.ts'
import type { Offset } from '../../api/record.ts'
import type { TopicInfo } from '../../api/topic.ts'
import type { CheckpointState, PartitionState, PendingDeletion, SegmentState } from '../../journal/checkpoint.ts'
import { removePartitionDirectory, segmentPaths } from '../partition-directory.ts'
import type { FileCache } from '../segment/file-cache.ts'
import { abortedIndexes } from '../segment/kafka-files.ts'
import { partitionPath, segmentFile } from '../segment/segment-files.ts'
import { SegmentIndexes } from '../segment/segment-indexes.ts'

export interface DeletedFilesOptions {
  readonly disk: Disk
  /** The data directory. */
  readonly directory: string
  /** The files that the applier keeps open; some of them may have to be closed. */
  readonly files: FileCache
  /** Returns undefined for a deleted topic. */
  readonly topicOf: (topicId: string) => TopicInfo | undefined
}

/**
 * Deletes files whose deletion the journal has decided. Nothing else unlinks segments.
 *
 * It carries out deletions that both checkpoints contain, so that no recovery will need these files again. Repeating a
 * deletion does no harm. A segment that compaction rewrote counts as a deletion too: the old file is replaced by its
 * successor, which gets its name.
 */
export class DeletedFiles {
  readonly #disk: Disk
  readonly #directory: string
  readonly #files: FileCache
  readonly #topicOf: (topicId: string) => TopicInfo | undefined

  constructor({ disk, directory, files, topicOf }: DeletedFilesOptions) {
    this.#disk = disk
    this.#directory = directory
    this.#files = files
    this.#topicOf = topicOf
  }

  /** `state` is the newest checkpoint: segments that are live in it are not unlinked but swapped in. */
  carryOut(deletions: readonly PendingDeletion[], state: CheckpointState): void {
    if (deletions.length === 0) return
    const live = new Map<string, Map<number, PartitionState>>()
    for (const each of state.partitions) {
      const known = live.get(each.topicId)
      if (known === undefined) live.set(each.topicId, new Map([[each.partition, each]]))
      else known.set(each.partition, each)
    }
    // Deleting a topic with many partitions means many deletions: their directories are found with one listing.
    const dead = deletions.some(({ bases }) => bases === undefined)
      ? this.#deadDirectories()
      : new Map<string, string>()
    for (const deletion of deletions) {
      if (deletion.bases === undefined) this.#removeDeleted(deletion, dead)
      else this.#removeSegments(deletion, deletion.bases, live)
    }
  }

  /** Names of the directories of deleted partitions, by partition and topic id. */
  #deadDirectories(): Map<string, string> {
    const dead = new Map<string, string>()
    for (const name of this.#disk.list(this.#directory)) {
      const place = /-(\d{1,10}\.[0-9a-f]{32})-delete$/.exec(name)?.[1]
      if (place !== undefined) dead.set(place, name)
    }
    return dead
  }

  #removeDeleted({ topicId, partition }: PendingDeletion, dead: ReadonlyMap<string, string>): void {
    const name = dead.get(`${partition}.${Buffer.from(topicId, 'base64url').toString('hex')}`)
    if (name === undefined) return
    // Crash here, or between any two files: the directory keeps its name, and the next checkpoint continues.
    removePartitionDirectory(this.#disk, `${this.#directory}/${name}`)
    this.#disk.syncDirectory(this.#directory)
  }

  #removeSegments(
    deletion: PendingDeletion,
    bases: readonly Offset[],
    states: ReadonlyMap<string, ReadonlyMap<number, PartitionState>>,
  ): void {
    const topic = this.#topicOf(deletion.topicId)
    if (topic === undefined) return
    const path = partitionPath(this.#directory, { topic: topic.name, partition: deletion.partition })
    if (!this.#disk.exists(path)) return
    const state = states.get(deletion.topicId)?.get(deletion.partition)
    const live = new Map(state?.segments.map((segment) => [segment.base, segment] as const))
    let changed = false
    for (const base of bases) {
      const segment = live.get(base)
      if (state === undefined || segment === undefined) continue
      changed = this.#swapIn(path, segment, { state, intervalBytes: topic.config.indexIntervalBytes }) || changed
    }
    // Crash here: whether or not a swap took place, the segment is looked for under `.swap` first, then under `.log`.
    if (changed) this.#disk.syncDirectory(path)
    for (const base of bases) {
      if (live.has(base)) continue
      for (const file of segmentPaths(path, base)) {
        this.#files.forget(file)
        if (!this.#disk.exists(file)) continue
        this.#disk.unlink(file)
        changed = true
      }
    }
    if (changed) this.#disk.syncDirectory(path)
  }

  /** Renames a compacted segment to its final name. First removes the old indexes, which describe the old bytes. */
  #swapIn(
    path: string,
    { base, bytes }: SegmentState,
    { state, intervalBytes }: { readonly state: PartitionState; readonly intervalBytes: number },
  ): boolean {
    const swap = `${path}/${segmentFile(base, '.log.swap')}`
    if (!this.#disk.exists(swap)) return false
    for (const suffix of ['.index', '.timeindex', '.txnindex'] as const) {
      const file = `${path}/${segmentFile(base, suffix)}`
      this.#files.forget(file)
      // Crash here: readers build an index in memory if the file is missing.
      if (this.#disk.exists(file)) this.#disk.unlink(file)
    }
    const log = `${path}/${segmentFile(base, '.log')}`
    this.#files.forget(log)
    this.#disk.rename(swap, log)
    // Crash here: as above. An incomplete index is detected when it is opened, and rebuilt.
    const indexes = SegmentIndexes.build(this.#files.open(log), { base, bytes, intervalBytes })
    indexes.finish()
    this.#files.open(`${path}/${segmentFile(base, '.timeindex')}`).write(indexes.times.encode(), 0)
    this.#files.open(`${path}/${segmentFile(base, '.index')}`).write(indexes.offsets.encode(), 0)
    // Crash here: the aborted index is missing or incomplete; recovery rewrites it from the checkpoint.
    const aborted = abortedIndexes(state).get(base)
    if (aborted !== undefined) this.#files.open(`${path}/${segmentFile(base, '.txnindex')}`).write(aborted, 0)
    return true
  }
}
