import assert from 'node:assert/strict'
import type { Disk } from '../../src/base/disk.ts'
import type { SeededRandom } from '../../src/base/seeded-random.ts'
import type { SyncMode } from '../../src/log/config.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { openLog } from '../../src/log/open-log.ts'
import type { ManualClock } from '../../src/testing/manual-clock.ts'
import { fingerprint, fingerprintOf, type LogState } from './log-model.ts'
import { kindOf } from './log-user.ts'

export const dataDir = '/data'

/** A log with small limits, so that a short life rolls, recycles, checkpoints, deletes and compacts. */
export function openSmallLog(on: {
  readonly disk: Disk
  readonly clock: ManualClock
  readonly ids: SeededRandom
  readonly sync: SyncMode
}): Promise<EmbeddedLog> {
  return openLog({
    dataDir,
    segmentBytes: 2048,
    segmentMs: 20_000,
    journalFileBytesMin: 16 * 1024,
    journalFileBytesMax: 32 * 1024,
    checkpointIntervalMs: 5000,
    checkpointEveryCommits: 12,
    unappliedBytesMax: 64 * 1024,
    recentBytesMax: 4096,
    retentionCheckIntervalMs: 2000,
    compactionIntervalMs: 2000,
    sync: on.sync,
    disk: on.disk,
    clock: on.clock,
    randomBytes: (count) => Uint8Array.from({ length: count }, () => on.ids.below(256)),
  })
}

/** The index of the latest state that matches the log; it must not be below `floor`. */
export async function matchingState(log: EmbeddedLog, states: readonly LogState[], floor: number): Promise<number> {
  const found = await fingerprintOf(log, kindOf)
  for (let index = states.length - 1; index >= 0; index--) {
    if (fingerprint(states[index] as LogState) !== found) continue
    assert(index >= floor, `the log is at entry ${index} of ${states.length - 1}, promised were ${floor}: ${found}`)
    return index
  }
  const near = states.slice(floor).map(fingerprint)
  return assert.fail(`the log is in no state that it ever had: ${found}\nit could be\n${near.join('\n')}`)
}
