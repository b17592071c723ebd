import assert from 'node:assert/strict'
import type { Disk } from '../../../src/base/disk.ts'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import type { JournalSync } from '../../../src/log/journal/journal-writer.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import { LyingDisk, type Lies } from '../../harness/lying-disk.ts'
import { checkpointState, JournalHarness, readCheckpoint, recover, replayOf } from './journal-harness.ts'

export interface LifeOptions {
  readonly seed: number
  readonly sync: JournalSync
  readonly actions: number
  /** The number of loss patterns that are tried at each operation of the disk. */
  readonly patterns: number
  readonly lies?: Lies
}

/**
 * A journal's life of random actions, with the power cut at every operation of the disk in several ways. Each state is
 * recovered and must hold every entry promised by then, whole and in order, and nothing that was never appended.
 */
export class JournalLife {
  readonly violations: string[] = []
  states = 0
  rolls = 0
  checkpoints = 0
  reopened = 0
  readonly #options: LifeOptions
  readonly #random: SeededRandom
  readonly #losses: SeededRandom
  readonly #clock = new ManualClock()
  readonly #sizes = { firstFileBytes: 2048, fileBytesMax: 4096 }
  #disk = new MemoryDisk()
  #harness: JournalHarness | null = null
  /** The entries of each group that was written, promised or not. */
  #model = new Map<number, number[]>()
  /** The sequence up to which recovery must return the groups at least. */
  #floor = 0
  #nextId = 1

  constructor(options: LifeOptions) {
    this.#options = options
    this.#random = new SeededRandom(options.seed)
    this.#losses = new SeededRandom(options.seed + 1_000_000)
  }

  async run(): Promise<void> {
    this.#open()
    for (let action = 0; action < this.#options.actions && this.violations.length === 0; action++) await this.#act()
  }

  async #act(): Promise<void> {
    const harness = this.#harness
    assert(harness)
    const choice = this.#random.below(100)
    if (choice < 60) {
      for (let count = this.#random.between(1, 3); count > 0; count--) this.#append(harness)
      if (choice < 50) await this.#clock.nextTurn()
    } else if (choice < 70) {
      await harness.journal.syncTo(harness.journal.writtenSequence)
    } else if (choice < 80) {
      await this.#checkpoint(harness)
    } else if (choice < 85) {
      await this.#clock.run(1500)
    } else if (choice < 90) {
      await harness.journal.close()
      this.#floor = harness.journal.durableSequence
      this.#reopen(this.#disk.crashProcess())
    } else if (choice < 95) {
      this.#floor = this.#promised()
      const { writtenSequence } = harness.journal
      this.#reopen(this.#disk.crashProcess())
      assert(this.#floor >= writtenSequence, 'the end of a process alone loses nothing that was acknowledged')
    } else {
      this.#floor = this.#promised()
      this.#reopen(this.#disk.cut(this.#losses))
    }
    assert.equal(this.#harness?.failure, null)
  }

  #append(harness: JournalHarness): void {
    const id = this.#nextId++
    const bytes = this.#random.chance(0.05) ? this.#random.between(3000, 9000) : this.#random.below(600)
    const sequence = harness.append(id, bytes)
    this.#model.set(sequence, [...(this.#model.get(sequence) ?? []), id])
  }

  async #checkpoint(harness: JournalHarness): Promise<void> {
    // As in the log, the journal need not be durable as far as the checkpoint.
    const { id, durableSequence: durable, writtenSequence: sequence } = harness.journal
    const checkpoint = readCheckpoint(this.#disk)
    if (sequence <= (checkpoint.newest?.sequence ?? 0)) return
    checkpoint.write(checkpointState(sequence, harness.recovered.incarnation, { id, durable }))
    this.#floor = sequence
    harness.journal.recycleBelow(checkpoint.lowerSequence)
    await this.#clock.nextTurn()
    this.checkpoints++
  }

  #reopen(disk: MemoryDisk): void {
    this.#disk.onOperation = null
    this.#harness = null
    this.#disk = disk
    this.#open()
    this.reopened++
  }

  #open(): void {
    this.#disk.onOperation = (operation) => {
      if (operation.kind === 'rename' && operation.path.endsWith('.journal')) this.rolls++
      this.#cutHere(`operation ${operation.index}, ${operation.kind} ${operation.path}`)
    }
    const disk = this.#options.lies === undefined ? this.#disk : new LyingDisk(this.#disk, this.#options.lies)
    const harness = new JournalHarness(disk, { ...this.#sizes, sync: this.#options.sync, clock: this.#clock })
    const last = harness.recovered.lastSequence
    for (const sequence of this.#model.keys()) if (sequence > last) this.#model.delete(sequence)
    // Everything that recovery returns is durable, also with sync `os`.
    this.#floor = last
    this.#harness = harness
  }

  #promised(): number {
    const journal = this.#harness?.journal
    if (journal === undefined) return this.#floor
    return Math.max(this.#floor, this.#options.sync === 'commit' ? journal.writtenSequence : journal.durableSequence)
  }

  #cutHere(where: string): void {
    for (let pattern = 0; pattern < this.#options.patterns && this.violations.length === 0; pattern++) {
      const left = this.#disk.cut(this.#losses)
      this.states++
      try {
        this.#check(left)
      } catch (error) {
        this.violations.push(`seed ${this.#options.seed}, ${where}, pattern ${pattern}: ${String(error)}`)
      }
    }
  }

  #check(left: MemoryDisk): void {
    const before = left.clone()
    const inside: MemoryDisk[] = []
    const nested = this.#losses.chance(0.1)
    if (nested) left.onOperation = () => void inside.push(left.cut(this.#losses))
    const first = this.#recoveredFrom(left)
    left.onOperation = null

    const promised = this.#promised()
    assert(first.last >= promised, `ends at group ${first.last}, promised were ${promised}`)
    for (const { sequence, entries } of first.replay) {
      assert.deepEqual(entries, this.#model.get(sequence), `group ${sequence}`)
    }
    assert.deepEqual(this.#recoveredFrom(left), first, 'a second recovery')
    assert.deepEqual(this.#recoveredFrom(left.cut(this.#losses)), first, 'a recovery after a cut after recovery')
    assert.deepEqual(this.#recoveredFrom(before), first, 'a recovery of the same bytes')
    for (const [index, disk] of inside.entries()) {
      this.states++
      assert.deepEqual(this.#recoveredFrom(disk), first, `a recovery after a cut at operation ${index} of recovery`)
    }
  }

  #recoveredFrom(disk: Disk): { last: number; replay: ReturnType<typeof replayOf> } {
    const recovered = recover(disk, this.#sizes)
    const replay = replayOf(recovered)
    const base = readCheckpoint(disk).newest?.sequence ?? 0
    assert.deepEqual(
      replay.map(({ sequence }) => sequence),
      Array.from({ length: recovered.lastSequence - base }, (_none, index) => base + 1 + index),
      'the groups after the checkpoint, without a gap',
    )
    return { last: recovered.lastSequence, replay }
  }
}
