import { join } from 'node:path'
import { readWhole, writeSynced, type Disk } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import { decodeCheckpoint, encodeCheckpoint, type CheckpointState, type NumberedCheckpoint } from './checkpoint.ts'

/**
 * The two copies of the checkpoint, `checkpoint-0` and `checkpoint-1`, written alternately.
 *
 * - The newest valid copy counts. An invalid copy is overwritten next. If there are copies and none is valid, it is
 *   CHECKPOINT_ROT: a copy gets its name only after it was synced, so it cannot be torn.
 * - Only what both copies contain may be deleted or recycled: `lowerSequence`.
 *
 * The caller makes sure, before `write`, that everything a checkpoint claims is synced.
 */
export class CheckpointFile {
  readonly #disk: Disk
  readonly #directory: string
  #copies: (NumberedCheckpoint | null)[] = [null, null]

  private constructor(disk: Disk, directory: string) {
    this.#disk = disk
    this.#directory = directory
  }

  /** Reads both copies. */
  static open(disk: Disk, directory: string): CheckpointFile {
    const file = new CheckpointFile(disk, directory)
    const paths = [0, 1].map((copy) => file.#path(copy)).filter((path) => disk.exists(path))
    file.#copies = [0, 1].map((copy) => file.#read(file.#path(copy)))
    if (paths.length > 0 && file.newest === null) {
      throw new LogError(
        'CHECKPOINT_ROT',
        `${paths.join(' and ')} cannot be read, and one of the two is needed: restore one of them as it was, or the whole data directory from a copy`,
        { paths },
      )
    }
    return file
  }

  /** The newest valid checkpoint, null before the first. */
  get newest(): CheckpointState | null {
    return this.#newest()?.state ?? null
  }

  /** The sequence that both copies cover; 0 while there is only one. */
  get lowerSequence(): number {
    const [first, second] = this.#copies
    return first && second ? Math.min(first.state.sequence, second.state.sequence) : 0
  }

  /** Overwrites the older copy; durable when it returns. */
  write(state: CheckpointState): void {
    const newest = this.#newest()
    const copy = newest !== null && newest === this.#copies[0] ? 1 : 0
    const checkpoint = { counter: newest === null ? 0 : newest.counter + 1, state }
    const temporary = `${this.#path(copy)}.tmp`
    // Crash here: the temporary file does not have a checkpoint's name; the next checkpoint overwrites it.
    writeSynced(this.#disk, temporary, encodeCheckpoint(checkpoint))
    // Crash here: both copies are unchanged.
    this.#disk.rename(temporary, this.#path(copy))
    // Crash here: the name refers to the older copy or to the new one, either of them complete.
    this.#disk.syncDirectory(this.#directory)
    this.#copies[copy] = checkpoint
  }

  #newest(): NumberedCheckpoint | null {
    const [first = null, second = null] = this.#copies
    if (first === null || second === null) return first ?? second
    return first.counter > second.counter ? first : second
  }

  #read(path: string): NumberedCheckpoint | null {
    return this.#disk.exists(path) ? decodeCheckpoint(readWhole(this.#disk, path), path) : null
  }

  #path(copy: number): string {
    return join(this.#directory, `checkpoint-${copy}`)
  }
}
