import { decodeCommitRecord } from '../api/commit-records.ts'
import type { CommitRecord } from '../api/commit-section.ts'
import { commitsTopic } from '../api/internal-topics.ts'
import { partitionName, type Offset } from '../api/record.ts'
import { BatchCursor } from '../format/record-cursor.ts'
import type { PartitionReaders } from '../storage/partition-reader.ts'
import type { Catalog, Partition } from './catalog.ts'

/**
 * How far each changelog may be compacted so that its application can still be rewound to any recorded commit: to the
 * changelog's end at the oldest commit that is still in `__millrace_commits`.
 *
 * The first record from there on that mentions a changelog says it: its range in that record starts where the changelog
 * ended before. Only so many bytes are looked through; a changelog that they do not mention, but that belongs to an
 * application, is left alone for now.
 */
export class RewindHorizons {
  readonly #ends = new Map<string, Offset>()
  readonly #applications = new Set<string>()
  /** Whether everything that is recorded was looked through. */
  #complete = true

  static read(catalog: Catalog, segments: PartitionReaders, applied: number): RewindHorizons {
    const horizons = new RewindHorizons()
    for (const partition of catalog.topic(commitsTopic)?.partitions ?? []) {
      if (partition.touched) horizons.#readPartition(partition, segments, applied)
    }
    return horizons
  }

  /** Below which offset older records of a key may go; null if that cannot be said now. */
  of(partition: Partition): Offset | null {
    const end = this.#ends.get(partition.name)
    if (end !== undefined) return end
    // Nothing that is recorded mentions it: all of it lies before the oldest commit, or it is no changelog at all.
    if (this.#complete || !this.#mayBeChangelog(partition)) return partition.end
    return null
  }

  #mayBeChangelog(partition: Partition): boolean {
    return [...this.#applications].some((application) => partition.topic.name.startsWith(application))
  }

  #readPartition(partition: Partition, segments: PartitionReaders, applied: number): void {
    let from = partition.logStart
    let bytes = 0
    const end = partition.tailStart
    while (from < end) {
      if (bytes >= bytesRead) {
        this.#complete = false
        return
      }
      const read = segments.of(partition.at).read({
        from,
        end,
        bytesMax: bytesRead / 4,
        segments: partition.segmentsToRead(applied, () => segments.forget(partition.at)),
      })
      this.#readBatches(read.bytes, from)
      bytes += read.bytes.length
      from = read.nextOffset
    }
    // What is only in memory yet comes last: it mentions nothing earlier than the files do.
    for (const batch of partition.tail.slice(partition.tailHead)) this.#readBatches(batch.memory, from)
  }

  #readBatches(bytes: Uint8Array, from: Offset): void {
    const cursor = new BatchCursor([bytes], from)
    while (cursor.next()) this.#note(decodeCommitRecord(cursor.bytes.subarray(cursor.valueStart, cursor.valueEnd)))
  }

  #note(record: CommitRecord): void {
    const first = !this.#applications.has(record.application)
    this.#applications.add(record.application)
    for (const { changelogs } of record.sections) {
      for (const { at, start, end } of changelogs) {
        const name = partitionName(at)
        // The oldest commit itself is rewound to with its own changelog records in place.
        if (!this.#ends.has(name)) this.#ends.set(name, first ? end : start)
      }
    }
  }
}

/** Per partition of the topic and pass: several seconds of commits, in which every busy changelog is mentioned. */
const bytesRead = 4 * 1024 * 1024
