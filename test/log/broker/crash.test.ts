import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import { batchOf, LogHarness, readAll } from '../../harness/log-harness.ts'
import { expectOneOf, lifeOptions, logLife, visibleState } from '../../harness/log-life.ts'

/** A disk as a power cut left it, and the state that the log must then show. */
interface Cut {
  readonly disk: MemoryDisk
  readonly what: string
  /** States are those after step `acknowledged` and, if one was under way, the one after it. */
  readonly acknowledged: number
}

/** Runs the life once and takes a cut before every n-th operation of the disk. */
async function liveAndCut(rounds: number, every: number, seed: number): Promise<{ cuts: Cut[]; states: string[] }> {
  const harness = LogHarness.on(new MemoryDisk(), lifeOptions)
  const random = new SeededRandom(seed)
  const cuts: Cut[] = []
  const states: string[] = []
  let step = 'open'
  harness.disk.onOperation = (operation) => {
    if (operation.index % every !== 0) return
    const what = `seed ${seed}: cut before ${operation.kind} ${operation.path} (${operation.index}) in ${step}`
    cuts.push({ disk: harness.disk.cut(random), what, acknowledged: states.length })
  }
  await harness.reopen()
  states.push(await visibleState(harness))
  for (const { name, run } of logLife(rounds)) {
    step = name
    await run(harness)
    if (name === 'close') states.push(states.at(-1) ?? '')
    else states.push(await visibleState(harness))
  }
  await harness.close()
  return { cuts, states }
}

function allowed(cut: Cut, states: readonly string[]): readonly string[] {
  const acknowledged = Math.max(0, cut.acknowledged - 1)
  return states.slice(acknowledged, acknowledged + 2)
}

