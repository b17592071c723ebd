import assert from 'node:assert/strict'
import { test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import type { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import { LogHarness, readAll, type HarnessOptions } from '../../harness/log-harness.ts'
import { TransactionalWriter } from '../../harness/transactional-writer.ts'

const cuts = 40

/** Cuts the power of a disk in many ways, opens what is left and passes each log to the check. */
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

/** Returns the disk as it was before each of its operations during `act`, and after the last one. */
async function everyOperation(harness: LogHarness, act: () => Promise<void>): Promise<MemoryDisk[]> {
  const disks: MemoryDisk[] = []
  harness.disk.onOperation = () => void disks.push(harness.disk.clone())
  await act()
  harness.disk.onOperation = null
  return [...disks, harness.disk.clone()]
}

const table = { cleanupPolicy: 'compact', segmentBytes: 1024, minCleanableDirtyRatio: 0.01 } as const

/** Each batch replaces half of the one before, and a second round replaces all of the first. */
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

test('under sync: os a checkpoint is never ahead of what the device holds of the journal', async () => {
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

test('offsets that are being committed when their topic is deleted are deleted with it', async () => {
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

test('a partition that was compacted before the first checkpoint is intact after a power cut', async () => {
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

/** A compacted topic with two transactional producers, and the tables that its readers have seen, step by step. */
class TransactionalTable {
  readonly harness: LogHarness
  readonly #records: { readonly offset: number; readonly key: string; readonly value: string; readonly of: string }[] =
    []
  readonly #outcomes = new Map<string, 'commit' | 'abort'>()
  /** What readers of committed records saw after each acknowledged step, and will see after the next one. */
  readonly tables: string[] = []
  acknowledged = 0

  constructor(harness: LogHarness) {
    this.harness = harness
    this.#next()
  }

  async write(writer: TransactionalWriter, of: string, keys: readonly string[]): Promise<void> {
    const specs = keys.map((key) => [key, `${of} `.padEnd(150, '.')] as const)
    const [bounds] = this.harness.log.broker.bounds([tableAt], 'durable')
    for (const [index, [key, value]] of specs.entries())
      this.#records.push({ offset: (bounds?.end ?? 0) + index, key, value, of })
    this.#next()
    await writer.write('table', 0, specs)
    this.acknowledged += 1
  }

  async end(writer: TransactionalWriter, of: string, outcome: 'commit' | 'abort'): Promise<void> {
    this.#outcomes.set(of, outcome)
    this.#next()
    await writer.end(outcome)
    this.acknowledged += 1
  }

  #next(): void {
    const open = this.#records.find(({ of }) => !this.#outcomes.has(of))?.offset ?? Infinity
    const seen = this.#records.filter(({ offset, of }) => offset < open && this.#outcomes.get(of) === 'commit')
    this.tables.push(folded(seen))
  }
}

function folded(
  records: readonly { readonly offset: number; readonly key: string | null; readonly value: string | null }[],
): string {
  const newest = new Map(
    records.map(({ key, value, offset }) => [key, `${key}=${value?.replace(/ .*/, '')}@${offset}`]),
  )
  return [...newest.values()].sort().join(' ')
}

const tableAt = { topic: 'table', partition: 0 }

test('a power cut during the compaction of transactions leaves what readers of committed records saw', async () => {
  const options = { compactionIntervalMs: 1000, checkpointIntervalMs: 2000, recentBytesMax: 0 }
  const harness = await LogHarness.open(options)
  await harness.topic('table', 1, { ...table, deleteRetentionMs: 0 })
  const first = await TransactionalWriter.open(harness.log.broker, 'first')
  const second = await TransactionalWriter.open(harness.log.broker, 'second')
  const life = new TransactionalTable(harness)
  const random = new SeededRandom(11)
  const cut: { readonly disk: MemoryDisk; readonly acknowledged: number; readonly where: string }[] = []
  let compactions = 0
  harness.disk.onOperation = ({ index, kind, path }) => {
    if (kind === 'rename' && path.endsWith('.log.swap')) compactions += 1
    // Half of the steps of compaction are cut, and a few of the others.
    const compacts = path.includes('/table-0') && kind !== 'write'
    if (!random.chance(compacts ? 0.5 : 0.05)) return
    const { acknowledged } = life
    cut.push({ disk: harness.disk.cut(random), acknowledged, where: `operation ${index}, ${kind} ${path}` })
  }
  for (let round = 0; round < 7; round++) {
    const outcome = round % 3 === 1 ? 'commit' : 'abort'
    await life.write(first, `a${round}`, ['k0', 'k1'])
    await life.write(second, `b${round}`, ['k1', 'k2'])
    await life.write(first, `a${round}`, ['k2', `only-${round}`])
    await life.end(first, `a${round}`, outcome)
    await life.end(second, `b${round}`, round % 2 === 0 ? 'commit' : 'abort')
    await harness.clock.run(1500)
  }
  harness.disk.onOperation = null
  assert(compactions > 4, `${compactions} segments were put in place`)

  for (const { disk, acknowledged, where } of [
    ...cut,
    { disk: harness.disk.clone(), acknowledged: life.acknowledged, where: 'the end' },
  ]) {
    const left = LogHarness.on(disk, options)
    await left.reopen()
    const found = folded(await readAll(left.log, tableAt, 'committed'))
    assert(
      life.tables.slice(acknowledged, acknowledged + 2).includes(found),
      `${where}: ${found} is not one of ${life.tables.slice(acknowledged, acknowledged + 2).join(' | ')}`,
    )
  }
})

test('a compaction that a power cut undoes is not mistaken for the one before', async () => {
  const options = { sync: 'os', compactionIntervalMs: 1000, checkpointIntervalMs: 3000 } as const
  const harness = await LogHarness.open(options)
  await harness.topic('table', 1, table)
  await writeTable(harness, 'first')
  // The second checkpoint puts the compacted segment in place, and records it as still waiting.
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
