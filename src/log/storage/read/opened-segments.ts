import type { Disk, DiskFile } from '../../../base/disk.ts'
import type { Offset } from '../../api/record.ts'
import type { SegmentState } from '../../journal/checkpoint.ts'
import type { FileCache } from '../segment/file-cache.ts'
import { segmentFile } from '../segment/segment-files.ts'
import { SegmentIndexes } from '../segment/segment-indexes.ts'

/**
 * The files of one partition's segments that readers have open, and their indexes in memory.
 *
 * - A segment that compaction wrote may still have its `.swap` name. The name under which a segment is found is
 *   remembered until it is not found there any more. With `inPlace`, a `.swap` file is a successor that must not be
 *   read yet.
 * - The indexes of at most {@link indexesMax} segments are in memory, the most recently used ones. They start from the
 *   contents of the index files; a reader that finds an index wrong starts it anew.
 *
 * It checks nothing: the reader does.
 */
export class OpenedSegments {
  readonly #disk: Disk
  readonly #files: FileCache
  readonly #directory: string
  /** In the order of last use. */
  readonly #indexes = new Map<Offset, SegmentIndexes>()
  readonly #paths = new Map<Offset, string>()
  /** Whether all segments that are requested have their final names. */
  inPlace: boolean = false

  /** `directory` is the partition's directory. */
  constructor(disk: Disk, files: FileCache, directory: string) {
    this.#disk = disk
    this.#files = files
    this.#directory = directory
  }

  open(segment: SegmentState): DiskFile {
    const file = this.#files.openIfPresent(this.pathOf(segment.base))
    if (file !== null) return file
    // The applier may have renamed `.swap` to its final name since: look in the directory once more.
    this.#paths.delete(segment.base)
    return this.#files.open(this.pathOf(segment.base))
  }

  pathOf(base: Offset): string {
    if (this.inPlace) return `${this.#directory}/${segmentFile(base, '.log')}`
    let path = this.#paths.get(base)
    if (path === undefined) {
      const swap = `${this.#directory}/${segmentFile(base, '.log.swap')}`
      path = this.#disk.exists(swap) ? swap : `${this.#directory}/${segmentFile(base, '.log')}`
      this.#paths.set(base, path)
    }
    return path
  }

  indexesOf({ base }: SegmentState): SegmentIndexes {
    const known = this.#indexes.get(base)
    if (known !== undefined) {
      this.#indexes.delete(base)
      this.#indexes.set(base, known)
      return known
    }
    const swapped = this.pathOf(base).endsWith('.swap')
    const stored = {
      index: swapped ? null : this.#wholeFile(segmentFile(base, '.index')),
      timeIndex: swapped ? null : this.#wholeFile(segmentFile(base, '.timeindex')),
    }
    return this.#keep(base, SegmentIndexes.stored(stored, base, readerIntervalBytes))
  }

  /** Starts an index anew because the file's is wrong; it is built from the batches that are read on the way. */
  indexAnew({ base }: SegmentState): SegmentIndexes {
    return this.#keep(base, new SegmentIndexes(base, readerIntervalBytes))
  }

  #keep(base: Offset, indexes: SegmentIndexes): SegmentIndexes {
    this.#indexes.set(base, indexes)
    for (const oldest of this.#indexes.keys()) {
      if (this.#indexes.size <= indexesMax) break
      this.#indexes.delete(oldest)
    }
    return indexes
  }

  #wholeFile(name: string): Buffer | null {
    const file = this.#files.openIfPresent(`${this.#directory}/${name}`)
    if (file === null) return null
    const bytes = Buffer.allocUnsafeSlow(file.size())
    return bytes.subarray(0, file.read(bytes, 0))
  }
}

/** Number of segments of a partition whose indexes stay in memory. */
const indexesMax = 8
/** A reader's own index may be finer or coarser than the file's, because it only provides a place to start. */
const readerIntervalBytes = 4096
