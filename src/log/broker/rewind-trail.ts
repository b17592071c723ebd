import type { CommitRecord, RecordedSection } from '../api/commit-section.ts'
import { commitsTopic } from '../api/internal-topics.ts'
import type { Offset } from '../api/record.ts'
import type { RewindMark, RewindState, WindowMarks } from '../journal/checkpoint.ts'
import type { Catalog, Topic } from './catalog.ts'
import type { Partition } from './partition.ts'

/**
 * How far what an application keeps may be cleaned so that it can still be rewound to any commit that is not older than
 * `rewindRetentionMs` and has no more than `rewindRetentionBytes` behind it.
 *
 * Each application leaves a trail of marks, some 32 in the time or the bytes that are kept: where its changelogs ended
 * and how far it had read its repartition topics at that commit. The oldest mark that a rewind may need is its *horizon*:
 *
 * ```
 *   commits  1   2   3   4 ║ 5   6   7   8 ...      ║ what is left of it can no longer be rewound to
 *   marks    x       x             x
 *                    └ horizon: the newest mark that is not later than the oldest commit on the right
 * ```
 * - A horizon is never later than the oldest rewindable commit, so what is cleaned below it is cleaned for good reason.
 * - A window store's changelog may go up to where it ended when the store's clock stood a full retention before the
 *   horizon's: whatever was written by then has expired at every commit that is left. Its marks are kept apart, because
 *   they are older than any horizon.
 * - Checkpoints carry the trail and the journal is replayed over it, so nothing has to be searched and restarts lose
 *   nothing. Each list has a bound; thinning one out only makes cleaning lag.
 */
export class RewindTrails {
  readonly #catalog: Catalog
  readonly #retention: RewindRetention
  readonly #trails = new Map<string, Trail>()

  constructor(catalog: Catalog, retention: RewindRetention) {
    this.#catalog = catalog
    this.#retention = retention
  }

  /** A commit is true: `offset` is its record's in its partition of `__millrace_commits`, `bytes` what is kept of it. */
  committed(record: CommitRecord, place: { readonly partition: number; readonly offset: Offset; bytes: number }): void {
    let trail = this.#trails.get(record.application)
    if (trail === undefined) {
      trail = new Trail(place.partition)
      this.#trails.set(record.application, trail)
    }
    trail.committed(record, place, this.#catalog, this.#retention)
  }

  /** Forgets what is too old. */
  advance(now: number): void {
    for (const trail of this.#trails.values()) trail.advance(now - this.#retention.rewindRetentionMs, this.#retention)
  }

  /** Below which offset older records of a key may go. What no commit wrote as a changelog may go up to its end. */
  changelogEnd(partition: Partition): Offset {
    return this.#least(partition, (trail) => trail.horizonOf(partition, 'changelog')) ?? partition.end
  }

  /** How far the records of a repartition topic are read at the horizon; 0 while nobody is known to read it. */
  readUpTo(partition: Partition): Offset {
    return this.#least(partition, (trail) => trail.horizonOf(partition, 'input')) ?? 0
  }

  /** Up to where a window store's changelog has expired at every commit that can be rewound to. */
  expiredUpTo(partition: Partition, windowRetentionMs: number): Offset {
    return this.#least(partition, (trail) => trail.expiredUpTo(partition, windowRetentionMs)) ?? 0
  }

  /** The first recorded commit that is still needed; null if no application has any in this partition. */
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

export interface RewindRetention {
  readonly rewindRetentionMs: number
  readonly rewindRetentionBytes: number
}

/** Whether the records of such a topic stay only because an application may be rewound. */
export function isKeptForRewind({ name, config }: Topic): boolean {
  return name === commitsTopic || config.cleanupPolicy !== 'delete' || config.purgedWhenRead === true
}

type Role = 'changelog' | 'input'

/** One application's. `places` are what its marks have an offset for, by index. */
class Trail {
  /** Of `__millrace_commits`. */
  readonly partition: number
  readonly #places: { readonly partition: Partition; readonly role: Role; readonly windows: WindowMarks }[] = []
  readonly #indexes: Record<Role, Map<Partition, number>> = { changelog: new Map(), input: new Map() }
  readonly #latest: RewindMark = { at: -1, previousAt: -1, offset: -1, bytes: 0, offsets: [], clocks: [] }
  /** Ascending; the first is the horizon. */
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
      // Its topic was deleted, and an id is never used again.
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
    record: CommitRecord,
    place: { readonly offset: Offset; readonly bytes: number },
    catalog: Catalog,
    retention: RewindRetention,
  ): void {
    const latest = this.#latest
    // The journal is replayed over a checkpoint that may hold it already.
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

  #noteSection(section: RecordedSection, catalog: Catalog): void {
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
      // The store was set back. What was said of it before is true no longer.
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

  /** Its index; a new one is in every mark as it was when it was first written or read. */
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
    // An application that rests: its newest commit is all that is left of it.
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
    // Older ones say nothing that this one does not.
    clocks.splice(0, newest)
    offsets.splice(0, newest)
    return offsets[0] ?? 0
  }

  commitsFrom(cutoff: number): Offset {
    const horizon = this.#marks[0]
    if (horizon === undefined) return 0
    if (horizon.at >= cutoff) return horizon.offset
    // One that has not committed for so long needs none of them, and must not hold up those beside it.
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

/** How finely the trail follows: cleaning lags by one part in so many. */
const marksPerRetention = 32
/** Time and bytes both make marks; beyond this every other one is given up. */
const marksMax = 128
const windowMarksPerRetention = 16
const windowMarksMax = 64
