import { expect, test } from 'vitest'
import { SeededRandom } from '../../../../src/base/seeded-random.ts'
import type { AssignorMember } from '../../../../src/log/api/assignor.ts'
import { partitionName, type TopicPartition } from '../../../../src/log/api/record.ts'
import { cooperativeStickyAssignor } from '../../../../src/log/client/consumer/assignors/cooperative-sticky.ts'
import { rangeAssignor } from '../../../../src/log/client/consumer/assignors/range.ts'
import { roundRobinAssignor } from '../../../../src/log/client/consumer/assignors/round-robin.ts'
import type { AssignorName } from '../../../../src/log/client/consumer/consumer-options.ts'
import { Consumer } from '../../../../src/log/client/consumer/consumer.ts'
import { mortal } from '../../../harness/mortal-broker.ts'
import { ClientHarness, textOf } from '../client-harness.ts'

/*
 * Random lives of a group, by seed: members join, leave, crash, stop polling and change their subscriptions, while
 * records are appended. `npx vitest run test/log/client/group-model.test.ts -t 'seed 7'` repeats one.
 */
const topics = [
  { name: 'a', partitions: 5 },
  { name: 'b', partitions: 3 },
  { name: 'c', partitions: 4 },
]

interface Member {
  readonly consumer: Consumer
  readonly subscribed: readonly string[]
  /** Resolves when the listener has ended. */
  readonly running: Promise<void>
  /** Functions that end the calls in progress. */
  readonly held: Set<() => void>
  readonly die: () => void
}

class GroupLife {
  readonly #log: ClientHarness
  readonly #random: SeededRandom
  readonly #assignor: AssignorName
  readonly #members: Member[] = []
  /** Partitions in the hands of consumers that have not given them up, by their owners. */
  readonly #owners = new Map<string, Consumer>()
  readonly #processed = new Map<string, Set<string>>()
  readonly #sent = new Map<string, number>()
  readonly #faults: string[] = []

  constructor(log: ClientHarness, random: SeededRandom, assignor: AssignorName) {
    this.#log = log
    this.#random = random
    this.#assignor = assignor
  }

