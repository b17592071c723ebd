import assert from 'node:assert/strict'
import type { Disk } from '../../src/base/disk.ts'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import type { SyncMode } from '../../src/log/config.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { CheckpointFile } from '../../src/log/journal/checkpoint-file.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { MemoryDisk } from '../../src/testing/memory-disk.ts'
import { checkContents, type LogState } from './log-model.ts'
import { dataDir, matchingState, openSmallLog } from './small-log.ts'
import { LogHistory, LogUser } from './log-user.ts'
import { LyingDisk, type Lies } from '../harness/lying-disk.ts'
import { PowerTotals } from './power-totals.ts'

export interface LogLifeOptions {
  readonly seed: number
  readonly sync: SyncMode
  readonly actions: number
  /** The topics that the log may have. Default: all. */
  readonly topics?: readonly string[]
  /** The number of loss patterns that are tried at each operation of the disk. */
  readonly patterns: number
  readonly lies?: Lies
}

/**
 * A log's life of random actions, with the power cut at every operation of its disk, in several ways each. What remains
 * is opened, and the log must be in exactly one of the states that it went through: none older than what was
 * promised, none newer than what was sent. Then the power is cut again: inside that recovery, right after it, and after
 * the recovered log has continued to work.
 *
 * With sync `commit` everything that a durable reader could see is promised, with sync `os` everything up to the last
 * checkpoint or sync.
 */
export class LogLife {
  readonly totals: PowerTotals
  readonly #options: LogLifeOptions
  readonly #random: SeededRandom
  readonly #losses: SeededRandom
  readonly #ids = { next: 1 }
  readonly #cuts: Cut[] = []
  #history = new LogHistory()
  #disk = new MemoryDisk()
  #clock = new ManualClock(startTime)
  #user: LogUser | null = null
  /** With sync `os`: the number of entries that a sync, or an opening, has made durable. */
  #synced = 0
  /** Ends of partitions by topic id, as recorded in the latest durable checkpoint. */
  #checkpointed: ReadonlyMap<string, number> = new Map()
  /** While the log opens: the epoch that its next one must exceed. */
  #epoch = 0
  #starts = 0

  constructor(options: LogLifeOptions, totals: PowerTotals = new PowerTotals()) {
    this.totals = totals
    this.#options = options
    this.#random = new SeededRandom(options.seed)
    this.#losses = new SeededRandom(options.seed + 1_000_000)
  }

  /** Resolves to false once a check has failed; the totals contain the violation. */
  async run(): Promise<boolean> {
    await this.#begin()
    for (let action = 0; action < this.#options.actions && this.#fine; action++) await this.#act()
    if (this.#fine) await this.#close()
    this.#disk.onOperation = null
    return this.#fine
  }

  get #fine(): boolean {
    return this.totals.violations.length === 0
  }

  async #act(): Promise<void> {
    const { history } = this.#use()
    const choice = this.#random.below(100)
    if (choice < 72) {
      for (let count = this.#random.between(1, 3); count > 0; count--) this.#use().act()
      if (choice < 60) await this.#settle()
    } else if (choice < 82) {
      await this.#clock.run(this.#random.pick([10, 1100, 2500, 9000]))
    } else if (choice < 86) {
      await this.#settle()
      const { acknowledged } = history
      await this.#use().log.sync()
      this.#synced = Math.max(this.#synced, acknowledged)
    } else if (choice < 92) {
      await this.#close()
      await this.#begin()
    } else if (choice < 96) {
      await this.#reopen(this.#disk.crashProcess(), history.promoted)
    } else {
      const left = this.#disk.cut(this.#losses)
      await this.#reopen(left, this.#floor())
    }
    assert.deepEqual(history.failures, [], 'nothing fails on a good disk')
    await this.#checkCuts()
  }

  async #settle(): Promise<void> {
    await this.#clock.nextTurn()
    await this.#clock.nextTurn()
  }

