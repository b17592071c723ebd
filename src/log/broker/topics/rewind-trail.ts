import type { CommitRecord, PlacedSection } from '../../api/commit-section.ts'
import { commitsTopic } from '../../api/internal-topics.ts'
import type { Offset } from '../../api/record.ts'
import type { RewindMark, RewindState, WindowMarks } from '../../journal/checkpoint.ts'
import type { Catalog, Topic } from './catalog.ts'
import type { Partition } from './partition.ts'

/**
 * Says how far an application's own topics may be cleaned so that it can still be rewound to any commit that is not
 * older than `rewindRetentionMs` and has no more than `rewindRetentionBytes` after it.
 *
 * Each application leaves a trail of marks, some 32 within the time or the bytes that are kept. A mark records where
 * the application's changelogs ended at that commit, and how far it had read its repartition topics. The oldest mark
 * that a rewind may need is the *horizon*:
 *
 * ```
 *   commits  1   2   3   4 ║ 5   6   7   8 ...      ║ commits to the left can no longer be rewound to
 *   marks    x       x             x
 *                    └ horizon: the newest mark that is not later than the oldest commit on the right
 * ```
 * - A horizon is never later than the oldest rewindable commit, so no rewind needs anything that is cleaned below it.
 * - A window store's changelog may be cleaned up to where it ended when the store's clock was a full retention before
 *   the horizon's clock: whatever was written by then has expired at every commit that is left. The marks for this are
 *   kept separately, because they are older than any horizon.
 * - Checkpoints contain the trail, and the journal is replayed on top of it, so nothing has to be searched and restarts
 *   lose nothing. Each list is bounded; thinning one out only makes cleaning lag behind.
 */
export class RewindTrails {
  readonly #catalog: Catalog
  readonly #retention: RewindRetention
  readonly #trails = new Map<string, Trail>()

  constructor(catalog: Catalog, retention: RewindRetention) {
    this.#catalog = catalog
    this.#retention = retention
  }

