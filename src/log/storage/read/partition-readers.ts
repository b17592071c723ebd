import type { Disk } from '../../../base/disk.ts'
import { partitionName, type TopicPartition } from '../../api/record.ts'
import { FileCache } from '../segment/file-cache.ts'
import { partitionPath } from '../segment/segment-files.ts'
import { OpenedSegments } from './opened-segments.ts'
import { PartitionReader } from './partition-reader.ts'

/**
 * The readers of all partitions, with one bounded set of open files, for the thread that serves reads. Never writes.
 */
export class PartitionReaders {
  readonly #disk: Disk
  readonly #directory: string
  readonly #contiguous: boolean
  readonly #files: FileCache
  readonly #readers = new Map<string, PartitionReader>()

  constructor(options: ReaderOptions) {
    this.#disk = options.disk
    this.#directory = options.directory
    this.#contiguous = options.contiguous ?? true
    this.#files = new FileCache(options.disk, 'read', options.openFilesMax)
  }

  of(at: TopicPartition): PartitionReader {
    const name = partitionName(at)
    let reader = this.#readers.get(name)
    if (reader === undefined) {
      const path = partitionPath(this.#directory, at)
      const opened = new OpenedSegments(this.#disk, this.#files, path)
      reader = new PartitionReader(path, opened, { contiguous: this.#contiguous })
      this.#readers.set(name, reader)
    }
    return reader
  }

  /** Forgets the partition's files, because it was deleted or its segments were replaced. */
  forget(at: TopicPartition): void {
    this.#readers.delete(partitionName(at))
    this.#files.forgetDirectory(partitionPath(this.#directory, at))
  }

  close(): void {
    this.#readers.clear()
    this.#files.close()
  }
}

export interface ReaderOptions {
  readonly disk: Disk
  readonly directory: string
  /** Default 128. */
  readonly openFilesMax?: number
  /**
   * Whether batches of a segment that compaction never touched must follow each other without gaps, so that a gap is
   * damage. Default true; false where offsets get artificial gaps.
   */
  readonly contiguous?: boolean
}