  async step(): Promise<void> {
    const choice = this.#random.below(100)
    const [member] = this.#random.below(2) === 0 ? this.#members : this.#members.toReversed()
    if (this.#members.length === 0 || choice < 20) this.#join()
    else if (choice < 30 && member !== undefined) await this.#leave(member)
    else if (choice < 40 && member !== undefined) this.#crash(member)
    else if (choice < 60) await this.#send()
    else if (choice < 65) await this.#log.clock.run(this.#random.below(8000))
    else this.#finishSome()
    await this.#turns(this.#random.below(6))
    await this.#checkCommits()
  }

  #join(): void {
    if (this.#members.length >= 6) return
    const subscribed = topics.map(({ name }) => name).filter(() => this.#random.below(3) > 0)
    const reads = subscribed.length === 0 ? ['a'] : subscribed
    const { broker, die } = mortal(this.#log.broker)
    const consumer = new Consumer(broker, this.#log.clock, {
      group: 'g',
      autoOffsetReset: 'earliest',
      assignors: [this.#assignor],
      autoCommitIntervalMs: 500,
      maxPollRecords: 3,
      sessionTimeoutMs: 6000,
      maxPollIntervalMs: 20_000,
    })
    const held = new Set<() => void>()
    consumer.subscribe(reads, {
      onPartitionsAssigned: (at) => this.#taken(consumer, at),
      onPartitionsRevoked: (at) => this.#given(consumer, at),
      onPartitionsLost: (at) => this.#given(consumer, at),
    })
    const running = consumer.eachRecord(
      (record) =>
        new Promise<void>((resolve) => {
          const finish = (): void => {
            held.delete(finish)
            this.#done(partitionName(record), textOf(record) ?? '')
            resolve()
          }
          held.add(finish)
        }),
      { concurrency: 2 },
    )
    running.catch(() => {})
    this.#members.push({ consumer, subscribed: reads, running, held, die })
  }

  /** The rule: no member takes a partition that another live member has not given up. */
  #taken(consumer: Consumer, at: readonly TopicPartition[]): void {
    // The listener of a dead member may still run, without any effect.
    if (!this.#members.some((member) => member.consumer === consumer)) return
    for (const place of at) {
      const name = partitionName(place)
      if (this.#owners.has(name)) this.#faults.push(`${name} has two owners`)
      this.#owners.set(name, consumer)
    }
  }

  #given(consumer: Consumer, at: readonly TopicPartition[]): void {
    for (const place of at)
      if (this.#owners.get(partitionName(place)) === consumer) this.#owners.delete(partitionName(place))
  }

  #done(partition: string, value: string): void {
    const done = this.#processed.get(partition) ?? new Set()
    this.#processed.set(partition, done.add(value))
  }

  async #leave(member: Member): Promise<void> {
    const closing = member.consumer.close()
    for (let turn = 0; turn < 10; turn++) {
      for (const finish of Array.from(member.held)) finish()
      await this.#log.clock.nextTurn()
    }
    await closing
    await member.running
    this.#members.splice(this.#members.indexOf(member), 1)
  }

  /** The process of a member dies: it does nothing more, and does not leave the group. */
  #crash(member: Member): void {
    member.die()
    member.held.clear()
    this.#members.splice(this.#members.indexOf(member), 1)
    for (const [name, owner] of this.#owners) if (owner === member.consumer) this.#owners.delete(name)
  }

  async #send(): Promise<void> {
    const producer = this.#log.producer()
    for (let count = 1 + this.#random.below(4); count > 0; count--) {
      const topic = topics[this.#random.below(topics.length)] ?? { name: 'a', partitions: 1 }
      const partition = this.#random.below(topic.partitions)
      const name = partitionName({ topic: topic.name, partition })
      const index = this.#sent.get(name) ?? 0
      this.#sent.set(name, index + 1)
      const key = `${this.#random.below(3)}`
      await producer.send({ topic: topic.name, partition, key, value: `${index}` })
    }
    await producer.close()
  }

  #finishSome(): void {
    for (const { held } of this.#members) for (const finish of Array.from(held)) if (this.#random.below(3) > 0) finish()
  }

  async #turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn++) await this.#log.clock.nextTurn()
  }

  /** The rule: everything below a committed offset was processed. */
  async #checkCommits(): Promise<void> {
    for (const [name, count] of this.#sent) {
      const [topic = '', partition = '0'] = name.split('-')
      const [entry] = this.#log.admin.committedOffsets('g', [{ topic, partition: Number(partition) }])
      const done = this.#processed.get(name)
      for (let offset = 0; offset < Math.min(entry?.offset ?? 0, count); offset++)
        expect(done?.has(`${offset}`), `${name} is committed to ${entry?.offset}, ${offset} was not processed`).toBe(
          true,
        )
    }
  }

