import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { LogError } from '../api/errors.ts'
import type { EntryPart } from '../journal/entry.ts'
import type { AppendedEntry, Journal, JournalListener, WrittenGroup } from '../journal/journal.ts'
import type { Applier } from '../storage/applier.ts'
import { lastOffsetDeltaOf, maxTimestampOf, stampBatch, summedBytesOf } from '../format/record-batch.ts'
import { producedBatch } from '../storage/produced-batch.ts'
import type { Catalog } from './catalog.ts'
import type { Partition, PendingMark, PlaceContext, TailBatch } from './partition.ts'
import type { FetchWaiters } from './fetch-waiters.ts'
import type { TailRing } from './tail-ring.ts'

/**
 * Gives everything its place in one order: a draft becomes an entry of the journal, and what it says becomes true when
 * the group that carries it is written.
 *
 * - Preparing changes pending state only. A written group promotes all that it carries in one tick, in order, before
 *   anybody is answered or woken: nobody can see half of it.
 * - If writing fails, that group and all behind it never were: pending state falls back, whoever waits is told, readers
 *   that took any of it as sequenced get ABORTED. Nothing is written afterwards.
 * - The applier gets each group once, after its promotion and in order.
 * - What is asked of the log from outside (appends, commits, transactions) waits while the tail ring is at its bound, in
 *   the order in which it came. Only the applier makes room, and it waits for none of them: so everybody's turn comes. What
 *   the log does on its own (the records of a group's rebalance, housekeeping) is little, and goes on.
 *
 * It deliberately knows no records: a batch is its header and its bytes.
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
  /** Called after each promotion, when everybody has been answered. */
  onPromoted: () => void = () => {}

  constructor(parts: SequencerParts) {
    this.catalog = parts.catalog
    this.clock = parts.clock
    this.waiters = parts.waiters
    this.#ring = parts.ring
    this.#nextGap = parts.nextGap
  }

  /** From here on entries can be submitted, under this leader epoch. */
  start(journal: Journal, applier: Applier, at: { readonly incarnation: number; readonly sequence: number }): void {
    this.#running = { journal, applier }
    this.#incarnation = at.incarnation
    this.#promotedSequence = at.sequence
    this.#appliedSequence = at.sequence
    this.#submittedSequence = at.sequence
  }

  /** Refuses further entries; what is submitted is still promoted. */
  stop(): void {
    this.#failure ??= new LogError('CLOSED', 'the log is closed')
    this.#releaseWaiting()
    this.waiters.wakeAll()
  }

  get incarnation(): number {
    return this.#incarnation
  }

  /** All groups up to this one are true. */
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
   * Calls `act` now if there is room, else in its turn once there is, or once there will never be any: it checks whether the
   * log takes anything, and all else that may have changed meanwhile. What it submits, it submits before it returns.
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
      // Who waits is bounded by the callers: each holds one batch or one request, and its own bound on bytes.
      if (this.hasRoom || this.#failure !== null) inTurn()
      else this.#waitingForRoom.push(inTurn)
    })
  }

  ready(): Promise<void> {
    return this.whenRoom(() => (this.#failure === null ? Promise.resolve() : Promise.reject(this.#failure)))
  }

  /** Resolves when all that is promoted is on the device. */
  sync(): Promise<void> {
    return this.#running?.journal.syncTo(this.#promotedSequence) ?? Promise.resolve()
  }

  /** Resolves when all that was submitted is promoted and on the device; rejects if it never will be. */
  drain(): Promise<void> {
    return this.#running?.journal.syncTo(this.#submittedSequence) ?? Promise.resolve()
  }

  placeContext(): PlaceContext {
    return { now: this.clock.now(), leaderEpoch: this.#incarnation, gap: this.#nextGap() }
  }

  /**
   * Makes the draft an entry and returns the sequence of its group. What it says is visible to `sequenced` readers at
   * once, to everybody when the group is written.
   */
  submit(draft: EntryDraft): number {
    this.checkWritable()
    assert(this.#running !== null, 'nothing is submitted before the log is open')
    const appended = this.#append(this.#running.journal, draft)
    const { sequence } = appended
    this.#submittedSequence = sequence
    for (let index = 0; index < draft.batches.length; index++) {
      const batch = draft.batches[index] as TailBatch
      batch.memory = appended.batches[index] as Uint8Array
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
   * Resolves when the group of this sequence is written, with all that it carries promoted; rejects if it never will be.
   * For whoever asks for something again that is still on its way.
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
      // Refused as a whole: nothing was copied, so the places that the draft took are free again.
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
    // A group without entries of ours carries nothing to promote.
    if (first === undefined || first.sequence > sequence) return []
    assert(first.sequence === sequence, `group ${sequence} is written, group ${first.sequence} was to come first`)
    this.#pending.shift()
    return first.drafts
  }

  /** The journal's writer gave up: what is pending never was. */
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
    // Not up to the ring's oldest alone: groups without batches stand in no ring, and the applier may be behind them.
    this.#running?.journal.release(Math.min(sequence + 1, this.#ring.oldestSequence))
    while (this.#ring.hasRoom) {
      const resume = this.#waitingForRoom.shift()
      if (resume === undefined) return
      resume()
    }
  }

  /** The applier gave up: segment files no longer follow, so nothing more may come in. What is pending may still be true. */
  applierFailed(error: LogError): void {
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
  /** How many offsets to leave out before the next batch. */
  readonly nextGap: () => number
}

interface PendingGroup {
  readonly sequence: number
  readonly drafts: EntryDraft[]
}

/** What an entry makes true. `promote` for all of a group first, then `settle`, with an error if it never was. */
export interface Effect {
  promote(): void
  settle(error: LogError | null): void
}

/** An entry in the making. Draft and submit in one turn: the places it takes are the next ones. */
export class EntryDraft {
  readonly parts: EntryPart[] = []
  readonly batches: TailBatch[] = []
  readonly effects: Effect[] = []
  readonly context: PlaceContext
  readonly #marks: PendingMark[] = []

  constructor(context: PlaceContext) {
    this.context = context
  }

  /** Adds a part that is no batch, and what it makes true. */
  add(part: EntryPart, promote: () => void): void {
    this.parts.push(part)
    this.effects.push({ promote, settle: () => {} })
  }

  /** Only something to be made true together with the parts. */
  also(promote: () => void): void {
    this.effects.push({ promote, settle: () => {} })
  }

  /** Settles when the group is written; rejects with what `failure` makes of the error. */
  outcome(failure: (error: LogError) => LogError = (error) => error): Promise<void> {
    return new Promise((resolve, reject) => {
      this.effects.push({
        promote: () => {},
        settle: (error) => (error === null ? resolve() : reject(failure(error))),
      })
    })
  }

  /** Places a finished batch: stamps its base offset and leader epoch, which lie outside its checksum. */
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
    this.parts.push({
      kind: 'batch',
      topicId: partition.topic.id,
      partition: partition.index,
      leaderEpoch: placed.leaderEpoch,
      segmentBase: placed.segmentBase,
      filePosition: placed.filePosition,
      bytes,
      summed: bytes.length < summedBytesMin ? undefined : summedBytesOf(bytes),
    })
    this.batches.push(placed)
    this.effects.push(placed)
    return placed
  }

  giveBack(): void {
    for (const mark of this.#marks.reverse()) mark.partition.returnTo(mark)
  }
}

/** Below it going through a batch once more takes less than putting checksums together. */
const summedBytesMin = 16 * 1024