  async #close(): Promise<void> {
    const user = this.#use()
    await this.#settle()
    await user.log.close()
    assert.equal(user.history.acknowledged, user.history.sent, 'a closed log has answered everybody')
    this.#synced = user.history.sent
    await this.#checkCuts()
    this.#user = null
  }

  /** The process ended or the power was cut: users of the log are gone, and each entry in flight is kept or lost. */
  async #reopen(disk: MemoryDisk, floor: number): Promise<void> {
    await this.#checkCuts()
    const { states } = this.#use().history
    this.#disk.onOperation = null
    this.#disk.crashProcess()
    this.#disk = disk
    this.#user = null
    this.#history = LogHistory.of(states, floor)
    await this.#begin()
  }

  async #begin(): Promise<void> {
    this.#clock = new ManualClock(this.#clock.now() + 1)
    this.#watch()
    const floor = this.#history.acknowledged
    const log = await this.#open(this.#disk, this.#clock)
    const at = await matchingState(log, this.#history.states, floor)
    this.#history.cutTo(at)
    this.#synced = at
    const user = new LogUser(log, this.#history, this.#random, this.#ids, this.#options.topics)
    await user.open()
    assert(user.epoch > this.#epoch, `epoch ${user.epoch} after ${this.#epoch}`)
    this.#epoch = user.epoch
    this.#user = user
    this.#starts++
    await this.#checkCuts()
  }

  #use(): LogUser {
    assert(this.#user)
    return this.#user
  }

  #open(disk: Disk, clock: ManualClock): Promise<EmbeddedLog> {
    const { lies, seed, sync } = this.#options
    // Each opening draws its own ids, so that no two openings use the same ones.
    const ids = new SeededRandom(seed * 1000 + this.#ids.next++)
    return openSmallLog({ disk: lies === undefined ? disk : new LyingDisk(disk, lies), clock, ids, sync })
  }

  #watch(): void {
    let checkpointSynced = false
    this.#disk.onOperation = (operation) => {
      if (!this.#fine) return
      this.totals.operations++
      if (checkpointSynced) this.#checkpointed = this.#readCheckpoint()
      checkpointSynced = operation.kind === 'syncDirectory' && operation.path.endsWith('/journal')
      const where = `operation ${operation.index}, ${operation.kind} ${operation.path}`
      for (let pattern = 0; pattern < this.#options.patterns; pattern++) {
        const disk = this.#disk.cut(this.#losses)
        this.#cuts.push({
          where: `start ${this.#starts}, ${where}, pattern ${pattern}`,
          disk,
          floor: this.#floor(),
          ends: this.#options.sync === 'os' ? this.#checkpointed : new Map(),
          states: this.#history.states.slice(),
          now: this.#clock.now(),
          epoch: this.#epoch,
          depth: 0,
        })
      }
    }
  }

  #floor(): number {
    return this.#options.sync === 'commit' ? this.#history.promoted : this.#synced
  }

  #readCheckpoint(): ReadonlyMap<string, number> {
    const state = CheckpointFile.open(this.#disk.clone(), `${dataDir}/journal`).newest
    return new Map(state?.partitions.map(({ topicId, partition, end }) => [`${topicId}/${partition}`, end]))
  }

  async #checkCuts(): Promise<void> {
    for (let cut = this.#cuts.shift(); cut !== undefined; cut = this.#cuts.shift()) {
      if (!this.#fine) return void (this.#cuts.length = 0)
      this.totals.states++
      if (cut.depth > 0) this.totals.insideRecovery++
      try {
        await this.#check(cut)
      } catch (error) {
        const { seed, sync } = this.#options
        this.totals.violations.push(`log life, seed ${seed}, sync ${sync}, ${cut.where}: ${describe(error)}`)
      }
    }
  }

  async #check(cut: Cut): Promise<void> {
    const { disk, states } = cut
    const inside: { disk: MemoryDisk; where: string }[] = []
    const nested = cut.depth < depthMax && this.#losses.chance(nestedShare)
    if (nested) {
      disk.onOperation = ({ index, kind, path }) => {
        if (inside.length < nestedMax && this.#losses.chance(nestedOperations))
          inside.push({
            disk: disk.cut(this.#losses),
            where: `inside its recovery, operation ${index}, ${kind} ${path}`,
          })
      }
    }
    const clock = new ManualClock(cut.now + 1)
    const log = await this.#open(disk, clock)
    disk.onOperation = null
    const at = await matchingState(log, states, cut.floor)
    const state = states[at] as LogState
    checkEnds(log, cut.ends)
    await checkContents(log, state)
    const next = { states: [state], floor: 0, ends: noEnds, now: clock.now(), epoch: cut.epoch, depth: cut.depth + 1 }
    for (const { disk: deeper, where } of inside)
      this.#cuts.push({ ...next, disk: deeper, where: `${cut.where}, ${where}` })
    if (this.#losses.chance(againShare))
      this.#cuts.push({
        ...next,
        disk: disk.cut(this.#losses),
        where: `${cut.where}, right after its recovery`,
        depth: depthMax,
      })
    if (this.#losses.chance(goOnShare)) await this.#goOn(log, { disk, clock, cut, state })
  }

  /** After recovery the log works normally: it takes entries in a new epoch, closes, and reopens with all of them. */
  async #goOn(
    log: EmbeddedLog,
    { disk, clock, cut, state }: { disk: MemoryDisk; clock: ManualClock; cut: Cut; state: LogState },
  ): Promise<void> {
    const history = new LogHistory(state)
    const user = new LogUser(log, history, new SeededRandom(this.#ids.next++), this.#ids, this.#options.topics)
    await user.open()
    assert(user.epoch > cut.epoch, `epoch ${user.epoch} after ${cut.epoch}`)
    user.repeatAll()
    for (let count = 4; count > 0; count--) user.act()
    await clock.nextTurn()
    await clock.nextTurn()
    assert.deepEqual(history.failures, [])
    assert.equal(history.acknowledged, history.sent, 'a recovered log answers')
    await checkContents(log, history.last)
    await log.close()
    const again = await this.#open(disk, new ManualClock(clock.now() + 1))
    await matchingState(again, history.states, history.sent)
    await checkContents(again, history.last)
  }
}

interface Cut {
  readonly where: string
  readonly disk: MemoryDisk
  /** The states that the log went through; `floor` is the oldest that it may be in. */
  readonly states: readonly LogState[]
  readonly floor: number
  /** The ends that partitions must at least reach. */
  readonly ends: ReadonlyMap<string, number>
  readonly now: number
  /** The highest epoch under which anything was appended. */
  readonly epoch: number
  /** The number of recoveries that this cut is nested in. */
  readonly depth: number
}

const noEnds: ReadonlyMap<string, number> = new Map()
const depthMax = 3
const nestedShare = 0.06
const nestedMax = 4
const nestedOperations = 0.04
const againShare = 0.1
const goOnShare = 0.05
const startTime = 1_700_000_000_000

/** Topics that were deleted after the checkpoint are not checked. */
function checkEnds(log: EmbeddedLog, ends: ReadonlyMap<string, number>): void {
  for (const { name, id, partitions } of log.broker.listTopics()) {
    for (let partition = 0; partition < partitions; partition++) {
      const [bounds] = log.broker.bounds([{ topic: name, partition }], 'durable')
      const least = ends.get(`${id}/${partition}`) ?? 0
      assert(
        bounds && bounds.end >= least,
        `${name}-${partition} ends at ${bounds?.end}, the last checkpoint has ${least}`,
      )
    }
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
