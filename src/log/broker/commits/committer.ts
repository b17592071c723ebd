import { assert, InvariantError } from '../../../base/assert.ts'
import { ByteWriter } from '../../../base/bytes.ts'
import { partitionOfKey } from '../../../base/murmur2.ts'
import { encodeCommitRecord } from '../../api/commit-records.ts'
import type { CommitRecord, OffsetRange, PlacedSection } from '../../api/commit-section.ts'
import { LogError } from '../../api/errors.ts'
import { commitsTopic, isInternalTopic } from '../../api/internal-topics.ts'
import type { Committer, Placement, Progress, Sequenced, Staged, StagedPartition } from '../../api/log.ts'
import { outgoingRecord, partitionName, type TopicPartition } from '../../api/record.ts'
import { BatchBuilder } from '../../format/batch-builder.ts'
import { checkOffsetEntry } from '../groups/group-offsets.ts'
import type { Groups } from '../groups/groups.ts'
import type { OffsetLog } from '../groups/offset-log.ts'
import { EntryDraft, type Sequencer } from '../sequencer.ts'
import type { Catalog } from '../topics/catalog.ts'
import { isKeptForRewind, type RewindTrails } from '../topics/rewind-trail.ts'
import { lastSectionOf, type LastSections } from './last-sections.ts'
import type { CountedBatch } from './output-runs.ts'
import { type StageMemory, StagedBatches } from './staged-batches.ts'

/**
 * Workers' commits: outputs, changelogs, offsets and the record of the commit become one entry, so that either all of
 * it exists or none.
 *
 * - Each committer id has one committer at a time; opening it again fences the older one.
 * - Everything is checked before the first place is taken, so a commit that is refused leaves no trace.
 * - Offsets become known only while the entry is built, so ranges and the commit record are written there.
 */
export class Committers {
  readonly #parts: CommitterParts
  readonly #open = new Map<string, EmbeddedCommitter>()

  constructor(parts: CommitterParts) {
    this.#parts = parts
  }

  open(id: string): Committer {
    this.#parts.sequencer.checkWritable()
    this.#open.get(id)?.fence()
    const committer = new EmbeddedCommitter(id, this.#parts, () => {
      if (this.#open.get(id) === committer) this.#open.delete(id)
    })
    this.#open.set(id, committer)
    return committer
  }
}

export interface CommitterParts {
  readonly sequencer: Sequencer
  readonly catalog: Catalog
  readonly groups: Groups
  readonly offsets: OffsetLog
  readonly sections: LastSections
  readonly rewinds: RewindTrails
  readonly pipelineDepth: number
  readonly commitBytesMax: number
}

class EmbeddedCommitter implements Committer {
  readonly id: string
  readonly #parts: CommitterParts
  readonly #closed: () => void
  readonly #stages: Stage[] = []
  #begun = 0
  #phase: 'open' | 'fenced' | 'closed' = 'open'

  constructor(id: string, parts: CommitterParts, closed: () => void) {
    this.id = id
    this.#parts = parts
    this.#closed = closed
  }