  /** Once the group is stable, each partition has one owner and no record is unread. */
  async checkStable(): Promise<void> {
    if (this.#members.length === 0) this.#join()
    for (let turn = 0; turn < 80; turn++) {
      for (const { held } of this.#members) for (const finish of Array.from(held)) finish()
      await this.#log.clock.run(400)
    }
    expect(this.#faults).toEqual([])
    const read = new Set(this.#members.flatMap(({ subscribed }) => subscribed))
    const expected = topics
      .filter(({ name }) => read.has(name))
      .flatMap(({ name, partitions }) => Array.from({ length: partitions }, (_, partition) => `${name}-${partition}`))
    const owned = this.#members.flatMap(({ consumer, subscribed }) => {
      for (const { topic } of consumer.assignment) expect(subscribed).toContain(topic)
      return consumer.assignment.map(partitionName)
    })
    expect(owned.toSorted()).toEqual(expected.toSorted())
    expect([...this.#owners.keys()].toSorted()).toEqual(expected.toSorted())
    for (const name of expected)
      expect(this.#processed.get(name)?.size ?? 0, `${name} is read to its end`).toBe(this.#sent.get(name) ?? 0)
    await this.#checkCommits()
  }
}

for (const assignor of ['cooperative-sticky', 'range', 'roundrobin'] as const)
  for (let seed = 1; seed <= 4; seed++)
    test(`a group under ${assignor} has one owner for each partition and loses no record, seed ${seed}`, async () => {
      const random = new SeededRandom(seed)
      const log = await ClientHarness.open(topics)
      const life = new GroupLife(log, random, assignor)
      for (let round = 0; round < 3; round++) {
        for (let step = 0; step < 25; step++) await life.step()
        await life.checkStable()
      }
      await log.close()
    })

const assignors = [rangeAssignor, roundRobinAssignor, cooperativeStickyAssignor]

function randomMembers(random: SeededRandom, alike: boolean): AssignorMember[] {
  return Array.from({ length: 1 + random.below(7) }, (_, index) => ({
    memberId: `m${String(random.below(1000)).padStart(3, '0')}-${index}`,
    groupInstanceId: random.below(4) === 0 ? `i${index}` : null,
    topics: alike ? ['a', 'b', 'c'] : ['a', 'b', 'c'].filter(() => random.below(3) > 0),
    owned: [],
    generation: -1,
    userData: null,
  }))
}

const countOf = (shares: ReadonlyMap<string, readonly TopicPartition[]>): number[] =>
  [...shares.values()].map(({ length }) => length)

test('every assignor assigns each subscribed partition to exactly one of its subscribers', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed)
    const members = randomMembers(random, seed % 2 === 0)
    const partitions = new Map(topics.map(({ name }) => [name, random.below(9)]))
    for (const assignor of assignors) {
      const shares = assignor.assign(members, partitions)
      const given = [...shares].flatMap(([memberId, share]) =>
        share.map((at) => {
          expect(members.find((member) => member.memberId === memberId)?.topics).toContain(at.topic)
          return partitionName(at)
        }),
      )
      const wanted = [...partitions]
        .filter(([topic]) => members.some((member) => member.topics.includes(topic)))
        .flatMap(([topic, count]) => Array.from({ length: count }, (_, partition) => `${topic}-${partition}`))
      expect(given.toSorted(), `${assignor.name}, seed ${seed}`).toEqual(wanted.toSorted())
    }
  }
})

test('cooperative-sticky balances members with equal subscriptions and moves as few partitions as possible', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new SeededRandom(seed)
    const partitions = new Map(topics.map(({ name }) => [name, random.below(9)]))
    const before = randomMembers(random, true)
    const first = cooperativeStickyAssignor.assign(before, partitions)
    const stay = before.filter(() => random.below(4) > 0)
    const members = [
      ...stay.map((member) => ({ ...member, owned: first.get(member.memberId) ?? [], generation: 1 })),
      ...randomMembers(random, true).map((member) => ({
        ...member,
        memberId: `n${member.memberId}`,
        groupInstanceId: null,
      })),
    ]
    const shares = cooperativeStickyAssignor.assign(members, partitions)
    const counts = countOf(shares)
    expect(Math.max(...counts) - Math.min(...counts), `seed ${seed}`).toBeLessThanOrEqual(1)
    const total = counts.reduce((sum, count) => sum + count, 0)
    const least = Math.floor(total / members.length)
    // The most that can stay: each member keeps up to its share, and as many as the remainder allows keep one more.
    let bonus = total % members.length
    let stays = 0
    for (const { owned } of members.toSorted((a, b) => b.owned.length - a.owned.length)) {
      const quota = owned.length > least && bonus > 0 ? least + 1 : least
      if (quota > least) bonus -= 1
      stays += Math.min(owned.length, quota)
    }
    const kept = members.reduce((sum, { memberId, owned }) => {
      const now = new Set((shares.get(memberId) ?? []).map(partitionName))
      return sum + owned.filter((at) => now.has(partitionName(at))).length
    }, 0)
    expect(kept, `seed ${seed}`).toBe(stays)
  }
})

test('cooperative-sticky assigns a partition that two members claim to the newer generation', () => {
  const claim = (memberId: string, generation: number): AssignorMember => ({
    memberId,
    groupInstanceId: null,
    topics: ['a'],
    owned: [{ topic: 'a', partition: 0 }],
    generation,
    userData: null,
  })
  for (const [left, right, owner] of [
    [3, 2, 'x'],
    [2, 3, 'y'],
  ] as const) {
    const shares = cooperativeStickyAssignor.assign([claim('x', left), claim('y', right)], new Map([['a', 2]]))
    expect(shares.get(owner)).toContainEqual({ topic: 'a', partition: 0 })
  }
})
