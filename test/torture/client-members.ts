import { LogError, type LogErrorCode } from '../../src/log/api/errors.ts'
import { partitionName, type TopicPartition } from '../../src/log/api/record.ts'
import type { ConsumerRecord, RebalanceListener } from '../../src/log/client/consumer/consumer-options.ts'
import { Consumer } from '../../src/log/client/consumer/consumer.ts'
import type { BytesOut } from '../../src/log/client/record-format.ts'
import { mortal, type AskedCommit } from '../harness/mortal-broker.ts'
import type { GroupLedger } from './client-groups.ts'
import type { Place, Sent } from './client-ledger.ts'
import { endTransaction, openWriter, sendOne, type Program } from './client-producers.ts'
import { OwnFailure, valueOf, type Answer, type ClientWorld } from './client-world.ts'

/**
 * Members of consumer groups in a random life. Each checks what it is given: that its records are those which were sent,
 * that none is left out or given twice within an assignment, and that it starts where the group has committed.
 */
type Given = ConsumerRecord<BytesOut, BytesOut>

const pollErrors: readonly LogErrorCode[] = ['FENCED_INSTANCE_ID']
const commitErrors: readonly LogErrorCode[] = [
  'UNKNOWN_MEMBER_ID',
  'ILLEGAL_GENERATION',
  'REBALANCE_IN_PROGRESS',
  'FENCED_INSTANCE_ID',
  'UNKNOWN_TOPIC',
  'UNKNOWN_PARTITION',
]

/** One partition in the hands of a member. */
interface Held {
  readonly place: Place
  /** The group's offset at the assignment; null without one. */
  readonly floor: number | null
  /** A transaction could still change that offset. */
  readonly unstable: boolean
  /** The offset after the last record; null if it is not known where it goes on. */
  next: number | null
  /** The last such offset that was known. */
  last: number | null
  /** Whether it is known where it began. */
  hasBegun: boolean
}

export interface MemberOptions {
  readonly groupInstanceId?: string
  readonly autoCommitIntervalMs?: number
  readonly troublesome?: boolean
  /** Whether it commits by itself when it gives partitions up. Default true. */
  readonly commitsRevoked?: boolean
}

/** A consumer of a group, under observation. */
export class Member {
  readonly name: string
  readonly consumer: Consumer
  readonly die: () => void
  readonly #world: ClientWorld
  readonly #group: GroupLedger
  readonly #owner: string
  readonly #troublesome: boolean
  readonly #commitsRevoked: boolean
  readonly #held = new Map<string, Held>()
  /** The position is past records that were not handed over yet. */
  isListening = false
  /** The step at which the present poll began. */
  #polledAt = 0
  #isDead = false