  fence(): void {
    if (this.#phase === 'open') this.#phase = 'fenced'
  }

  checkOpen(): void {
    if (this.#phase === 'open') return
    if (this.#phase === 'closed') throw new LogError('CLOSED', `committer ${this.id} is closed`, { id: this.id })
    throw new LogError('FENCED', `committer ${this.id} was opened again elsewhere, which fences this one`, {
      id: this.id,
    })
  }

  begin(): Staged {
    const { pipelineDepth } = this.#parts
    assert(this.#begun < pipelineDepth, `${this.#begun} commits have begun, at most ${pipelineDepth} are allowed`)
    this.#begun += 1
    const stage = this.#stages.pop() ?? new Stage()
    return new StagedCommit(this, this.#parts, stage, () => {
      this.#begun -= 1
      stage.clear()
      this.#stages.push(stage)
    })
  }

  close(): Promise<void> {
    this.#phase = 'closed'
    this.#closed()
    return Promise.resolve()
  }
}

/** The memory of a commit, reused by later ones. */
class Stage implements StageMemory {
  bytes = 0
  readonly spares: BatchBuilder[] = []
  /** In the order of first use. */
  readonly used: StagedBatches[] = []
  readonly #byName = new Map<string, StagedBatches>()
  readonly commitRecord: BatchBuilder = new BatchBuilder()
  readonly commitValue: ByteWriter = new ByteWriter(4096)
  readonly offsets: BatchBuilder = new BatchBuilder()

  to(at: TopicPartition, catalog: Catalog): StagedBatches {
    const name = partitionName(at)
    const known = this.#byName.get(name)
    const partition = catalog.partition(at)
    // After a topic was deleted, a topic of the same name is a different one.
    if (known !== undefined && known.partition === partition) {
      if (!this.used.includes(known)) this.used.push(known)
      return known
    }
    const batches = new StagedBatches(partition, this)
    this.#byName.set(name, batches)
    this.used.push(batches)
    return batches
  }

  clear(): void {
    for (const batches of this.used) batches.clear()
    this.used.length = 0
    this.bytes = 0
    this.commitRecord.reset()
    this.offsets.reset()
  }
}

class StagedCommit implements Staged {
  readonly #committer: EmbeddedCommitter
  readonly #parts: CommitterParts
  readonly #stage: Stage
  readonly #release: () => void
  #ended = false

  constructor(committer: EmbeddedCommitter, parts: CommitterParts, stage: Stage, release: () => void) {
    this.#committer = committer
    this.#parts = parts
    this.#stage = stage
    this.#release = release
  }

  to(at: TopicPartition): StagedPartition {
    this.#checkCollecting()
    if (isInternalTopic(at.topic))
      throw new LogError('INVALID_TOPIC', `${at.topic} belongs to the log; write to a topic of your own`, { ...at })
    return this.#stage.to(at, this.#parts.catalog)
  }

  get bytes(): number {
    return this.#stage.bytes
  }

  ready(): Promise<void> {
    return this.#parts.sequencer.ready()
  }

  commit(progress: Progress): Sequenced {
    this.#checkCollecting()
    try {
      return this.#sequence(progress)
    } catch (error) {
      if (error instanceof LogError) return refused(error)
      throw error
    } finally {
      this.#end()
    }
  }

  discard(): void {
    if (!this.#ended) this.#end()
  }

  #checkCollecting(): void {
    assert(!this.#ended, 'the commit was made or discarded; begin another')
  }

  #end(): void {
    this.#ended = true
    this.#release()
  }

  #sequence(progress: Progress): Sequenced {
    const { sequencer } = this.#parts
    this.#check(progress)

    const draft = new EntryDraft(sequencer.placeContext())
    const placements: Placement[] = []
    try {
      this.#place(draft, placements, progress)
    } catch (error) {
      // Otherwise the next batch of these partitions would leave a gap, both in the offsets and in the file.
      draft.giveBack()
      throw error
    }
    // An empty commit has nothing to wait for.
    if (draft.parts.length === 0)
      return { placements, sequenced: Promise.resolve(), durable: Promise.resolve({ placements }) }

    const written = draft.outcome(aborted)
    sequencer.submit(draft)
    const durable = written.then(() => ({ placements }))
    // A caller that only waits for `sequenced` must not get an unhandled rejection.
    durable.catch(() => {})
    return { placements, sequenced: Promise.resolve(), durable }
  }

  #place(draft: EntryDraft, placements: Placement[], progress: Progress): void {
    const ranges = new SectionRanges(progress.sections.length)
    for (const batches of this.#stage.used) {
      if (batches.count === 0) continue
      const placed = batches.placeIn(draft)
      ranges.add(batches, placed)
      placements.push(placementOf(batches.at, placed))
    }
    this.#recordCommit(draft, progress, ranges)
    this.#parts.offsets.commit(draft, this.#stage.offsets, progress.group, progress.offsets)
  }

  #check(progress: Progress): void {
    const { sequencer, groups, catalog, commitBytesMax } = this.#parts
    sequencer.checkWritable()
    this.#committer.checkOpen()
    groups.checkGeneration(progress.group, progress.generation)
    for (const entry of progress.offsets) {
      catalog.partition(entry.at)
      checkOffsetEntry(progress.group, entry)
    }
    for (const batches of this.#stage.used) {
      // This includes topics whose deletion is in flight: anything written after the deletion would be lost.
      if (batches.partition.topic.phase !== 'live')
        throw new LogError('UNKNOWN_TOPIC', `topic ${batches.at.topic} was deleted since the commit began`, {
          ...batches.at,
        })
    }
    if (this.#stage.bytes <= commitBytesMax) return
    const biggest = this.#stage.used.reduce((left, right) => (right.bytes > left.bytes ? right : left))
    throw new LogError(
      'COMMIT_TOO_LARGE',
      `the commit has ${this.#stage.bytes} bytes, at most ${commitBytesMax} are allowed; ${partitionName(biggest.at)} has ${biggest.bytes} of them in ${biggest.count} records: commit more often`,
      { bytes: this.#stage.bytes, bytesMax: commitBytesMax, at: biggest.at },
    )
  }

  #recordCommit(draft: EntryDraft, progress: Progress, ranges: SectionRanges): void {
    if (progress.sections.length === 0) return
    const { catalog, sections, rewinds } = this.#parts
    const placed: PlacedSection[] = progress.sections.map((section, index) => ({
      ...section,
      outputs: ranges.outputs[index] ?? [],
      changelogs: ranges.changelogs[index] ?? [],
    }))
    const record: CommitRecord<PlacedSection> = {
      application: progress.group,
      generation: progress.generation,
      build: progress.build,
      at: draft.context.now,
      configuration: progress.configuration,
      sections: placed,
    }
    const { commitRecord: builder, commitValue } = this.#stage
    const key = Buffer.from(progress.group)
    commitValue.clear()
    encodeCommitRecord(commitValue, record)
    const outgoing = outgoingRecord()
    outgoing.key = key
    outgoing.keyStart = 0
    outgoing.keyEnd = key.length
    outgoing.value = commitValue.bytes
    outgoing.valueStart = 0
    outgoing.valueEnd = commitValue.length
    outgoing.timestamp = draft.context.now
    builder.append(outgoing)
    const topic = catalog.topic(commitsTopic)
    assert(topic !== undefined, `${commitsTopic} is created together with the log`)
    const partition = topic.partitions[partitionOfKey(key, 0, key.length, topic.partitions.length)]
    assert(partition !== undefined, `${commitsTopic} has a partition for every key`)
    const { baseOffset } = draft.batch(partition, builder.seal())
    let bytes = 0
    for (const batch of draft.batches) if (isKeptForRewind(batch.of.topic)) bytes += batch.bytes
    // Not the sections themselves: tasks that take turns have a range for nearly every output, and a collection while the
    // commit is written would move all of them.
    const { application, at } = record
    const kept = placed.map((section) => ({ ...lastSectionOf(section), changelogs: section.changelogs }))
    draft.also(() => {
      sections.set(progress.group, kept)
      rewinds.committed({ application, at, sections: kept }, { partition: partition.index, offset: baseOffset, bytes })
    })
  }
}

/** The offset ranges that each section wrote, collected partition by partition. */
class SectionRanges {
  readonly outputs: OffsetRange[][]
  readonly changelogs: OffsetRange[][]