  /**
   * Notes a promoted commit. `offset` is that of its record in its partition of `__millrace_commits`, `bytes` the size
   * of those of its batches that are kept for rewinding.
   */
  committed(record: NotedCommit, place: { readonly partition: number; readonly offset: Offset; bytes: number }): void {
    let trail = this.#trails.get(record.application)
    if (trail === undefined) {
      trail = new Trail(place.partition)
      this.#trails.set(record.application, trail)
    }
    trail.committed(record, place, this.#catalog, this.#retention)
  }

  /** Forgets the marks that are too old. */
  advance(now: number): void {
    for (const trail of this.#trails.values()) trail.advance(now - this.#retention.rewindRetentionMs, this.#retention)
  }

  /**
   * The offset below which compaction may remove older records of a key: the partition's end if no commit wrote it as a
   * changelog.
   */
  changelogEnd(partition: Partition): Offset {
    return this.#least(partition, (trail) => trail.horizonOf(partition, 'changelog')) ?? partition.end
  }

  /** How far the records of a repartition topic had been read at the horizon; 0 as long as no reader is known. */
  readUpTo(partition: Partition): Offset {
    return this.#least(partition, (trail) => trail.horizonOf(partition, 'input')) ?? 0
  }

  /** The offset up to which a window store's changelog has expired at every commit that can be rewound to. */
  expiredUpTo(partition: Partition, windowRetentionMs: number): Offset {
    return this.#least(partition, (trail) => trail.expiredUpTo(partition, windowRetentionMs)) ?? 0
  }

  /**
   * The offset of the first recorded commit that is still needed; null if no application has commits in this partition.
   */
  commitsFrom(partition: Partition, now: number): Offset | null {
    const cutoff = now - this.#retention.rewindRetentionMs
    let from: Offset | null = null
    for (const trail of this.#trails.values()) {
      if (trail.partition !== partition.index) continue
      const needed = trail.commitsFrom(cutoff)
      if (from === null || needed < from) from = needed
    }
    return from === null ? null : Math.min(from, partition.end)
  }

  #least(partition: Partition, of: (trail: Trail) => Offset | null): Offset | null {
    let least: Offset | null = null
    for (const trail of this.#trails.values()) {
      const offset = of(trail)
      if (offset !== null && (least === null || offset < least)) least = offset
    }
    return least === null ? null : Math.min(least, partition.end)
  }

  states(): readonly RewindState[] {
    return [...this.#trails].map(([group, trail]) => trail.state(group))
  }

  restore(states: readonly RewindState[]): void {
    for (const state of states) this.#trails.set(state.group, Trail.of(state, this.#catalog))
  }
}

/** What a trail needs of a commit. Whole commit records fit. */
export type NotedCommit = Pick<CommitRecord, 'application' | 'at'> & { readonly sections: readonly NotedSection[] }

export type NotedSection = Pick<PlacedSection, 'inputs' | 'changelogs' | 'operators'>

export interface RewindRetention {
  readonly rewindRetentionMs: number
  readonly rewindRetentionBytes: number
}

/** Whether records of this topic are kept only because an application may be rewound. */
export function isKeptForRewind({ name, config }: Topic): boolean {
  return name === commitsTopic || config.cleanupPolicy !== 'delete' || config.purgedWhenRead === true
}

type Role = 'changelog' | 'input'

/** The trail of one application. Its marks have an offset for each of the `places`, by index. */
class Trail {
  /** The partition of `__millrace_commits` with the application's commits. */
  readonly partition: number
  readonly #places: { readonly partition: Partition; readonly role: Role; readonly windows: WindowMarks }[] = []
  readonly #indexes: Record<Role, Map<Partition, number>> = { changelog: new Map(), input: new Map() }
  readonly #latest: RewindMark = { at: -1, previousAt: -1, offset: -1, bytes: 0, offsets: [], clocks: [] }
  /** In ascending order; the first is the horizon. */
  #marks: RewindMark[] = []

  constructor(partition: number) {
    this.partition = partition
  }

  static of(state: RewindState, catalog: Catalog): Trail {
    const trail = new Trail(state.partition)
    const marks = state.marks.map((mark) => ({ ...mark, offsets: [] as number[], clocks: [] as number[] }))
    Object.assign(trail.#latest, { ...state.latest, offsets: [], clocks: [] })
    trail.#marks = marks
    state.places.forEach(({ topicId, partition, role, windows }, index) => {
      const found = catalog.byId(topicId)?.partitions[partition]
      // The topic was deleted, and its id is never used again.
      if (found === undefined) return
      trail.#place(found, role, 0, { clocks: [...windows.clocks], offsets: [...windows.offsets] })
      const own = trail.#places.length - 1
      for (const [to, from] of [[trail.#latest, state.latest] as const, ...marks.map(pairWith(state.marks))]) {
        to.offsets[own] = from.offsets[index] ?? 0
        to.clocks[own] = from.clocks[index] ?? -1
      }
    })
    return trail
  }

  committed(
    record: NotedCommit,
    place: { readonly offset: Offset; readonly bytes: number },
    catalog: Catalog,
    retention: RewindRetention,
  ): void {
    const latest = this.#latest
    // The journal is replayed over a checkpoint that may already include this commit.
    if (place.offset <= latest.offset) return
    latest.previousAt = latest.at
    latest.at = Math.max(latest.at, record.at)
    latest.offset = place.offset
    latest.bytes += place.bytes
    for (const section of record.sections) this.#noteSection(section, catalog)
    const last = this.#marks.at(-1)
    const { rewindRetentionMs, rewindRetentionBytes } = retention
    if (
      last === undefined ||
      latest.at - last.at > rewindRetentionMs / marksPerRetention ||
      latest.bytes - last.bytes > rewindRetentionBytes / marksPerRetention
    )
      this.#mark()
  }

  #noteSection(section: NotedSection, catalog: Catalog): void {
    for (const { at, start, end } of section.changelogs) {
      const topic = catalog.topic(at.topic)
      const partition = topic?.partitions[at.partition]
      if (topic === undefined || partition === undefined) continue
      const index = this.#place(partition, 'changelog', start)
      this.#latest.offsets[index] = end
      const { windowRetentionMs, storeClock } = topic.config
      if (windowRetentionMs === undefined || storeClock === undefined) continue
      const clock = section.operators[storeClock]?.['storeTime']
      if (typeof clock === 'number') this.#noteClock(index, { clock, end, windowRetentionMs })
    }
    for (const { at, start, end } of section.inputs) {
      const topic = catalog.topic(at.topic)
      const partition = topic?.partitions[at.partition]
      if (partition === undefined || topic?.config.purgedWhenRead !== true) continue
      this.#latest.offsets[this.#place(partition, 'input', start)] = end
    }
  }

  #noteClock(index: number, now: { readonly clock: number; end: Offset; windowRetentionMs: number }): void {
    this.#latest.clocks[index] = now.clock
    const windows = this.#places[index]?.windows
    if (windows === undefined) return
    const { clocks, offsets } = windows
    const last = clocks.at(-1)
    if (last !== undefined && now.clock < last) {
      // The store was rewound, so what was noted before no longer holds.
      clocks.length = 0
      offsets.length = 0
      for (const mark of this.#marks) mark.clocks[index] = Math.min(mark.clocks[index] ?? -1, now.clock)
    } else if (last === now.clock) {
      offsets[offsets.length - 1] = now.end
      return
    } else if (last !== undefined && now.clock - last < now.windowRetentionMs / windowMarksPerRetention) return
    clocks.push(now.clock)
    offsets.push(now.end)
    if (clocks.length <= windowMarksMax) return
    for (const list of [clocks, offsets]) list.splice(0, list.length, ...list.filter((_, each) => each % 2 === 0))
  }

  /** The index of a place. Every mark gets a new place at the offset where it was first written or read. */
  #place(partition: Partition, role: Role, start: Offset, windows: WindowMarks = { clocks: [], offsets: [] }): number {
    const known = this.#indexes[role].get(partition)
    if (known !== undefined) return known
    const index = this.#places.length
    this.#places.push({ partition, role, windows })
    this.#indexes[role].set(partition, index)
    for (const mark of [this.#latest, ...this.#marks]) {
      mark.offsets[index] = start
      mark.clocks[index] = -1
    }
    return index
  }

  #mark(): void {
    this.#marks.push(copyOf(this.#latest))
    if (this.#marks.length > marksMax) this.#marks = this.#marks.filter((_, index) => index % 2 === 0)
  }

  advance(cutoff: number, { rewindRetentionBytes }: RewindRetention): void {
    const latest = this.#latest
    const tooMuch = (mark: RewindMark): boolean => latest.bytes - mark.bytes > rewindRetentionBytes
    // For an application that has stopped committing: once only its latest commit can be rewound to, that one becomes a
    // mark.
    const last = this.#marks.at(-1)
    if (last === undefined) return
    if (last.offset < latest.offset && (latest.previousAt < cutoff || tooMuch(last))) this.#mark()
    const marks = this.#marks
    let horizon = 0
    for (let index = 1; index < marks.length; index++) {
      const mark = marks[index] as RewindMark
      if (mark.previousAt < cutoff || tooMuch(marks[index - 1] as RewindMark)) horizon = index
    }
    marks.splice(0, horizon)
  }

  horizonOf(partition: Partition, role: Role): Offset | null {
    const index = this.#indexes[role].get(partition)
    return index === undefined ? null : (this.#marks[0]?.offsets[index] ?? 0)
  }

  expiredUpTo(partition: Partition, windowRetentionMs: number): Offset | null {
    const index = this.#indexes.changelog.get(partition)
    if (index === undefined) return null
    const { clocks, offsets } = this.#places[index]?.windows ?? { clocks: [], offsets: [] }
    const expired = (this.#marks[0]?.clocks[index] ?? -1) - windowRetentionMs
    const newest = clocks.findLastIndex((clock) => clock <= expired)
    if (newest < 0) return 0
    // Older marks add nothing to this one.
    clocks.splice(0, newest)
    offsets.splice(0, newest)
    return offsets[0] ?? 0
  }

  commitsFrom(cutoff: number): Offset {
    const horizon = this.#marks[0]
    if (horizon === undefined) return 0
    if (horizon.at >= cutoff) return horizon.offset
    // An application without a commit for that long needs none of these, and must not hold back the others in the
    // partition.
    return horizon.offset === this.#latest.offset ? Number.POSITIVE_INFINITY : horizon.offset + 1
  }

  state(group: string): RewindState {
    return {
      group,
      partition: this.partition,
      places: this.#places.map(({ partition, role, windows }) => ({
        topicId: partition.topic.id,
        partition: partition.index,
        role,
        windows: { clocks: [...windows.clocks], offsets: [...windows.offsets] },
      })),
      latest: copyOf(this.#latest),
      marks: this.#marks.map(copyOf),
    }
  }
}

function copyOf(mark: RewindMark): RewindMark {
  return { ...mark, offsets: [...mark.offsets], clocks: [...mark.clocks] }
}

function pairWith(
  others: readonly RewindMark[],
): (mark: RewindMark, index: number) => readonly [RewindMark, RewindMark] {
  return (mark, index) => [mark, others[index] ?? mark]
}

/** The resolution of the trail: cleaning lags behind by one part in this many. */
const marksPerRetention = 32
/** Both time and bytes make marks; above this number, every other mark is dropped. */
const marksMax = 128
const windowMarksPerRetention = 16
const windowMarksMax = 64
