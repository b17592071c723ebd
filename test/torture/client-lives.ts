import { sleep } from '../../src/base/clock.ts'
import { adminProgram } from './client-admin.ts'
import type { GroupLedger, GroupSpec } from './client-groups.ts'
import { isVisible, type Place, type Sent } from './client-ledger.ts'
import { copier, groupMember, Member } from './client-members.ts'
import { plainProducer, transactionalProducer, type Program } from './client-producers.ts'
import { ClientWorld, LifeTotals } from './client-world.ts'

/**
 * Random lives of a log's clients, by seed: producers, transactions and consumer groups come, go, hang and die, while the
 * log is closed, killed and cut from power. The rules are checked after every restart, and at the end, when everybody
 * must have come to the end of everything:
 *
 * - each acknowledged record is there once, at its offset, in the order of its producer, and nothing else is;
 * - readers of committed records see exactly those;
 * - a partition has one owner in a generation, who alone commits for it;
 * - nothing below a committed offset is unprocessed, and an assignment begins at the committed offset;
 * - every call ends.
 *
 * In lives of `admin`, topics, settings, offsets and groups change meanwhile; see {@link adminProgram}.
 */
export type LifeKind = 'clients' | 'admin'

/** Leads one life after the other, until one of them was wrong. */
export async function leadLives(run: {
  readonly kind: LifeKind
  readonly lives: number
  readonly seed: number
  readonly onLife?: (totals: LifeTotals) => void
}): Promise<LifeTotals> {
  const totals = new LifeTotals()
  for (let seed = run.seed; totals.lives < run.lives && totals.violations.length === 0; seed++) {
    for (const fault of await leadLife(run.kind, seed, totals))
      totals.violations.push(`${run.kind}, seed ${seed}: ${fault}`)
    totals.lives++
    run.onLife?.(totals)
  }
  return totals
}

async function leadLife(kind: LifeKind, seed: number, totals: LifeTotals): Promise<readonly string[]> {
  const life = new ClientLife(kind, new ClientWorld(seed, totals))
  try {
    await life.run()
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    life.world.fault(what.split('\n').slice(0, 8).join(' '))
  }
  return life.world.faults
}

class ClientLife {
  readonly world: ClientWorld
  readonly #kind: LifeKind
  readonly #programs: readonly Program[]
  readonly #copiers: GroupLedger | null
  #running = 0

