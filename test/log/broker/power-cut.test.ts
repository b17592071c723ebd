import assert from 'node:assert/strict'
import { test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import type { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import { LogHarness, readAll, type HarnessOptions } from '../../harness/log-harness.ts'

const cuts = 40

/** Opens what so many power cuts leave of a disk and hands each log to the check. */
async function afterCuts(
  disk: MemoryDisk,
  options: HarnessOptions,
  check: (log: LogHarness) => Promise<void>,
): Promise<void> {
  for (let seed = 1; seed <= cuts; seed++) {
    const left = LogHarness.on(disk.cut(new SeededRandom(seed)), options)
    await left.reopen()
    await check(left)
  }
}

/** Calls `look` with the disk before each of its operations until `act` is done. */
async function everyOperation(harness: LogHarness, act: () => Promise<void>): Promise<MemoryDisk[]> {
  const disks: MemoryDisk[] = []
  harness.disk.onOperation = () => void disks.push(harness.disk.clone())
  await act()
  harness.disk.onOperation = null
  return [...disks, harness.disk.clone()]
}

const table = { cleanupPolicy: 'compact', segmentBytes: 1024, minCleanableDirtyRatio: 0.01 } as const

/** Each batch makes half of the one before old, a second round all of the first. */
async function writeTable(harness: LogHarness, round: string): Promise<void> {
  for (let index = 0; index < 6; index++) {
    const value = `${round} ${index} `.padEnd(350, '.')
    await harness.append('table', 0, [
      ['often', value],
      [`once-${index}`, value],
    ])
  }
}

async function rows(harness: LogHarness): Promise<Map<string | null, string | undefined>> {
  const records = await readAll(harness.log, { topic: 'table', partition: 0 })
  return new Map(records.map(({ key, value }) => [key, value?.trimEnd().replace(/\.+$/, '')]))
}

test('under sync: os a checkpoint is as old as what the device has of the journal', async () => {
  const options = { sync: 'os', checkpointEveryCommits: 5 } as const
  const harness = await LogHarness.open(options)
  await harness.topic('events')
  const states = await everyOperation(harness, async () => {
    for (let index = 0; index < 12; index++) {
      await harness.append('events', 0, [`${index}`])
      await harness.clock.nextTurn()
    }
  })

  for (const disk of states.filter((_, index) => index % 4 === 0)) {
    await afterCuts(disk, options, async (left) => {
      const found = left.log.broker.topic('events') === undefined ? [] : await left.values('events', 0)
      assert.deepEqual(
        found,
        found.map((_, index) => `${index}`),
      )
    })
  }
})

test('offsets that are on their way when their topic is deleted go with it', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events')
  const at = { topic: 'events', partition: 0 }
  const { broker } = harness.log

  const committed = broker.commitOffsets('group', -1, [{ at, offset: 0, leaderEpoch: 0, metadata: '' }])
  await Promise.all([committed, broker.deleteTopic('events')])
  assert.deepEqual(broker.committedOffsets('group', [at]), [])

  harness.crash()
  await harness.reopen()
  assert.deepEqual(harness.log.broker.committedOffsets('group', [at]), [])
})

test('a partition that was compacted before the first checkpoint is there after a power cut', async () => {
  const options = { compactionIntervalMs: 1000 }
  const harness = await LogHarness.open(options)
  await harness.topic('table', 1, table)
  await writeTable(harness, 'first')
  await harness.clock.run(1500)
  assert(
    harness.disk.list('/log/table-0').some((name) => name.endsWith('.swap')),
    'it was compacted',
  )

  await afterCuts(harness.disk, options, async (left) => {
    assert.deepEqual(await rows(left), await rows(harness))
  })
})

test('a compaction that a power cut takes back is not mistaken for the one before', async () => {
  const options = { sync: 'os', compactionIntervalMs: 1000, checkpointIntervalMs: 3000 } as const
  const harness = await LogHarness.open(options)
  await harness.topic('table', 1, table)
  await writeTable(harness, 'first')
  // The second checkpoint puts the compacted segment in its place, and speaks of it as waiting.
  await harness.clock.run(6500)
  await writeTable(harness, 'second')
  const before = await rows(harness)

  const states = await everyOperation(harness, () => harness.clock.run(1000))
  for (const disk of states) {
    await afterCuts(disk, options, async (left) => {
      const found = await rows(left)
      for (const [key, value] of found) assert.match(value ?? '', /^(first|second) \d/, String(key))
    })
  }
  assert.deepEqual(await rows(harness), before)
})