  constructor(world: ClientWorld, group: GroupLedger, options: MemberOptions = {}) {
    const { random } = world
    this.#world = world
    this.#group = group
    this.#troublesome = options.troublesome ?? false
    this.#commitsRevoked = options.commitsRevoked ?? true
    this.name = world.name('m')
    this.#owner = options.groupInstanceId ?? this.name
    const { broker, die } = mortal(world.log.broker, (asked) => this.#asked(asked))
    this.die = () => {
      this.#isDead = true
      die()
    }
    const { name, isolation, reset, assignors } = group.spec
    this.consumer = new Consumer(broker, world.clock, {
      group: name,
      isolation,
      assignors,
      autoOffsetReset: reset,
      sessionTimeoutMs: 6000,
      heartbeatIntervalMs: 1000,
      maxPollIntervalMs: 10_000,
      autoCommitIntervalMs: options.autoCommitIntervalMs ?? random.pick([0, 200, 2000]),
      maxPollRecords: random.pick([1, 3, 50]),
      fetchBytesMax: random.pick([1, 500, 1 << 20]),
      ...(options.groupInstanceId === undefined ? {} : { groupInstanceId: options.groupInstanceId }),
    })
  }

  subscribe(): void {
    this.consumer.subscribe(this.#group.spec.topics, this.#listener())
  }

  #listener(): RebalanceListener {
    const { random } = this.#world
    const trouble = (): void => {
      if (this.#troublesome && random.chance(0.1)) throw new OwnFailure('a listener of ours')
    }
    return {
      onPartitionsAssigned: async (at) => {
        if (this.#isDead) return
        this.#assigned(at)
        if (this.#troublesome && random.chance(0.1)) await this.#world.sleep(50)
        trouble()
      },
      onPartitionsRevoked: async (at) => {
        if (this.#isDead) return
        if (this.#commitsRevoked && random.chance(0.3)) await this.commit()
        this.#released(at)
        trouble()
      },
      onPartitionsLost: (at) => {
        this.#released(at)
        if (!this.#isDead) trouble()
      },
    }
  }

  #assigned(added: readonly TopicPartition[]): void {
    const { broker } = this.#world.log
    this.#world.totals.rebalances++
    const { group, generation } = this.consumer.groupMetadata()
    for (const at of added) {
      const place = this.#world.place(at)
      if (place === undefined) continue
      const [entry] = broker.committedOffsets(group, [at])
      this.#group.checkCommitted(place, entry?.offset ?? null)
      const unstable = broker.hasUnstableOffset(group, at)
      this.#held.set(partitionName(at), {
        place,
        floor: entry?.offset ?? null,
        unstable,
        next: null,
        last: null,
        hasBegun: false,
      })
    }
    const members = this.#world.log.admin.describeGroup(group).memberList.map(({ memberId }) => memberId)
    const taken = added.flatMap((at) => this.#held.get(partitionName(at))?.place ?? [])
    this.#group.take(this, taken, (memberId) => members.includes(memberId))
    const owned = this.consumer.assignment.flatMap((at) => this.#world.place(at) ?? [])
    this.#group.claim(this.#owner, generation, owned)
  }

  #released(at: readonly TopicPartition[]): void {
    for (const place of at) this.#forget(partitionName(place))
  }

  #forget(name: string): void {
    const held = this.#held.get(name)
    if (held !== undefined) this.#group.giveUp(this, held.place)
    this.#held.delete(name)
  }

  /**
   * Empty for one that is no member any more. Nor counts a static one: it stays in the group when a rebalance goes on
   * without it, and learns later that it has lost its partitions.
   */
  memberId(): string {
    return this.#isDead || this.#owner !== this.name ? '' : this.consumer.groupMetadata().memberId
  }

  /** Every commit of this member, automatic or not. */
  #asked({ from, offsets }: AskedCommit): (error: unknown) => void {
    const { era } = this.#world
    this.noteStarts()
    const asked = offsets.flatMap(({ at, offset }) => {
      const place = this.#world.place(at)
      if (place === undefined) return []
      const start = this.#world.startOf(place) ?? 0
      const [missed] = this.#group.unprocessed(place, start, offset)
      const replaced = from.generation >= 0 && this.#group.isReplaced(this.#owner, from.generation, place)
      return [{ place, offset, missed, replaced, attempt: this.#group.attempt(place, offset) }]
    })
    return (error) => {
      if (era !== this.#world.era) return
      const refused = error instanceof LogError && (commitErrors.includes(error.code) || error.code === 'CLOSED')
      for (const { place, offset, missed, replaced, attempt } of asked) {
        if (error === null) attempt.outcome = 'done'
        else if (refused) attempt.outcome = 'refused'
        if (error !== null) continue
        this.#world.totals.commits++
        const what = `${this.name} of group ${from.group} committed ${offset} of ${place.name}`
        if (missed !== undefined) this.#world.fault(`${what}, ${missed} was not processed`)
        if (replaced) this.#world.fault(`${what} in generation ${from.generation}, although it was replaced`)
      }
    }
  }

  /**
   * Under `latest` the group leaves out what was there before it first came, and, if records were deleted under its hands,
   * what came after them.
   */
  noteStarts(): void {
    if (this.#group.spec.reset !== 'latest') return
    for (const at of this.consumer.assignment) {
      const held = this.#held.get(partitionName(at))
      if (held === undefined || held.unstable) continue
      const from = held.next ?? held.last ?? held.floor
      const isFirst = !held.hasBegun && held.floor === null
      const start = this.#world.startOf(held.place) ?? 0
      const isMoved = from !== null && start > from
      if (!isFirst && !isMoved) continue
      try {
        const position = this.consumer.position(at)
        // It is reset when it is read from.
        if (position < start) continue
        held.next = this.isListening ? null : position
        held.last = position
        held.hasBegun = true
        this.#group.excuse(held.place, from ?? 0, position)
      } catch {
        // Not known yet.
      }
    }
  }

  async poll(waitMs: number): Promise<Answer<readonly Given[]>> {
    this.#polledAt = this.#world.steps
    const answer = await this.#world.attempt(`poll of ${this.name}`, pollErrors, () => this.consumer.poll({ waitMs }))
    for (const record of answer.value ?? []) this.given(record)
    this.noteStarts()
    return answer
  }

  /** A record was handed over. */
  given(record: Given): Sent | null {
    if (this.#isDead) return null
    const { ledger, totals } = this.#world
    totals.delivered++
    const value = valueOf(record.value?.toString() ?? null)
    // An iteration goes on with what it was given, although the topic has been created anew meanwhile.
    const now = this.#held.get(partitionName(record))?.place ?? this.#world.place(record)
    const known = ledger.of(value)?.place ?? null
    const place = known ?? now
    if (place === undefined || place === null) return null
    const deleted = place.incarnation.deletedAt
    if (deleted < this.#polledAt) this.#world.fault(`${this.name} was given ${value} of a deleted topic`)
    const sent = known !== null && known !== now ? (ledger.of(value) ?? null) : ledger.read(place, record.offset, value)
    if (sent === null) return null
    if (!this.#group.reads(record.topic)) this.#world.fault(`${this.name} was given ${value}, which it does not read`)
    if (this.#group.spec.isolation === 'committed' && sent.transaction !== null)
      this.#world.shown(sent.transaction, `${value}, given to ${this.name},`)
    this.#follows(place, record)
    return sent
  }

  #follows(place: Place, { offset }: Given): void {
    const held = this.#held.get(partitionName(place.at))
    if (held === undefined || held.place !== place) return
    const { next, floor, unstable, hasBegun } = held
    held.next = offset + 1
    held.hasBegun = true
    const { reset } = this.#group.spec
    if (!hasBegun && floor === null && reset === 'latest') return this.#group.excuse(place, 0, offset)
    const start = this.#world.startOf(place) ?? 0
    if (next === null && (unstable || hasBegun)) {
      // It went on at what was not done; if that is deleted, the reset goes past the rest.
      if (reset === 'latest' && !this.#isDoneBelow(place, start)) this.#group.excuse(place, start, offset)
      return
    }
    const expected = next ?? floor ?? 0
    if (offset < expected)
      this.#world.fault(`${this.name} was given offset ${offset} of ${place.name}, it had to go on at ${expected}`)
    // Records were deleted under its hands, and the reset goes past the rest.
    const moved = reset === 'latest' && start > expected
    if (moved) this.#group.excuse(place, expected, offset)
    else this.#group.gap(place, expected, offset, `${this.name} of group ${this.#group.spec.name}`)
  }

  #isDoneBelow(place: Place, end: number): boolean {
    for (let offset = 0; offset < end; offset++) if (!this.#group.isDone(place, offset)) return false
    return true
  }

  done(record: Given, sent: Sent | null = null): void {
    const place = sent?.place ?? this.#world.ledger.of(valueOf(record.value?.toString() ?? null))?.place
    if (place !== undefined && place !== null) this.#group.processed(place, record.offset)
  }

  /** It goes on in another way: what is not done is given again. */
  restarted(isListening: boolean): void {
    this.isListening = isListening
    for (const [name, held] of this.#held) {
      // Before the first record, the rules of the beginning stay in force.
      if (held.hasBegun) this.#held.set(name, { ...held, next: null, last: held.next ?? held.last })
    }
  }

  async commit(records: readonly Given[] | null = null): Promise<void> {
    const offsets = records?.map(({ topic, partition, offset }) => ({
      at: { topic, partition },
      offset: offset + 1,
      leaderEpoch: -1,
      metadata: '',
    }))
    await this.#world.attempt(`commit of ${this.name}`, commitErrors, () => this.consumer.commitOffsets(offsets))
  }

  seek(): void {
    const { random } = this.#world
    const { assignment } = this.consumer
    if (assignment.length === 0) return
    const at = random.pick(assignment)
    const held = this.#held.get(partitionName(at))
    const place = this.#world.place(at)
    if (held === undefined || held.place !== place || held.unstable) return
    const from = this.consumer.position(at)
    const start = this.#world.startOf(place) ?? 0
    const to = random.pick([
      'beginning',
      'end',
      Math.max(start, from - random.between(0, 4)),
      { timestamp: this.#world.clock.now() - random.pick([0, 1000, 20_000]) },
    ] as const)
    if (!held.hasBegun && held.floor === null && this.#group.spec.reset === 'latest') this.#group.excuse(place, 0, from)
    this.consumer.seek(at, to)
    held.next = this.consumer.position(at)
    held.hasBegun = true
    this.#group.excuse(place, from, held.next)
  }

  pauseSome(): void {
    const { assignment, paused } = this.consumer
    if (paused.length > 0) this.consumer.resume(paused)
    else if (assignment.length > 0) this.consumer.pause([this.#world.random.pick(assignment)])
  }

  async leave(): Promise<void> {
    await this.#world.attempt(`unsubscribe of ${this.name}`, commitErrors, () => this.consumer.unsubscribe())
    for (const name of this.#held.keys()) this.#forget(name)
  }

  async close(): Promise<void> {
    await this.#world.attempt(`close of ${this.name}`, commitErrors, () => this.consumer.close())
    for (const name of this.#held.keys()) this.#forget(name)
  }
}

/** Polls, processes and commits in many ways, until it leaves or dies. */
export function groupMember(group: GroupLedger): Program {
  return async (world) => {
    const { random } = world
    const groupInstanceId = random.chance(0.2) ? `${group.spec.name}-s${random.below(2)}` : undefined
    const troublesome = random.chance(0.3)
    const member = new Member(world, group, {
      troublesome,
      ...(groupInstanceId === undefined ? {} : { groupInstanceId }),
    })
    const began = await world.attempt('subscribe', ['UNKNOWN_TOPIC'], () => member.subscribe())
    if (began.error !== undefined) return await member.close()
    const seeks = random.chance(0.2)
    for (let round = random.between(3, 40); round > 0 && !world.isEnding; round--) {
      const style = random.below(100)
      if (style < 80) {
        if (!(await pollOnce(world, member))) return
        if (seeks && random.chance(0.2))
          await world.attempt('seek', ['NO_OFFSET', 'UNKNOWN_TOPIC', 'UNKNOWN_PARTITION'], () => member.seek())
      } else if (style < 92) await listen(world, member)
      else if (style < 95) await iterate(world, member)
      else if (style < 98) member.pauseSome()
      else {
        await member.leave()
        const again = await world.attempt('subscribe', ['UNKNOWN_TOPIC'], () => member.subscribe())
        if (again.error !== undefined) break
      }
    }
    await member.close()
  }
}

/** False if the member has died. */
async function pollOnce(world: ClientWorld, member: Member): Promise<boolean> {
  const { random } = world
  const { value: records = [], error } = await member.poll(random.pick([0, 0, 10, 500, 5000]))
  if (error === 'FENCED_INSTANCE_ID') {
    await member.close()
    return false
  }
  // A slow one is expelled, and learns of it later.
  await world.sleep(random.chance(0.04) ? 14_000 : random.pick([0, 0, 1, 30, 400]))
  if (random.chance(0.03)) {
    member.die()
    return false
  }
  for (const record of records) member.done(record)
  const choice = random.below(100)
  if (choice < 20) await member.commit()
  else if (choice < 28) void member.commit()
  else if (choice < 36 && records.length > 0) await member.commit(lastOfEach(records))
  return true
}

function lastOfEach(records: readonly Given[]): readonly Given[] {
  return [...new Map(records.map((record) => [partitionName(record), record])).values()]
}

async function listen(world: ClientWorld, member: Member): Promise<void> {
  const { random } = world
  const ended = new AbortController()
  const process = async (records: readonly Given[]): Promise<void> => {
    for (const record of records) member.given(record)
    await world.sleep(random.chance(0.02) ? 12_000 : random.pick([0, 5, 100]))
    if (random.chance(0.03)) throw new OwnFailure('a listener of ours')
    for (const record of records) member.done(record)
  }
  const options = { signal: ended.signal, concurrency: random.pick([1, 1, 4]) }
  member.restarted(true)
  const listening = world.attempt(`listening of ${member.name}`, pollErrors, () =>
    random.chance(0.5)
      ? member.consumer.eachRecord((record) => process([record]), { ...options, order: 'partition' })
      : member.consumer.eachBatch(({ records }) => process(records), options),
  )
  await world.sleep(random.pick([100, 2000, 8000]))
  ended.abort()
  await listening
  member.restarted(false)
}

async function iterate(world: ClientWorld, member: Member): Promise<void> {
  const { random } = world
  const ended = new AbortController()
  const timer = world.clock.setTimer(3000, () => ended.abort())
  let left = random.between(1, 8)
  member.restarted(true)
  await world.attempt(`iteration of ${member.name}`, pollErrors, async () => {
    for await (const record of member.consumer.records({ signal: ended.signal })) {
      member.given(record)
      await world.sleep(random.pick([0, 10, 200]))
      member.done(record)
      if (--left === 0) break
    }
  })
  timer.cancel()
  member.restarted(false)
}

/** Copies what it reads, together with its offsets, in transactions: each record once. */
export function copier(group: GroupLedger, topic: string): Program {
  return async (world) => {
    const { random, ledger } = world
    const member = new Member(world, group, { autoCommitIntervalMs: 0, commitsRevoked: false })
    const id = `copier-${random.below(2)}`
    const writer = openWriter(world, { transactionalId: id, transactionTimeoutMs: random.pick([2000, 20_000]) })
    const began = await world.attempt('initTransactions', ['PRODUCER_FENCED'], () => writer.producer.initTransactions())
    if (began.error !== undefined) return
    member.subscribe()
    for (let round = random.between(5, 30); round > 0 && !world.isEnding; round--) {
      const { value: records = [] } = await member.poll(random.pick([0, 100, 1000]))
      if (records.length === 0) continue
      const ready = await world.attempt('beginTransaction', [], () => writer.producer.beginTransaction())
      if (ready.error !== undefined) break
      const transaction = ledger.begin()
      const sends = records.map((record) => {
        const copyOf = ledger.of(valueOf(record.value?.toString() ?? null))
        member.done(record)
        return sendOne(world, writer, { topics: [topic], transaction, ...(copyOf === undefined ? {} : { copyOf }) })
      })
      if (random.chance(0.5)) await Promise.all(sends)
      if (random.chance(0.05)) await world.sleep(14_000)
      if (random.chance(0.04)) return member.die()
      const attempts = lastOfEach(records).flatMap((record) => {
        const place = world.place(record)
        return place === undefined ? [] : [group.attempt(place, record.offset + 1, transaction)]
      })
      const offsets = lastOfEach(records).map(({ topic: of, partition, offset }) => ({
        at: { topic: of, partition },
        offset: offset + 1,
        leaderEpoch: -1,
        metadata: '',
      }))
      const from = member.consumer.groupMetadata()
      const { error } = await world.attempt('sendOffsetsToTransaction', [...commitErrors, ...offsetErrors], () =>
        writer.producer.sendOffsetsToTransaction(offsets, from),
      )
      if (error !== undefined) for (const attempt of attempts) attempt.outcome = 'refused'
      const how = error === undefined && random.chance(0.85) ? 'commit' : 'abort'
      await endTransaction(world, writer.producer, transaction, how)
      // Whoever aborts starts again from the committed offsets.
      if (transaction.outcome !== 'committed') break
    }
    await member.close()
    await world.attempt('close of a copier', offsetErrors, () => writer.producer.close())
  }
}

const offsetErrors: readonly LogErrorCode[] = [
  'INVALID_TXN_STATE',
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
]
