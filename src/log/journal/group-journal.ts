import { assert } from '../../base/assert.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import type { Disk } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import { measureEntry, type EntryPart } from './entry.ts'
import { GroupMemory, type CollectedGroup } from './group-memory.ts'
import { headerBytes } from './group.ts'
import type { AppendedEntry, Journal, JournalListener } from './journal.ts'
import type { JournalStart, JournalSync } from './journal-writer.ts'
import { InlineBackend, StartingBackend, type WriterBackend, type WriterReport } from './writer-backend.ts'

/**
 * The journal on the sequencer's side: entries collect in the open group while the writer is busy with the previous
 * one.
 *
 * - The open group is closed when the writer has nothing to do, so everything appended meanwhile shares the next write,
 *   and under `commit` the next sync. A group that is full is sent at once, so that the writer does not wait until this
 *   side, which may be busy filling the next one, hears of the last. During a seal nothing else is sent.
 * - Under `os` a sync goes on beside the writes. It begins when somebody asks for it, and before a seal. A checkpoint does
 *   not ask for one: what it covers is durable in the segments.
 * - Groups are numbered when they open: `append` returns the sequence of the group that will contain the entry.
 * - `written` is called in order of sequence, in a microtask or a message handler, never from inside `append`.
 * - After the first failure nothing is written or acknowledged: `failed` is called once, then every call throws that
 *   error.
 *
 * It does not bound what collects: the sequencer makes requests wait while too many bytes, written or not, are not yet
 * applied to the segment files.
 */
export class GroupJournal implements Journal {
  readonly id: Uint8Array
  readonly #clock: Clock
  readonly #listener: JournalListener
  readonly #backend: WriterBackend
  readonly #groupBytesMax: number
  readonly #memory: GroupMemory
  /** Groups that reached their maximum size while the writer was busy, oldest first. */
  readonly #closed: CollectedGroup[] = []
  /** Sequence of the group that is open. */
  #openSequence: number
  #written: number
  #durable: number
  #closedBytes = 0
  /** The groups that the writer has, oldest first. */
  readonly #writing: Buffer[] = []
  #writingBytes = 0
  /** The command that the writer has, once it has no groups any more. */
  #sealing: 'seal' | 'close' | null = null
  /** Whether a sync is going on, under `os`. */
  #syncing = false
  #scheduled = false
  #stopped: LogError | null = null
  #closing: PromiseWithResolvers<void> | null = null
  readonly #waiters: SyncWaiter[] = []
  /** For each group from `#firstTotal` on, the bytes of journal up to and including it. */
  readonly #totals: number[]
  #firstTotal: number
  #sealTimer: Timer | null = null
  #sealed = true
  #lastWrite = 0

  constructor(options: JournalOptions) {
    const { start } = options
    this.id = start.journalId
    this.#clock = options.clock
    this.#memory = new GroupMemory({ shared: options.thread })
    this.#listener = options.listener
    this.#groupBytesMax = Math.min(groupBytesMax, start.fileBytesMax - 3 * headerBytes)
    this.#openSequence = start.lastSequence + 1
    this.#written = start.lastSequence
    this.#durable = start.lastSequence
    this.#totals = [...(options.totals ?? [])]
    this.#firstTotal = start.lastSequence + 1 - this.#totals.length
    const report = (message: WriterReport): void => this.#reported(message)
    this.#backend = options.thread
      ? new StartingBackend(options, report)
      : new InlineBackend({ ...options, lasts: true }, report)
  }

  get unwrittenBytes(): number {
    const open = this.#memory.isEmpty ? 0 : this.#memory.groupBytes
    return open + this.#closedBytes + this.#writingBytes
  }

  /** Whether the writer thread has taken over; until it has started, the caller's thread writes. */
  get writesOnThread(): boolean {
    return this.#backend.asynchronous
  }

  get writtenSequence(): number {
    return this.#written
  }

  get durableSequence(): number {
    return this.#durable
  }

