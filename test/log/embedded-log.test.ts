import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import { openLog } from '../../src/log/open-log.ts'
import { logContract, type LogUnderTest } from '../contract/log-contract.ts'
import { LogHarness, type HarnessOptions } from '../harness/log-harness.ts'

/** In memory, closed and opened again. */
async function inMemory(options: HarnessOptions = {}): Promise<LogUnderTest> {
  const harness = await LogHarness.open(options)
  return {
    log: harness.log,
    reopen: async () => {
      await harness.log.close()
      return harness.reopen()
    },
    close: () => harness.close(),
  }
}

/** In memory; before each reopening the process or the machine stops without closing the log. */
async function crashing(how: { readonly powerCutSeed?: number }): Promise<LogUnderTest> {
  const harness = await LogHarness.open()
  return {
    log: harness.log,
    reopen: async () => {
      harness.crash(how)
      return harness.reopen()
    },
    close: () => harness.close(),
  }
}

/** On the file system of the machine. */
async function onDisk(options: { readonly threads: boolean }): Promise<LogUnderTest> {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-log-'))
  let log = await openLog({ dataDir, ...options })
  return {
    log,
    reopen: async () => {
      await log.close()
      log = await openLog({ dataDir, ...options })
      return log
    },
    close: async () => {
      await log.close()
      rmSync(dataDir, { recursive: true })
    },
  }
}

function gaps(seed: number): () => number {
  const random = new SeededRandom(seed)
  return () => random.below(5)
}

logContract('the log in memory', () => inMemory())
logContract('the log with artificial gaps between offsets', () => inMemory({ nextGap: gaps(7) }))
logContract('the log with segments of one batch and no recent batches in memory', () =>
  inMemory({ segmentBytes: 1024, recentBytesMax: 0, checkpointEveryCommits: 3 }),
)
logContract('the log after a crash of the process', () => crashing({}))
logContract('the log after a power cut', () => crashing({ powerCutSeed: 3 }))
logContract('the log on a disk', () => onDisk({ threads: false }))
// Starting threads takes most of the time, so only the parts run in which threads make a difference.
logContract('the log on a disk with threads', () => onDisk({ threads: true }), ['commits', 'log starts', 'closing'])
