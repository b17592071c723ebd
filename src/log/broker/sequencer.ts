import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { LogError } from '../api/errors.ts'
import { lastOffsetDeltaOf, maxTimestampOf, stampBatch, stampChecksum, summedBytesOf } from '../format/record-batch.ts'
import type { EntryPart } from '../journal/entry.ts'
import type { AppendedEntry, Journal, JournalListener, WrittenGroup } from '../journal/journal.ts'
import type { Applier } from '../storage/apply/applier.ts'
import { producedBatch } from '../storage/producers/produced-batch.ts'
import type { FetchWaiters } from './reads/fetch-waiters.ts'
import type { TailRing } from './reads/tail-ring.ts'
import type { Catalog } from './topics/catalog.ts'
import type { Partition, PendingMark, PlaceContext, TailBatch } from './topics/partition.ts'

/**
 * Puts everything into one order: a draft becomes an entry of the journal, and its effects take place (are *promoted*)
 * when the group of entries that carries it is written.
 *
 * - Preparing a draft changes pending state only. A written group promotes everything it carries in order, in one tick,
 *   before any caller is answered or any reader is woken, so none of them can see half of it.
 * - If a write fails, that group and all later ones never happened: pending state is reset, waiting callers get the
 *   error, and readers that took any of it as sequenced get ABORTED. Nothing is written afterwards.
 * - The applier gets each group once, after its promotion and in order.
 * - Requests from outside (appends, commits, transactions) wait in the order of their arrival while the tail ring is
 *   full. Only the applier makes room, and it waits for none of them, so each request gets its turn. What the log
 *   writes on its own (records of a group's rebalance, housekeeping) is little and does not wait.
 *
 * It deliberately knows nothing about records: a batch is a header and bytes.
 */
export class Sequencer implements JournalListener {
  readonly catalog: Catalog
  readonly clock: Clock
  readonly waiters: FetchWaiters
  readonly #ring: TailRing
  readonly #nextGap: () => number
  readonly #pending: PendingGroup[] = []
  readonly #waitingForRoom: (() => void)[] = []
  #running: { readonly journal: Journal; readonly applier: Applier } | null = null
  #failure: LogError | null = null
  #incarnation = 0
  #promotedSequence = 0
  #appliedSequence = 0
  #submittedSequence = 0
  /** Called after each promotion, when all callers have been answered. */
  onPromoted: () => void = () => {}

  constructor(parts: SequencerParts) {
    this.catalog = parts.catalog
    this.clock = parts.clock
    this.waiters = parts.waiters
    this.#ring = parts.ring
    this.#nextGap = parts.nextGap
  }

  /** From here on, entries can be submitted under this leader epoch. */
  start(journal: Journal, applier: Applier, at: { readonly incarnation: number; readonly sequence: number }): void {
    this.#running = { journal, applier }
    this.#incarnation = at.incarnation
    this.#promotedSequence = at.sequence
    this.#appliedSequence = at.sequence
    this.#submittedSequence = at.sequence
  }

  /** Refuses further entries; those already submitted are still promoted. */
  stop(): void {
    this.#failure ??= new LogError('CLOSED', 'the log is closed')
    this.#releaseWaiting()
    this.waiters.wakeAll()
  }

  get incarnation(): number {
    return this.#incarnation
  }

  /** All groups up to this one are promoted. */
  get promotedSequence(): number {
    return this.#promotedSequence
  }

  get appliedSequence(): number {
    return this.#appliedSequence
  }

  get submittedSequence(): number {
    return this.#submittedSequence
  }

  /** Why nothing can be appended any more, or null. */
  get failure(): LogError | null {
    return this.#failure
  }

  checkWritable(): void {
    if (this.#failure !== null) throw this.#failure
  }

  get hasRoom(): boolean {
    return this.#ring.hasRoom && this.#waitingForRoom.length === 0
  }

  /**
   * Calls `act` now if there is room, otherwise in its turn when there is room or when there will never be any. `act`
   * must therefore check whether the log is writable, and whatever else may have changed in the meantime. It must
   * submit its entry before it returns.
   */
  whenRoom<T>(act: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const inTurn = (): void => {
        try {
          act().then(resolve, reject)
        } catch (error) {
          reject(error)
        }
      }
      // The callers bound the number of waiters: each holds a single batch or request, and has its own bound on bytes.
      if (this.hasRoom || this.#failure !== null) inTurn()
      else this.#waitingForRoom.push(inTurn)
    })
  }