  constructor(sections: number) {
    this.outputs = Array.from({ length: sections }, () => [])
    this.changelogs = Array.from({ length: sections }, () => [])
  }

  add(batches: StagedBatches, placed: readonly CountedBatch[]): void {
    batches.runs.forEachRange(placed, (section, kind, start, end) => {
      const ranges = (kind === 'output' ? this.outputs : this.changelogs)[section]
      if (ranges === undefined)
        throw new InvariantError(`a record for section ${section}, the commit has ${this.outputs.length}`)
      ranges.push({ at: batches.at, start, end })
    })
  }
}

function placementOf(at: TopicPartition, placed: readonly CountedBatch[]): Placement {
  const first = placed[0]?.batch
  const last = placed.at(-1)?.batch
  assert(first !== undefined && last !== undefined, `nothing was placed in ${partitionName(at)}`)
  return { at, start: first.baseOffset, end: last.nextOffset, leaderEpoch: last.leaderEpoch }
}

function refused(error: LogError): Sequenced {
  const sequenced = Promise.reject<void>(error)
  const durable = Promise.reject<never>(error)
  sequenced.catch(() => {})
  durable.catch(() => {})
  return { placements: null, sequenced, durable }
}

function aborted(cause: LogError): LogError {
  return new LogError(
    'ABORTED',
    'the commit was sequenced and could not be made durable: nothing of it exists; open the log again and repeat from the last commit',
    {},
    { cause },
  )
}
