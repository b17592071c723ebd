import assert from 'node:assert/strict'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import type { SyncMode } from '../../src/log/config.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { MemoryDisk, type DiskFaults } from '../../src/testing/memory-disk.ts'
import { checkContents, type LogState } from './log-model.ts'
import { LogHistory, LogUser } from './log-user.ts'
import { matchingState, openSmallLog } from './small-log.ts'

/** The outcome of a life on a disk that failed. */
export interface FaultOutcome {
  /** When the log hit the fault: while opening, in use, or never because the life ended before. */
  readonly felt: 'opening' | 'use' | 'never'
  /** The number of disk operations of the whole life. */
  readonly counts: MemoryDisk['counts']
  readonly usedBytes: number
}

/**
 * The life of a log on a disk that fails once: after the failure nothing is acknowledged, nothing that was acknowledged
 * is lost, and the log opens again on a healthy disk and continues. That also holds if the power is cut right after
 * that opening: bytes that a failed sync left only in the page cache must not be served.
 */
export async function liveWithFault(options: {
  readonly seed: number
  readonly sync: SyncMode
  readonly faults: DiskFaults
  readonly actions: number
}): Promise<FaultOutcome> {
  const { seed, sync } = options
  const random = new SeededRandom(seed)
  const disk = new MemoryDisk(options.faults)
  const clock = new ManualClock(1_700_000_000_000)
  let syncs = 0
  let namesLost = false
  disk.onOperation = ({ kind }) => {
    if (kind !== 'sync' && kind !== 'syncDirectory') return
    if (++syncs === options.faults.failSyncAt) namesLost = kind === 'syncDirectory'
  }
  let openings = 0
  const open = (on: MemoryDisk, at: ManualClock): Promise<EmbeddedLog> =>
    openSmallLog({ disk: on, clock: at, ids: new SeededRandom(seed * 1000 + openings++), sync })

  const history = new LogHistory()
  let felt: FaultOutcome['felt'] = 'never'
  try {
    const log = await open(disk, clock)
    const user = new LogUser(log, history, random, { next: 1 })
    await user.open()
    await use(user, clock, options.actions)
    if (history.failures.length > 0) felt = 'use'
    // A failed log still closes; a healthy one may hit the fault only now.
    await log.close().catch(() => void (felt = 'use'))
  } catch (error) {
    assert(openings === 1 && history.sent === 0, `only opening may throw: ${String(error)}`)
    felt = 'opening'
  }

  const floor = history.acknowledged
  const left = disk.crashProcess()
  const again = await open(left, new ManualClock(clock.now() + 1))
  const at = await matchingState(again, history.states, floor)
  const state = history.states[at] as LogState
  await checkContents(again, state)
  // Names whose sync failed cannot be told from durable ones; a file system that fails like this takes no more writes.
  if (!namesLost) {
    const afterCut = await open(left.cut(random), new ManualClock(clock.now() + 1))
    assert.equal(await matchingState(afterCut, [state], 0), 0)
    await checkContents(afterCut, state)
  }

  const goOn = new LogHistory(state)
  const user = new LogUser(again, goOn, random, { next: 100_000 })
  const next = new ManualClock(clock.now() + 2)
  await user.open()
  for (let count = 5; count > 0; count--) user.act()
  await next.nextTurn()
  await next.nextTurn()
  assert.deepEqual(goOn.failures, [])
  await checkContents(again, goOn.last)
  await again.close()
  return { felt, counts: disk.counts, usedBytes: disk.usedBytes }
}

/** Uses the log until the actions are done or it has failed; after a failure nothing may succeed any more. */
async function use(user: LogUser, clock: ManualClock, actions: number): Promise<void> {
  const { history } = user
  const random = new SeededRandom(actions)
  for (let action = 0; action < actions; action++) {
    try {
      user.act()
    } catch (error) {
      assert(history.failures.length > 0, `a log in order refuses: ${String(error)}`)
    }
    if (random.chance(0.6)) await clock.nextTurn()
    if (random.chance(0.1)) await clock.run(random.pick([1100, 2500, 6000]))
    if (history.failures.length > 0) break
  }
  await clock.nextTurn()
  if (history.failures.length === 0) return
  const { acknowledged } = history
  for (let count = 3; count > 0; count--) {
    try {
      user.act()
    } catch {
      // An action that is refused synchronously gives no promise to check.
    }
    await clock.run(1100)
  }
  assert.equal(history.acknowledged, acknowledged, 'nothing is acknowledged after a failure')
}
