import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { test } from 'vitest'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import type { TopicPartition } from '../../src/log/api/record.ts'
import type { SyncMode } from '../../src/log/config.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { MemoryDisk } from '../../src/testing/memory-disk.ts'
import { checkContents } from '../torture/log-model.ts'
import { LogHistory, LogUser, topicKinds } from '../torture/log-user.ts'
import { matchingState, openSmallLog } from '../torture/small-log.ts'

type Step =
  | { readonly do: 'create' | 'delete'; readonly topic: string }
  | { readonly do: 'append'; readonly topic: string; readonly partition: number; readonly count: number }
  | { readonly do: 'commit'; readonly topics: readonly string[]; readonly count: number }
  | { readonly do: 'offsets'; readonly topic: string; readonly share: number }
  | { readonly do: 'purge'; readonly topic: string; readonly share: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'settle' | 'sync' | 'check' | 'reopen' | 'crash' }
  | { readonly do: 'cut'; readonly seed: number }

const topic = fc.constantFrom(...topicKinds.keys())
const share = fc.double({ min: 0, max: 1, noNaN: true })
const count = fc.integer({ min: 1, max: 6 })
const partition = fc.nat(1)

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('create' as const), topic }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), topic }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('append' as const), topic, partition, count }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      topics: fc.uniqueArray(topic, { minLength: 1, maxLength: 4 }),
      count,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('offsets' as const), topic, share }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('purge' as const), topic, share }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 12_000 }) }) },
  { weight: 6, arbitrary: fc.constantFrom<Step>({ do: 'settle' }, { do: 'settle' }, { do: 'sync' }, { do: 'check' }) },
  { weight: 3, arbitrary: fc.constantFrom<Step>({ do: 'reopen' }, { do: 'crash' }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut' as const), seed: fc.nat(1000) }) },
)

/** Runs steps on a log and on a plain model of it. */
class ModelledLog {
  readonly #sync: SyncMode
  readonly #ids = { next: 1 }
  #disk = new MemoryDisk()
  #clock = new ManualClock(1_700_000_000_000)
  #history = new LogHistory()
  #user: LogUser | null = null
  #durable = 0
  #epoch = 0

  constructor(sync: SyncMode) {
    this.#sync = sync
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#open(0)
    for (const each of steps) await this.#take(each)
    await this.#take({ do: 'reopen' })
    await this.#take({ do: 'check' })
  }

  async #take(step: Step): Promise<void> {
    const history = this.#history
    const user = this.#user
    assert(user)
    switch (step.do) {
      case 'create':
        if (history.last.topics.has(step.topic) || history.onTheirWay.length > 0) return
        user.createTopic(step.topic)
        return this.#settle()
      case 'delete':
        if (history.last.topics.has(step.topic)) user.deleteTopic(step.topic)
        return this.#settle()
      case 'append': {
        const at = this.#at(step.topic, step.partition)
        if (at !== null && user.log.broker.canAppend) user.append(at, step.count)
        return
      }
      case 'commit': {
        const places = step.topics.map((name) => this.#at(name, 0)).filter((at) => at !== null)
        if (places.length === 0) return
        const ends = places.map((at): [TopicPartition, number] => [at, this.#partOf(at, 1)])
        return user.commit(new Map(places.map((at) => [at, step.count])), new Map(ends))
      }
      case 'offsets': {
        const at = this.#at(step.topic, 0)
        if (at !== null) user.commitOffsets(new Map([[at, this.#partOf(at, step.share)]]))
        return
      }
      case 'purge': {
        const at = this.#at(step.topic, 0)
        await this.#settle()
        if (at !== null && topicKinds.get(step.topic)?.kind === 'plain') user.purge(at, this.#partOf(at, step.share))
        return
      }
      case 'wait':
        return this.#clock.run(step.ms)
      case 'settle':
        return this.#settle()
      case 'sync':
        await this.#settle()
        await user.log.sync()
        this.#durable = history.acknowledged
        return
      case 'check':
        await this.#settle()
        return checkContents(user.log, history.last)
      case 'reopen':
        await this.#settle()
        await user.log.close()
        return this.#open(history.sent)
      case 'crash':
        this.#disk = this.#disk.crashProcess()
        return this.#open(history.promoted)
      case 'cut':
        this.#disk = this.#disk.cut(new SeededRandom(step.seed))
        return this.#open(this.#sync === 'commit' ? history.promoted : this.#durable)
    }
  }

  async #open(floor: number): Promise<void> {
    this.#history = LogHistory.of(this.#history.states, floor)
    this.#clock = new ManualClock(this.#clock.now() + 1)
    const ids = new SeededRandom(this.#ids.next++)
    const log = await openSmallLog({ disk: this.#disk, clock: this.#clock, ids, sync: this.#sync })
    this.#durable = await matchingState(log, this.#history.states, floor)
    this.#history.cutTo(this.#durable)
    await checkContents(log, this.#history.last)
    const user = new LogUser(log, this.#history, new SeededRandom(7), this.#ids)
    await user.open()
    assert(user.epoch > this.#epoch)
    this.#epoch = user.epoch
    this.#user = user
  }

  async #settle(): Promise<void> {
    await this.#clock.nextTurn()
    await this.#clock.nextTurn()
    assert.deepEqual(this.#history.failures, [])
    assert.equal(this.#history.acknowledged, this.#history.sent)
  }

  #at(name: string, wanted: number): TopicPartition | null {
    const known = this.#history.last.topics.get(name)
    return known === undefined ? null : { topic: name, partition: wanted % known.partitions.length }
  }

  #partOf(at: TopicPartition, part: number): number {
    const end = this.#history.last.topics.get(at.topic)?.partitions[at.partition]?.end ?? 0
    return Math.floor(end * part)
  }
}

for (const sync of ['commit', 'os'] as const) {
  test(`a log with sync: ${sync} equals a plain model of it, whatever its users do and however it ends`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), (steps) => new ModelledLog(sync).run(steps)),
      { numRuns: 60 },
    )
  })
}