  ready(): Promise<void> {
    return this.whenRoom(() => (this.#failure === null ? Promise.resolve() : Promise.reject(this.#failure)))
  }

  /** Resolves when everything that is promoted is on the device. */
  sync(): Promise<void> {
    return this.#running?.journal.syncTo(this.#promotedSequence) ?? Promise.resolve()
  }

  /** Resolves when everything that was submitted is promoted and on the device; rejects if it never will be. */
  drain(): Promise<void> {
    return this.#running?.journal.syncTo(this.#submittedSequence) ?? Promise.resolve()
  }

  placeContext(): PlaceContext {
    return { now: this.clock.now(), leaderEpoch: this.#incarnation, gap: this.#nextGap() }
  }

  /**
   * Turns the draft into an entry and returns the sequence of its group. Its batches are visible to `sequenced` readers
   * at once, and to everybody when the group is written.
   */
  submit(draft: EntryDraft): number {
    this.checkWritable()
    assert(this.#running !== null, 'nothing is submitted before the log is open')
    const appended = this.#append(this.#running.journal, draft)
    const { sequence } = appended
    this.#submittedSequence = sequence
    for (let index = 0; index < draft.batches.length; index++) {
      const batch = draft.batches[index] as TailBatch
      batch.memory = appended.memory
      batch.start = appended.starts[index] as number
      batch.sequence = sequence
      this.#ring.push(batch)
      if (batch.produced !== null) batch.of.noteProduced(batch.produced, batch)
    }
    const last = this.#pending.at(-1)
    if (last !== undefined && last.sequence === sequence) last.drafts.push(draft)
    else this.#pending.push({ sequence, drafts: [draft] })
    for (const batch of draft.batches) this.waiters.wakeSequenced(batch.of)
    return sequence
  }

  /**
   * Resolves when the group of this sequence is written and promoted; rejects if it never will be. For callers that
   * repeat a request whose first attempt is still in flight.
   */
  follow(sequence: number): Promise<void> {
    if (sequence <= this.#promotedSequence) return Promise.resolve()
    const group = this.#pending.find((pending) => pending.sequence === sequence)
    if (group === undefined) return Promise.reject(this.#failure ?? new LogError('CLOSED', 'the log is closed'))
    const follower = new EntryDraft(this.placeContext())
    group.drafts.push(follower)
    return follower.outcome()
  }

  #append(journal: Journal, draft: EntryDraft): AppendedEntry {
    try {
      return journal.append(draft.parts)
    } catch (error) {
      // The entry was refused as a whole and nothing was copied, so the places that the draft took are free again.
      draft.giveBack()
      throw error
    }
  }

  written(group: WrittenGroup): void {
    this.#promotedSequence = group.sequence
    const drafts = this.#takePending(group.sequence)
    for (const draft of drafts) for (const effect of draft.effects) effect.promote()
    this.#running?.applier.apply(group)
    for (const draft of drafts) {
      for (const effect of draft.effects) effect.settle(null)
      for (const batch of draft.batches) this.waiters.wakeDurable(batch.of)
    }
    this.onPromoted()
  }

  #takePending(sequence: number): readonly EntryDraft[] {
    const first = this.#pending[0]
    // A group without our entries has nothing to promote.
    if (first === undefined || first.sequence > sequence) return []
    assert(first.sequence === sequence, `group ${sequence} is written, group ${first.sequence} was to come first`)
    this.#pending.shift()
    return first.drafts
  }

  /** The journal's writer failed: whatever is pending never happened. */
  failed(error: LogError): void {
    this.#failure ??= error
    const dropped = this.#pending.splice(0)
    this.catalog.dropPending()
    this.#ring.dropAfter(this.#promotedSequence)
    for (const { drafts } of dropped)
      for (const draft of drafts) for (const effect of draft.effects) effect.settle(error)
    this.#releaseWaiting()
    this.waiters.wakeAll()
  }

  applied(sequence: number): void {
    this.#appliedSequence = sequence
    this.#ring.applied(sequence)
    // The ring's oldest sequence alone would be too far: groups without batches are not in the ring, and the applier
    // may not have reached them yet.
    this.#running?.journal.release(Math.min(sequence + 1, this.#ring.oldestSequence))
    while (this.#ring.hasRoom) {
      const resume = this.#waitingForRoom.shift()
      if (resume === undefined) return
      resume()
    }
  }

  /**
   * The applier failed, or compaction could not sync a directory: the segment files are no longer updated, so nothing more
   * is accepted. Pending groups may still be written.
   */
  filesFailed(error: LogError): void {
    this.#failure ??= error
    this.#releaseWaiting()
    this.waiters.wakeAll()
  }

  #releaseWaiting(): void {
    for (const resume of this.#waitingForRoom.splice(0)) resume()
  }
}

export interface SequencerParts {
  readonly catalog: Catalog
  readonly clock: Clock
  readonly waiters: FetchWaiters
  readonly ring: TailRing
  /** How many offsets to skip before the next batch. */
  readonly nextGap: () => number
}

interface PendingGroup {
  readonly sequence: number
  readonly drafts: EntryDraft[]
}

/**
 * What an entry brings about. `promote` is called for all entries of a group first, then `settle`, with an error if the
 * group was not written.
 */
export interface Effect {
  promote(): void
  settle(error: LogError | null): void
}

/** An entry being built. Build and submit it within one turn, because its places are the next free ones. */
export class EntryDraft {
  readonly parts: EntryPart[] = []
  readonly batches: TailBatch[] = []
  readonly effects: Effect[] = []
  readonly context: PlaceContext
  readonly #marks: PendingMark[] = []

  constructor(context: PlaceContext) {
    this.context = context
  }

  /** Adds a part that is not a batch, and its effect. */
  add(part: EntryPart, promote: () => void): void {
    this.parts.push(part)
    this.effects.push({ promote, settle: () => {} })
  }

  /** Adds an effect that takes place together with the parts. */
  also(promote: () => void): void {
    this.effects.push({ promote, settle: () => {} })
  }

  /** Settles when the group is written; rejects with the error that `failure` returns. */
  outcome(failure: (error: LogError) => LogError = (error) => error): Promise<void> {
    return new Promise((resolve, reject) => {
      this.effects.push({
        promote: () => {},
        settle: (error) => (error === null ? resolve() : reject(failure(error))),
      })
    })
  }

  /**
   * Places a finished batch and stamps its base offset and leader epoch, which are outside its checksum. If it has none
   * yet, whoever writes the group computes it: a thread that has less to do than this one. A small batch gets it here.
   */
  batch(partition: Partition, bytes: Uint8Array): TailBatch {
    const shape = {
      bytes: bytes.length,
      lastOffsetDelta: lastOffsetDeltaOf(bytes, 0),
      maxTimestamp: maxTimestampOf(bytes, 0),
      produced: producedBatch(bytes, 0),
    }
    this.#marks.push(partition.mark())
    const placed = partition.place(shape, this.context)
    stampBatch(bytes, 0, placed.baseOffset, placed.leaderEpoch)
    const isSmall = bytes.length < summedBytesMin
    if (isSmall && summedBytesOf(bytes).checksum === null) stampChecksum(bytes, 0)
    this.parts.push({
      kind: 'batch',
      topicId: partition.topic.id,
      partition: partition.index,
      leaderEpoch: placed.leaderEpoch,
      segmentBase: placed.segmentBase,
      filePosition: placed.filePosition,
      bytes,
      summed: isSmall ? undefined : summedBytesOf(bytes),
    })
    this.batches.push(placed)
    this.effects.push(placed)
    return placed
  }

  giveBack(): void {
    for (const mark of this.#marks.reverse()) mark.partition.returnTo(mark)
  }
}

/** Below this size, going through the batch again is cheaper than combining checksums. */
const summedBytesMin = 16 * 1024