test('the run that is cut includes rolls, checkpoints, compaction, unlinking and new journal files', async () => {
  const harness = LogHarness.on(new MemoryDisk(), lifeOptions)
  const operations: string[] = []
  harness.disk.onOperation = ({ kind, path }) => operations.push(`${kind} ${path}`)
  await harness.reopen()
  for (const { run } of logLife(10)) await run(harness)
  const crossed = (pattern: RegExp): number => operations.filter((operation) => pattern.test(operation)).length
  expect(crossed(/^create .*events-0\/\d{20}\.log$/)).toBeGreaterThan(3)
  expect(crossed(/^rename .*checkpoint-/)).toBeGreaterThan(5)
  expect(crossed(/^create .*\.log\.cleaned$/)).toBeGreaterThan(0)
  expect(crossed(/^rename .*\.log\.swap$/)).toBeGreaterThan(0)
  expect(crossed(/^rename .*table-0\/\d{20}\.log$/)).toBeGreaterThan(0)
  expect(crossed(/^unlink .*events-0\/\d{20}\.log$/)).toBeGreaterThan(0)
  expect(crossed(/^removeDirectory .*doomed/)).toBeGreaterThan(0)
  expect(crossed(/^create .*\/journal\//)).toBeGreaterThan(3)
})

describe('a power cut', () => {
  test.each([1, 2, 3])(
    'at any moment leaves every acknowledged step and at most the one in progress (seed %i)',
    async (seed) => {
      const { cuts, states } = await liveAndCut(10, 2, seed)
      expect(cuts.length).toBeGreaterThan(300)
      for (const cut of cuts) {
        const harness = LogHarness.on(cut.disk, lifeOptions)
        await expectOneOf(harness, allowed(cut, states), cut.what)
      }
    },
  )

  test('during recovery changes nothing: recovering again gives the same state', async () => {
    const { cuts, states } = await liveAndCut(10, 31, 4)
    const random = new SeededRandom(4)
    for (const cut of cuts) {
      const second: MemoryDisk[] = []
      const harness = LogHarness.on(cut.disk, lifeOptions)
      cut.disk.onOperation = ({ index }) => {
        if (index % 5 === 0) second.push(cut.disk.cut(random))
      }
      await expectOneOf(harness, allowed(cut, states), cut.what)
      cut.disk.onOperation = null
      const first = await visibleState(harness)
      for (const disk of second) await expectOneOf(LogHarness.on(disk, lifeOptions), [first], `${cut.what}, then again`)
    }
  })

  test('does not stop the log: a record appended after recovery is still there after the next cut', async () => {
    const { cuts } = await liveAndCut(5, 41, 5)
    for (const [index, cut] of cuts.entries()) {
      const harness = LogHarness.on(cut.disk, lifeOptions)
      await harness.reopen()
      if (harness.log.broker.topic('events') === undefined) continue
      const before = await harness.values('events', 0)
      await harness.append('events', 0, ['after the cut'])
      harness.crash({ powerCutSeed: index })
      await harness.reopen()
      expect(await harness.values('events', 0), cut.what).toEqual([...before, 'after the cut'])
    }
  })
})

test('with sync: os a crash of the process loses nothing, and a power cut leaves a prefix of the appends', async () => {
  for (const powerCut of [false, true]) {
    const harness = await LogHarness.open({ sync: 'os' })
    await harness.topic('events', 1)
    await harness.log.sync()
    for (let index = 0; index < 20; index++) await harness.append('events', 0, [`${index}`])
    harness.crash(powerCut ? { powerCutSeed: 9 } : {})
    await harness.reopen()
    const values = await harness.values('events', 0)
    const all = Array.from({ length: 20 }, (_, index) => `${index}`)
    expect(values).toEqual(powerCut ? all.slice(0, values.length) : all)
  }
})

test('batches whose checksum the journal reuses survive a crash like all others', async () => {
  const log = await LogHarness.open()
  await log.topic('events', 2)
  const values = Array.from({ length: 12 }, (_none, index) => `${index}`.padEnd(index % 3 === 0 ? 10 : 5000 * index))
  for (const [index, value] of values.entries()) await log.append('events', index % 2, [value])

  log.crash()
  await log.reopen()

  expect(await log.values('events', 0)).toEqual(values.filter((_value, index) => index % 2 === 0))
  expect(await log.values('events', 1)).toEqual(values.filter((_value, index) => index % 2 === 1))
  await log.close()
})

test('with sync: os everything up to a sync survives a power cut', async () => {
  for (let seed = 0; seed < 20; seed++) {
    const harness = await LogHarness.open({ sync: 'os' })
    await harness.topic('events', 1)
    for (let index = 0; index < 5; index++) await harness.append('events', 0, [`${index}`])
    await harness.log.sync()
    await harness.append('events', 0, ['not synced'])
    harness.crash({ powerCutSeed: seed })
    await harness.reopen()
    expect((await harness.values('events', 0)).slice(0, 5)).toEqual(['0', '1', '2', '3', '4'])
  }
})

test('a leader epoch is never reused, even when a power cut removed its appends', async () => {
  const epochs: number[] = []
  const harness = await LogHarness.open({ sync: 'os' })
  await harness.topic('events', 1)
  await harness.log.sync()
  for (let seed = 0; seed < 10; seed++) {
    const { leaderEpoch } = await harness.log.broker.append({ topic: 'events', partition: 0 }, batchOf(['x']))
    epochs.push(leaderEpoch)
    harness.crash({ powerCutSeed: seed })
    await harness.reopen()
  }
  expect(epochs).toEqual([...new Set(epochs)].sort((left, right) => left - right))
})

test('opening after a clean close touches no segment and replays nothing', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events', 50)
  for (let partition = 0; partition < 50; partition++) await harness.append('events', partition, ['x'])
  await harness.close()
  const touched: string[] = []
  harness.disk.onOperation = ({ path }) => touched.push(path)
  await harness.reopen()
  expect(touched.filter((path) => path.includes('events-'))).toEqual([])
  expect((await readAll(harness.log, { topic: 'events', partition: 49 })).map(({ value }) => value)).toEqual(['x'])
})

test('a missing journal is JOURNAL_MISSING when there are topics, and their segments stay', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events', 1)
  await harness.append('events', 0, ['x'])
  await harness.close()
  const { disk } = harness
  for (const name of disk.list('/log/journal')) disk.unlink(`/log/journal/${name}`)
  await expect(harness.reopen()).rejects.toMatchObject({ code: 'JOURNAL_MISSING' })
  expect(disk.list('/log/events-0').some((name) => name.endsWith('.log'))).toBe(true)
})