  append(parts: readonly EntryPart[]): AppendedEntry {
    this.#checkOpen()
    const size = measureEntry(parts)
    if (size > entryBytesMax) {
      throw new LogError(
        'COMMIT_TOO_LARGE',
        `an entry has ${size} bytes, the maximum is ${entryBytesMax}: commit in smaller pieces`,
        { bytes: size, bytesMax: entryBytesMax },
      )
    }
    const { groupBytes, isEmpty } = this.#memory
    const isFull = groupBytes + size > this.#groupBytesMax
    if (!isEmpty && (isFull || (groupBytes >= movedBytesMax && !this.#memory.hasRoomFor(size)))) this.#closeGroup()
    const appended = this.#memory.append(parts, size, this.#openSequence)
    // Not during a seal: its report would count as that of the group.
    if (this.#closed.length > 0 && this.#sealing === null && this.#backend.asynchronous) this.#write()
    this.#schedule()
    return appended
  }

  syncTo(sequence: number): Promise<void> {
    if (sequence <= this.#durable) return Promise.resolve()
    if (this.#stopped !== null) return Promise.reject(this.#stopped)
    const last = this.#memory.isEmpty ? this.#openSequence - 1 : this.#openSequence
    assert(sequence <= last, `sync to group ${sequence}, the last is ${last}`)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiters.push({ sequence, resolve, reject })
    this.#schedule()
    return promise
  }

  release(sequence: number): void {
    this.#memory.release(Math.min(sequence, this.#written + 1))
  }

  recycleBelow(sequence: number): void {
    const count = Math.min(sequence - this.#firstTotal, this.#totals.length - 1)
    if (count > 0) {
      this.#totals.splice(0, count)
      this.#firstTotal += count
    }
    if (this.#stopped === null && this.#closing === null) this.#backend.send({ kind: 'recycle', below: sequence })
  }

  bytesSince(sequence: number): number {
    const newest = this.#totals.at(-1)
    if (newest === undefined) return 0
    const index = sequence - this.#firstTotal
    return newest - (index < 0 ? 0 : (this.#totals[index] ?? newest))
  }

  close(): Promise<void> {
    if (this.#closing !== null) return this.#closing.promise
    this.#closing = Promise.withResolvers()
    this.#sealTimer?.cancel()
    if (this.#stopped === null) this.#schedule()
    else this.#end(this.#closing.resolve)
    return this.#closing.promise
  }

  /** Schedules a microtask, so that everything one turn appends without awaiting shares a group. */
  #schedule(): void {
    if (this.#scheduled || this.#isBusy) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#next()
    })
  }

  /** Gives the writer its next command. */
  #next(): void {
    // The sync first: a steady stream of groups must not delay it, as the flush of a store waits for it.
    if (this.#waiters.some((waiter) => waiter.sequence <= this.#written)) this.#sync()
    if (this.#sealing !== null || this.#stopped !== null) return
    if (this.#writing.length === 0 && this.#closed.length === 0 && !this.#memory.isEmpty) this.#closeGroup()
    if (this.#closed.length > 0) return this.#write()
    // Closing and sealing wait for the groups and for the sync.
    if (this.#writing.length > 0 || this.#syncing) return
    if (this.#closing !== null) this.#send('close')
    else if (!this.#sealed) this.#sealWhenIdle()
  }

  /** Whether the writer will report something after which it gets its next command. */
  get #isBusy(): boolean {
    return this.#writing.length > 0 || this.#sealing !== null
  }

  /** Gives the writer the groups that are closed; on this thread, where it reports at once, one per turn. */
  #write(): void {
    do {
      const group = this.#closed.shift()
      if (group === undefined) return
      const { bytes, summed } = group
      this.#closedBytes -= bytes.length
      this.#writingBytes += bytes.length
      this.#writing.push(bytes)
      this.#sealed = false
      this.#backend.send({ kind: 'write', sequence: this.#written + this.#writing.length, group: bytes, summed })
    } while (this.#backend.asynchronous)
  }

  #sync(): void {
    if (this.#syncing || this.#sealing !== null || this.#stopped !== null || this.#durable === this.#written) return
    this.#syncing = true
    this.#backend.send({ kind: 'sync' })
  }

  #send(kind: 'seal' | 'close'): void {
    this.#sealing = kind
    this.#backend.send({ kind })
  }

  #closeGroup(): void {
    const group = this.#memory.take()
    this.#closed.push(group)
    this.#closedBytes += group.bytes.length
    this.#openSequence++
  }

  #reported(report: WriterReport): void {
    if (this.#stopped !== null) return
    if (report.kind === 'failed') return this.#fail(report)
    if (report.kind === 'synced') {
      this.#syncing = false
      this.#durable = report.durableSequence
      this.#wakeWaiters()
      return this.#schedule()
    }
    assert(this.#sealing === null || this.#writing.length === 0, 'a group was sent during a seal')
    const group = this.#writing.shift()
    if (this.#sealing === 'seal') this.#sealed = true
    this.#sealing = null
    this.#written = report.lastSequence
    this.#durable = report.durableSequence
    if (group !== undefined) this.#count(group)
    if (report.kind === 'closed') {
      this.#wakeWaiters()
      this.#stopped = new LogError('CLOSED', 'the journal is closed: open the log again')
      return this.#end(() => this.#closing?.resolve())
    }
    // The writer gets its next group before this one is promoted, so that its sync runs in parallel with the promotion.
    if (this.#backend.asynchronous) this.#next()
    else this.#schedule()
    this.#wakeWaiters()
    if (group === undefined) return
    const { buffer, byteOffset, length } = group
    // A plain Uint8Array: `slice` of a Buffer would not copy.
    const memory = new Uint8Array(buffer, byteOffset + headerBytes, length - headerBytes)
    this.#listener.written({ sequence: report.lastSequence, memory })
  }

  #count(group: Buffer): void {
    this.#writingBytes -= group.length
    this.#totals.push((this.#totals.at(-1) ?? 0) + group.length)
    this.#lastWrite = this.#clock.monotonic()
  }

  #wakeWaiters(): void {
    if (this.#waiters.length === 0) return
    const ready = this.#waiters.filter((waiter) => waiter.sequence <= this.#durable)
    if (ready.length === 0) return
    const waiting = this.#waiters.filter((waiter) => waiter.sequence > this.#durable)
    this.#waiters.splice(0, this.#waiters.length, ...waiting)
    for (const waiter of ready) waiter.resolve()
  }

  #fail(report: { readonly diskFull: boolean; readonly message: string }): void {
    const error = new LogError(
      report.diskFull ? 'DISK_FULL' : 'WRITE_FAILED',
      `the journal could not be written (${report.message}): nothing after group ${this.#written} is kept. ` +
        (report.diskFull ? 'Free space, then open the log again.' : 'Check the disk, then open the log again.'),
      { written: this.#written, durable: this.#durable },
    )
    this.#stopped = error
    this.#sealing = null
    this.#writing.length = 0
    this.#writingBytes = 0
    this.#closed.length = 0
    this.#closedBytes = 0
    this.#sealTimer?.cancel()
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error)
    const closing = this.#closing
    if (closing !== null) this.#end(() => closing.reject(error))
    this.#listener.failed(error)
  }

  #end(then: () => void): void {
    void this.#backend.end().then(then)
  }

  /** One timer serves many groups: when it fires, it checks the time of the last write and waits for the remainder. */
  #sealWhenIdle(): void {
    if (this.#sealTimer !== null) return
    const idleMs = this.#clock.monotonic() - this.#lastWrite
    this.#sealTimer = this.#clock.setTimer(Math.max(1, sealAfterMs - idleMs), () => {
      this.#sealTimer = null
      if (this.#sealed || this.#isBusy || this.#stopped !== null || this.#closing !== null) return
      // When a sync is over, this timer is set again.
      if (this.#syncing) return
      if (this.#clock.monotonic() - this.#lastWrite < sealAfterMs) this.#sealWhenIdle()
      // Before the seal, in the background: under `os` it may take long, and groups that arrive meanwhile must not wait.
      else if (this.#durable < this.#written) this.#sync()
      else if (!this.#scheduled) this.#send('seal')
    })
  }

  #checkOpen(): void {
    if (this.#stopped !== null) throw this.#stopped
    if (this.#closing !== null) throw new LogError('CLOSED', 'the journal is closing: open the log again')
  }
}

export interface JournalOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly start: JournalStart
  readonly sync: JournalSync
  /** Whether a separate thread writes. It uses the file system of the machine, whatever `disk` is. */
  readonly thread: boolean
  readonly listener: JournalListener
  /**
   * For each group that recovery returned for replay, the bytes of journal up to and including it; for `bytesSince`.
   */
  readonly totals?: readonly number[]
}

interface SyncWaiter {
  readonly sequence: number
  readonly resolve: () => void
  readonly reject: (error: LogError) => void
}

/** A group closes at this size; a larger entry gets a group of its own. */
export const groupBytesMax: number = 4 * 1024 * 1024
/**
 * A group that outgrows its memory is moved as long as it is smaller than this, and closed otherwise: copying more would
 * cost as much as writing one group more.
 */
const movedBytesMax = 1024 * 1024
/** A larger entry is refused with COMMIT_TOO_LARGE. */
export const entryBytesMax: number = 64 * 1024 * 1024
const sealAfterMs = 1000
