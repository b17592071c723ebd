import type { Disk } from '../../../base/disk.ts'
import { LogError } from '../../api/errors.ts'
import type { TopicInfo } from '../../api/topic.ts'
import { CheckpointFile } from '../../journal/checkpoint-file.ts'
import type { CheckpointState, PartitionState, PendingDeletion } from '../../journal/checkpoint.ts'
import { readEntries } from '../../journal/entry.ts'
import type { WrittenGroup } from '../../journal/journal.ts'
import type { Applier, ApplierListener } from './applier.ts'
import { SegmentApplier, type UnsyncedNames } from './segment-applier.ts'

export interface ApplierOptions {
  readonly disk: Disk
  /** The data directory. */
  readonly directory: string
  /** Where the two checkpoint copies are. */
  readonly checkpointDirectory: string
  /** The topics before the first group that will be applied, as recovery returned them. */
  readonly topics: readonly TopicInfo[]
  /** Partitions in the newest checkpoint, all of them durable. */
  readonly durable?: readonly Pick<PartitionState, 'topicId' | 'partition' | 'segments'>[]
  /** The producers of each partition before the first group, as recovery returned them. */
  readonly producers?: readonly Pick<PartitionState, 'topicId' | 'partition' | 'producers'>[]
  /** Files and directories that recovery wrote and the first checkpoint has to sync. */
  readonly unsynced?: UnsyncedNames
  /** Default 256. */
  readonly openFilesMax?: number
}

/**
 * The applier in the caller's thread: in simulation, inside the applier thread itself, and where a thread would not pay
 * off. `apply` does the work before it returns and reports from inside the call. The syncs of a checkpoint go on in the
 * background: groups are applied meanwhile, which the checkpoint does not contain, as if the process had ended after
 * applying them and before the next checkpoint.
 */
export class InlineApplier implements Applier {
  readonly #listener: ApplierListener
  readonly #segments: SegmentApplier
  readonly #checkpoints: CheckpointFile
  /** Deletions in the checkpoint written last. The next checkpoint overwrites the copy before it. */
  #known = new Set<string>()
  #failure: LogError | null = null
  #closed: Promise<void> | null = null
  #checkpoint: Promise<void> = Promise.resolve()

  constructor(options: ApplierOptions, listener: ApplierListener) {
    this.#listener = listener
    this.#segments = new SegmentApplier(options)
    this.#checkpoints = CheckpointFile.open(options.disk, options.checkpointDirectory)
  }

  apply(group: WrittenGroup): void {
    this.applyAll([group])
  }

  /** Applies several groups with one write per segment, and reports once. */
  applyAll(groups: readonly WrittenGroup[]): void {
    const last = groups.at(-1)
    if (last === undefined || this.#failure !== null || this.#closed !== null) return
    try {
      for (const { memory } of groups) {
        for (const parts of readEntries(memory)) {
          for (const part of parts) this.#segments.apply(part)
        }
      }
      this.#segments.flush()
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#listener.applied(last.sequence)
    this.#syncAhead()
  }

  #syncAhead(): void {
    this.#segments.syncAhead().catch((error: unknown) => this.#fail(error))
  }

  checkpoint(state: CheckpointState): Promise<void> {
    if (this.#closed !== null) return Promise.reject(new LogError('CLOSED', 'the log is closed'))
    this.#checkpoint = this.#write(state)
    return this.#checkpoint
  }

  async #write(state: CheckpointState): Promise<void> {
    try {
      if (this.#failure === null) await this.#segments.sync(state.partitions)
      if (this.#failure !== null) throw this.#failure
      // Crash here: the files hold more than either checkpoint says. Replay writes the same bytes to the same
      // positions.
      this.#checkpoints.write(state)
      // Crash here: the deletions are in both copies and are carried out after the next two checkpoints.
      const both = state.deletions.filter((deletion) => this.#known.has(deletionKey(deletion)))
      this.#known = new Set(state.deletions.map(deletionKey))
      this.#segments.carryOut(both, state)
    } catch (error) {
      throw this.#fail(error)
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    // A descriptor must not be closed while its file is being synced.
    await this.#checkpoint.catch(() => {})
    await this.#segments.settled()
    try {
      if (this.#failure === null) this.#segments.close()
      else this.#segments.abandon()
    } catch (error) {
      throw applierFailure(error)
    }
  }

  #fail(error: unknown): LogError {
    if (this.#failure === null) {
      this.#failure = applierFailure(error)
      if (this.#closed === null) this.#listener.failed(this.#failure)
    }
    return this.#failure
  }
}

/** Identifies a deletion across checkpoints. */
function deletionKey(deletion: PendingDeletion): string {
  return `${deletion.topicId}/${deletion.partition}/${deletion.bases?.join(',') ?? 'all'}`
}

/** Translates a disk error into the error with which the log refuses further writes. */
export function applierFailure(error: unknown): LogError {
  if (error instanceof LogError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new LogError(
      'DISK_FULL',
      'the disk is full while applying to segments: free space, then open the log again',
      {},
      { cause: error },
    )
  }
  const what = error instanceof Error ? error.message : String(error)
  return new LogError(
    'WRITE_FAILED',
    `applying to the segment files failed (${what}): check the disk, then open the log again; the journal has everything`,
    {},
    { cause: error },
  )
}