  constructor(kind: LifeKind, world: ClientWorld) {
    this.#kind = kind
    this.world = world
    const { random } = world
    const written = kind === 'admin' ? ['orders', 'bills', 'late-1'] : ['orders', 'bills']
    const groups = specs.filter(() => random.chance(0.6)).map((spec) => world.addGroup(this.#varied(spec)))
    this.#copiers = kind === 'clients' && random.chance(0.5) ? world.addGroup(copiers) : null
    const ids = ['tx-a', 'tx-b']
    const plain = plainProducer(written)
    this.#programs = [
      plain,
      plain,
      transactionalProducer(written, ids),
      ...groups.flatMap((group) => [groupMember(group), groupMember(group)]),
      ...(this.#copiers === null ? [] : [copier(this.#copiers, 'copies')]),
      ...(kind === 'admin' ? [adminProgram(written), adminProgram(written)] : []),
    ]
  }

  #varied(spec: GroupSpec): GroupSpec {
    const { random } = this.world
    return {
      ...spec,
      isolation: random.pick(['committed', 'durable']),
      reset: random.pick(['earliest', 'earliest', 'latest']),
    }
  }

  async run(): Promise<void> {
    const { world } = this
    const { random } = world
    await world.open()
    const made = await world.log.admin.createTopics(
      topics.map((topic) => ({ ...topic, config: { segmentBytes: random.pick([1024, 4096]) } })),
    )
    for (const info of made) world.ledger.incarnation(info).created = true
    const lively = random.pick([3, 6, 10])
    for (let step = random.between(15, 60); step > 0 && this.#isFine; step--) {
      if (this.#running < lively) for (let count = random.between(1, 3); count > 0; count--) this.#begin()
      await world.run(random.pick([0, 1, 10, 60, 300, 1500, 7000]))
      const choice = random.below(100)
      if (choice < 3) await this.#restart(() => world.reopen())
      else if (choice < 5) await this.#restart(() => world.crash('process'))
      else if (choice < 7) await this.#restart(() => world.crash('power'))
      else if (choice < 12) await world.verify()
      else if (choice === 12 && this.#kind === 'clients') await this.#createLate()
    }
    if (this.#isFine) await this.#end()
    if (this.#isFine) await world.log.close()
  }

  get #isFine(): boolean {
    return this.world.faults.length === 0
  }

  #begin(): void {
    const { world } = this
    const { era } = world
    this.#running++
    world.random
      .pick(this.#programs)(world)
      .catch((error: unknown) => {
        if (era === world.era)
          world.fault(error instanceof Error ? (error.stack ?? '').split('\n').slice(0, 6).join(' ') : String(error))
      })
      .finally(() => {
        if (era === world.era) this.#running--
      })
  }

  async #restart(how: () => Promise<void>): Promise<void> {
    await how()
    this.#running = 0
  }

  async #createLate(): Promise<void> {
    const { world } = this
    if (world.log.broker.topic('late-1') !== undefined) return
    const [info] = await world.log.admin.createTopics([{ name: 'late-1', partitions: 2 }])
    if (info !== undefined) world.ledger.incarnation(info).created = true
  }

  /** Nobody begins anything new. Then every group must reach the end, and everything must have been processed. */
  async #end(): Promise<void> {
    const { world } = this
    world.isEnding = true
    for (let round = 0; this.#running > 0 && round < 60 && this.#isFine; round++) await world.run(5000)
    if (this.#running > 0) world.fault(`${this.#running} programs have not ended`)
    // Transactions that were left open time out, and members that died are expelled.
    await world.run(40_000)
    for (const transaction of world.ledger.transactions)
      if (transaction.outcome === 'open') transaction.outcome = 'aborted'
    await world.verify()
    this.#checkStable()
    for (const group of world.groups) if (this.#isFine && group !== this.#copiers) await this.#drain(group)
    await world.verify()
    if (this.#copiers !== null && this.#isFine) this.#checkCopies(this.#copiers)
  }

  #checkStable(): void {
    const { world } = this
    for (const incarnation of world.topics) {
      const at = Array.from({ length: incarnation.partitions }, (_, partition) => incarnation.place(partition).at)
      const ends = world.log.broker.bounds(at, 'durable')
      for (const [index, { end }] of world.log.broker.bounds(at, 'committed').entries())
        if (end !== ends[index]?.end)
          world.fault(
            `${incarnation.topic}-${index} is stable to ${end} of ${ends[index]?.end}, all transactions ended`,
          )
    }
  }

  async #drain(group: GroupLedger): Promise<void> {
    const { world } = this
    const read = world.topics.filter(({ topic }) => group.reads(topic))
    if (read.length === 0 || (!(group.spec.topics instanceof RegExp) && read.length < group.spec.topics.length)) return
    const member = new Member(world, group, { autoCommitIntervalMs: 0 })
    member.subscribe()
    const count = read.reduce((sum, { partitions }) => sum + partitions, 0)
    const atEnd = (): boolean =>
      member.consumer.assignment.length === count && member.consumer.lag().every(({ lag }) => lag === 0)
    const draining = (async (): Promise<void> => {
      for (let quiet = 0, round = 0; quiet < 2 && round < 3000; round++) {
        const { value: records = [] } = await member.poll(100)
        for (const record of records) member.done(record)
        quiet = atEnd() && records.length === 0 ? quiet + 1 : 0
      }
      await member.commit()
    })()
    const at = { end: false }
    draining.then(
      () => (at.end = true),
      (error: unknown) => world.fault(String(error)),
    )
    for (let round = 0; round < 400 && !at.end && this.#isFine; round++) await world.run(200)
    if (!at.end || !atEnd())
      return world.fault(`group ${group.spec.name} does not reach the end: ${JSON.stringify(member.consumer.lag())}`)
    this.#checkDrained(group)
    const closing = member.close()
    await world.run(1000)
    await Promise.race([closing, sleep(world.clock, 0)])
  }

  #checkDrained(group: GroupLedger): void {
    const { world } = this
    for (const incarnation of world.topics.filter(({ topic }) => group.reads(topic)))
      for (let partition = 0; partition < incarnation.partitions; partition++) {
        const place = incarnation.place(partition)
        const [missed] = group.unprocessed(place, world.startOf(place) ?? 0, Infinity)
        if (missed !== undefined)
          world.fault(`group ${group.spec.name} has never processed offset ${missed} of ${place.name}`)
      }
    for (const { at, lag } of world.log.admin.describeGroup(group.spec.name).partitions)
      if (group.reads(at.topic) && lag !== 0)
        world.fault(`group ${group.spec.name} has read everything, its lag in ${at.topic}-${at.partition} is ${lag}`)
  }

  /** Each record of which the group has committed the offset has one committed copy, and no other record has any. */
  #checkCopies(group: GroupLedger): void {
    const { world } = this
    const copies = new Map<Sent, number>()
    for (const { copyOf, transaction } of placesOf(world, 'copies').flatMap((place) => [...place.known.values()]))
      if (copyOf !== null && transaction?.outcome === 'committed') copies.set(copyOf, (copies.get(copyOf) ?? 0) + 1)
    for (const place of placesOf(world, 'orders')) {
      const [entry] = world.log.admin.committedOffsets(group.spec.name, [place.at])
      for (const [offset, sent] of place.known) {
        const expected = isVisible(sent, 'committed') && offset < (entry?.offset ?? 0) ? 1 : 0
        const found = copies.get(sent) ?? 0
        if (found !== expected)
          world.fault(
            `${sent.value} at ${offset} of ${place.name} has ${found} copies, committed is ${entry?.offset ?? 'nothing'}`,
          )
      }
    }
  }
}

function placesOf(world: ClientWorld, topic: string): readonly Place[] {
  const incarnation = world.incarnation(topic)
  if (incarnation === undefined) return []
  return Array.from({ length: incarnation.partitions }, (_, partition) => incarnation.place(partition))
}

const topics = [
  { name: 'orders', partitions: 3 },
  { name: 'bills', partitions: 1 },
  { name: 'copies', partitions: 2 },
]

const specs: readonly GroupSpec[] = [
  {
    name: 'sticky',
    topics: ['orders', 'bills'],
    isolation: 'committed',
    reset: 'earliest',
    assignors: ['cooperative-sticky'],
  },
  { name: 'range', topics: ['orders'], isolation: 'committed', reset: 'earliest', assignors: ['range'] },
  {
    name: 'pattern',
    topics: /^(orders|bills|late-.*)$/,
    isolation: 'committed',
    reset: 'earliest',
    assignors: ['roundrobin', 'range'],
  },
]

const copiers: GroupSpec = {
  name: 'copiers',
  topics: ['orders'],
  isolation: 'committed',
  reset: 'earliest',
  assignors: ['cooperative-sticky'],
}
