import type { Disk } from '../../base/disk.ts'
import type { Offset } from '../api/record.ts'
import type { TopicInfo } from '../api/topic.ts'
import type { CheckpointState, PartitionState, PendingDeletion, SegmentState } from '../journal/checkpoint.ts'
import type { FileCache } from './file-cache.ts'
import { abortedIndexes } from './kafka-files.ts'
import { removePartitionDirectory, segmentPaths } from './partition-directory.ts'
import { partitionPath, segmentFile } from './segment-files.ts'
import { SegmentIndexes } from './segment-indexes.ts'

export interface DeletedFilesOptions {
  readonly disk: Disk
  /** The data directory. */
  readonly directory: string
  /** Where the applier keeps files open that may have to go. */
  readonly files: FileCache
  /** Undefined for a topic that is deleted. */
  readonly topicOf: (topicId: string) => TopicInfo | undefined
}

/**
 * Files whose deletion the journal has decided: the one place that unlinks.
 *
 * Carries out deletions that both checkpoints know of, so that no recovery will ask for these files again. Doing it twice
 * does no harm. A segment that compaction rewrote counts as one too: the old one goes, and its successor takes its name.
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

  /** `state` is the newest checkpoint: what it counts as live is not unlinked but swapped in. */
  carryOut(deletions: readonly PendingDeletion[], state: CheckpointState): void {
    if (deletions.length === 0) return
    const live = new Map<string, Map<number, PartitionState>>()
    for (const each of state.partitions) {
      const known = live.get(each.topicId)
      if (known === undefined) live.set(each.topicId, new Map([[each.partition, each]]))
      else known.set(each.partition, each)
    }
    // A topic of many partitions is many deletions: its directories are found in one look.
    const dead = deletions.some(({ bases }) => bases === undefined)
      ? this.#deadDirectories()
      : new Map<string, string>()
    for (const deletion of deletions) {
      if (deletion.bases === undefined) this.#removeDeleted(deletion, dead)
      else this.#removeSegments(deletion, deletion.bases, live)
    }
  }

  /** Names of deleted partitions' directories, by partition and topic id. */
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
    // Crash here, or between any two files: the directory keeps its name, the next checkpoint goes on.
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
    // Crash here: whether a swap took place or not, the segment is found under `.swap` first, under `.log` otherwise.
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

  /** Puts a compacted segment under its final name. Its old indexes go first: they speak of the old bytes. */
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
      // Crash here: readers build an index in memory when the file is missing.
      if (this.#disk.exists(file)) this.#disk.unlink(file)
    }
    const log = `${path}/${segmentFile(base, '.log')}`
    this.#files.forget(log)
    this.#disk.rename(swap, log)
    // Crash here: as above. Half an index is found out by who opens it, and made anew.
    const indexes = SegmentIndexes.build(this.#files.open(log), { base, bytes, intervalBytes })
    indexes.finish()
    this.#files.open(`${path}/${segmentFile(base, '.timeindex')}`).write(indexes.times.encode(), 0)
    this.#files.open(`${path}/${segmentFile(base, '.index')}`).write(indexes.offsets.encode(), 0)
    // Crash here: without it, or with half of it; recovery makes it what the checkpoint says.
    const aborted = abortedIndexes(state).get(base)
    if (aborted !== undefined) this.#files.open(`${path}/${segmentFile(base, '.txnindex')}`).write(aborted, 0)
    return true
  }
}
