import { describe, expect, test } from 'vitest'
import { sleep } from '../../../../src/base/clock.ts'
import type { GroupAssignor } from '../../../../src/log/api/assignor.ts'
import { partitionName } from '../../../../src/log/api/record.ts'
import type { RebalanceListener } from '../../../../src/log/client/consumer/consumer-options.ts'
import type { Consumer } from '../../../../src/log/client/consumer/consumer.ts'
import { consumerProtocolType, encodeSubscription } from '../../../../src/log/group/consumer-protocol.ts'
import type { GroupAnswer, JoinAnswer } from '../../../../src/log/group/group-requests.ts'
import { ClientHarness, codeOf, textOf } from '../client-harness.ts'

const orders = { name: 'orders', partitions: 4 }
const names = (consumer: Consumer): readonly string[] => consumer.assignment.map(partitionName).sort()

/** Polls all consumers in turn until the group is stable. */
async function settle(log: ClientHarness, consumers: readonly Consumer[]): Promise<void> {
  for (let turn = 0; turn < 6; turn++) {
    for (const consumer of consumers) await consumer.poll()
    await log.clock.nextTurn()
  }
}

/** Notes the calls of a rebalance listener, in order. */
function diary(name: string, into: string[]): RebalanceListener {
  const note = (what: string) => (at: readonly { topic: string; partition: number }[]) =>
    void into.push(`${name} ${what} ${at.map(({ partition }) => partition).join('')}`)
  return {
    onPartitionsAssigned: note('+'),
    onPartitionsRevoked: note('-'),
    onPartitionsLost: note('!'),
  }
}

describe('several consumers of a group', () => {
  for (const assignor of ['range', 'roundrobin', 'cooperative-sticky'] as const) {
    test(`share the partitions, and take over those of a member that leaves, by ${assignor}`, async () => {
      const log = await ClientHarness.open([orders])
      const open = (): Consumer => {
        const consumer = log.consumer({ group: 'g', assignors: [assignor] })
        consumer.subscribe(['orders'])
        return consumer
      }
      const [first, second, third] = [open(), open(), open()] as const
      await first.poll()
      expect(names(first)).toHaveLength(4)
      await settle(log, [first, second, third])
      const shares = [first, second, third].map(names)
      expect(shares.map(({ length }) => length).sort((a, b) => a - b)).toEqual([1, 1, 2])
      expect(shares.flat().sort()).toEqual([0, 1, 2, 3].map((partition) => `orders-${partition}`))
      await second.close()
      await settle(log, [first, third])
      expect([names(first).length, names(third).length]).toEqual([2, 2])
      await log.close()
    })
  }

  test('revoke and assign only the partitions that move under a cooperative assignor', async () => {
    const log = await ClientHarness.open([orders])
    const happened: string[] = []
    const first = log.consumer({ group: 'g' })
    const second = log.consumer({ group: 'g' })
    first.subscribe(['orders'], diary('a', happened))
    second.subscribe(['orders'], diary('b', happened))
    await first.poll()
    await settle(log, [first, second])
    expect(happened.filter((line) => !/[+]\s$/.test(line))).toEqual(['a + 0123', 'a - 23', 'b + 23'])
    await log.close()
  })

  test('revoke all partitions first under an eager assignor', async () => {
    const log = await ClientHarness.open([orders])
    const happened: string[] = []
    const first = log.consumer({ group: 'g', clientId: 'a', assignors: ['range'] })
    const second = log.consumer({ group: 'g', clientId: 'b', assignors: ['range'] })
    first.subscribe(['orders'], diary('a', happened))
    second.subscribe(['orders'], diary('b', happened))
    await first.poll()
    await settle(log, [first, second])
    expect(happened).toEqual(['a + 0123', 'a - 0123', 'a + 01', 'b + 23'])
    await log.close()
  })

  test('continue where the previous owner of a partition committed', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
    await log.load('orders', ['a', 'b', 'c', 'd'])
    const first = log.consumer({ group: 'g', autoOffsetReset: 'earliest', maxPollRecords: 1 })
    first.subscribe(['orders'])
    expect((await first.poll()).map(textOf)).toEqual(['a'])
    expect((await first.poll()).map(textOf)).toEqual(['b'])
    const second = log.consumer({ group: 'g', autoOffsetReset: 'earliest', maxPollRecords: 1, groupInstanceId: 'x' })
    second.subscribe(['orders'])
    await second.poll()
    await first.close()
    expect((await second.poll()).map(textOf)).toEqual(['c'])
    await log.close()
  })

  test('use a custom assignor with the user data of their members', async () => {
    const log = await ClientHarness.open([orders])
    const seen: string[][] = []
    const own = (wish: string): GroupAssignor => ({
      name: 'wishes',
      cooperative: false,
      userData: () => Buffer.from(wish),
      assign: (members, partitions) => {
        seen.push(members.map(({ userData }) => Buffer.from(userData ?? []).toString()))
        return new Map(
          members.map(({ memberId, userData }) => [
            memberId,
            Buffer.from(userData ?? []).toString() === 'all'
              ? Array.from({ length: partitions.get('orders') ?? 0 }, (_, partition) => ({
                  topic: 'orders',
                  partition,
                }))
              : [],
          ]),
        )
      },
    })
    const none = log.consumer({ group: 'g', assignors: [own('none')] })
    const all = log.consumer({ group: 'g', assignors: [own('all')] })
    none.subscribe(['orders'])
    all.subscribe(['orders'])
    await settle(log, [none, all])
    expect([names(none).length, names(all).length]).toEqual([0, 4])
    expect(seen.at(-1)?.sort()).toEqual(['all', 'none'])
    await log.close()
  })

  test('get INVALID_ASSIGNMENT from an assignor that assigns a partition twice, and none owns it', async () => {
    const log = await ClientHarness.open([orders])
    const twice: GroupAssignor = {
      name: 'twice',
      cooperative: false,
      assign: (members) => new Map(members.map(({ memberId }) => [memberId, [{ topic: 'orders', partition: 0 }]])),
    }
    const [first, second] = [1, 2].map(() => log.consumer({ group: 'g', assignors: [twice] })) as [Consumer, Consumer]
    first.subscribe(['orders'])
    await first.poll()
    second.subscribe(['orders'])
    await second.poll()
    expect(await codeOf(() => first.poll())).toBe('INVALID_ASSIGNMENT')
    expect([names(first), names(second)]).toEqual([[], []])
    await log.close()
  })
})

describe('a subscription', () => {
  test('by pattern takes new topics within a heartbeat and gives up deleted ones', async () => {
    const log = await ClientHarness.open([
      { name: 'orders-eu', partitions: 1 },
      { name: 'bills', partitions: 1 },
    ])
    const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
    consumer.subscribe(/^orders-/)
    await consumer.poll()
    expect(names(consumer)).toEqual(['orders-eu-0'])
    const waiting = consumer.poll({ waitMs: 60_000 })
    await log.admin.createTopics([{ name: 'orders-us', partitions: 2 }])
    await log.load('orders-us', ['first'])
    await log.clock.run(3000)
    expect((await waiting).map(textOf)).toEqual(['first'])
    expect(names(consumer)).toEqual(['orders-eu-0', 'orders-us-0', 'orders-us-1'])
    await log.admin.deleteTopic('orders-eu')
    await log.clock.run(3000)
    await consumer.poll()
    expect(names(consumer)).toEqual(['orders-us-0', 'orders-us-1'])
    await log.close()
  })

  test.each(['subscribed', 'assigned'] as const)(
    'never commits what it read of a deleted topic for a new topic of that name, %s',
    async (how) => {
      const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
      await log.load('orders', ['a', 'b', 'c'])
      const at = { topic: 'orders', partition: 0 }
      const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
      if (how === 'subscribed') consumer.subscribe(['orders'])
      else consumer.assign([at])
      expect(await consumer.poll()).toHaveLength(3)

      await log.admin.deleteTopic('orders')
      await log.admin.createTopics([{ name: 'orders', partitions: 1 }])
      await log.load('orders', ['d', 'e', 'f', 'g'])
      // By default that commits the progress of all partitions; there is none in the new topic.
      await consumer.commitOffsets()
      const own = [{ at, offset: 3, leaderEpoch: -1, metadata: '' }]
      expect(await codeOf(() => consumer.commitOffsets(own))).toBe('UNKNOWN_TOPIC')
      await consumer.close()

      expect(log.admin.committedOffsets('g', [at])).toEqual([])
      const next = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
      next.subscribe(['orders'])
      expect((await next.poll()).map(textOf)).toEqual(['d', 'e', 'f', 'g'])
      await log.close()
    },
  )

  test('that is closed while its rebalance listener gives a partition up gives up the others, and gets none', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 2 }])
    const happened: string[] = []
    const slow = diary('a', happened)
    const consumer = log.consumer({ group: 'g' })
    consumer.subscribe(['orders'], {
      ...slow,
      onPartitionsRevoked: async (at) => {
        void slow.onPartitionsRevoked?.(at)
        if (at.length === 1) await sleep(log.clock, 1000)
      },
    })
    await consumer.poll()
    const other = log.consumer({ group: 'g' })
    other.subscribe(['orders'], diary('b', happened))
    const joining = other.poll()
    await log.clock.nextTurn()
    const polling = consumer.poll({ waitMs: 60_000 })
    for (let turn = 0; turn < 5; turn++) await log.clock.nextTurn()
    expect(happened).toEqual(['a + 01', 'a - 1'])

    const closing = consumer.close()
    for (let turn = 0; turn < 5; turn++) await log.clock.nextTurn()
    await log.clock.run(1000)
    expect(await polling).toEqual([])
    await closing
    await joining
    await settle(log, [other])
    expect(happened.filter((what) => what.startsWith('a'))).toEqual(['a + 01', 'a - 1', 'a - 0'])
    expect(names(other)).toEqual(['orders-0', 'orders-1'])
    await log.close()
  })

  test('continues when one of its topics is deleted, and starts over with a new topic of that name', async () => {
    const log = await ClientHarness.open([
      { name: 'orders-eu', partitions: 1 },
      { name: 'orders-us', partitions: 1 },
    ])
    const happened: string[] = []
    const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest', autoCommitIntervalMs: 60_000 })
    consumer.subscribe(/^orders-/, diary('a', happened))
    await log.load('orders-eu', ['1', '2', '3'])
    await log.load('orders-us', ['4'])
    const before = [...(await consumer.poll()), ...(await consumer.poll()), ...(await consumer.poll())]
    expect(new Set(before.map(textOf))).toEqual(new Set(['1', '2', '3', '4']))
    expect(before.length).toBe(4)
    const waiting = consumer.poll({ waitMs: 60_000 })
    await log.clock.nextTurn()
    await log.admin.deleteTopic('orders-eu')
    await log.load('orders-us', ['5'])
    await log.clock.nextTurn()
    expect((await waiting).map(textOf)).toEqual(['5'])
    expect(names(consumer)).toEqual(['orders-us-0'])
    expect(happened).toEqual(['a + 00', 'a ! 0', 'a + '])

    await log.admin.createTopics([{ name: 'orders-eu', partitions: 2 }])
    await log.load('orders-eu', ['6'])
    await settle(log, [consumer])
    await log.clock.run(3000)
    expect((await consumer.poll()).map(textOf)).toEqual(['6'])
    await log.admin.deleteTopic('orders-eu')
    await log.admin.createTopics([{ name: 'orders-eu', partitions: 1 }])
    await log.load('orders-eu', ['7', '8'])
    expect((await consumer.poll()).map(textOf)).toEqual(['7', '8'])
    expect(names(consumer)).toEqual(['orders-eu-0', 'orders-us-0'])
    await consumer.close()
    expect(log.broker.committedOffsets('g', [{ topic: 'orders-us', partition: 0 }])).toMatchObject([{ offset: 2 }])
    await log.close()
  })

  test('still commits the offsets of its other topics when it is closed after a deletion', async () => {
    const log = await ClientHarness.open([
      { name: 'orders-eu', partitions: 1 },
      { name: 'orders-us', partitions: 1 },
    ])
    const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
    consumer.subscribe(/^orders-/)
    await log.load('orders-eu', ['1'])
    await log.load('orders-us', ['2'])
    await settle(log, [consumer])
    await log.admin.deleteTopic('orders-eu')
    await consumer.close()
    expect(log.broker.committedOffsets('g', [{ topic: 'orders-us', partition: 0 }])).toMatchObject([{ offset: 1 }])
    await log.close()
  })

  test('takes new partitions of its topics', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
    const consumer = log.consumer({ group: 'g' })
    consumer.subscribe(['orders'])
    await consumer.poll()
    await log.broker.addPartitions('orders', 3)
    await log.clock.run(3000)
    await consumer.poll()
    expect(names(consumer)).toEqual(['orders-0', 'orders-1', 'orders-2'])
    await log.close()
  })

  test('to no topic, to an unknown topic or without a group is refused', async () => {
    const log = await ClientHarness.open([orders])
    expect(await codeOf(() => log.consumer({ group: 'g' }).subscribe([]))).toBe('INVALID_CONFIG')
    expect(await codeOf(() => log.consumer({ group: 'g' }).subscribe(['nope']))).toBe('UNKNOWN_TOPIC')
    expect(await codeOf(() => log.consumer().subscribe(['orders']))).toBe('INVALID_CONFIG')
    await log.close()
  })
})

describe('a consumer that does not poll', () => {
  test('for maxPollIntervalMs leaves: others get its partitions, it cannot commit, and its next poll joins again', async () => {
    const log = await ClientHarness.open([orders])
    const happened: string[] = []
    const slow = log.consumer({
      group: 'g',
      maxPollIntervalMs: 10_000,
      autoOffsetReset: 'earliest',
      autoCommitIntervalMs: 0,
    })
    slow.subscribe(['orders'], diary('slow', happened))
    await slow.poll()
    const other = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
    other.subscribe(['orders'])
    await settle(log, [slow, other])
    const held = slow.assignment
    await log.clock.run(9999)
    expect(log.broker.groups.coordinator.get('g')?.members).toHaveLength(2)
    await log.clock.run(1)
    expect(log.broker.groups.coordinator.get('g')?.members).toHaveLength(1)
    expect(
      await codeOf(() => slow.commitOffsets(held.map((at) => ({ at, offset: 0, leaderEpoch: -1, metadata: '' })))),
    ).toBe('UNKNOWN_MEMBER_ID')
    await other.poll()
    await log.clock.nextTurn()
    await other.poll()
    expect(names(other)).toHaveLength(4)
    happened.length = 0
    await settle(log, [slow, other])
    expect(happened[0]).toBe(`slow ! ${held.map(({ partition }) => partition).join('')}`)
    expect([names(slow).length, names(other).length]).toEqual([2, 2])
    await log.close()
  })

  test('and was the only member cannot commit as if it had never joined', async () => {
    const log = await ClientHarness.open([orders])
    const slow = log.consumer({ group: 'g', maxPollIntervalMs: 10_000, autoCommitIntervalMs: 0 })
    slow.subscribe(['orders'])
    await slow.poll()
    await log.clock.run(10_000)
    expect(await codeOf(() => slow.commitOffsets())).toBe('UNKNOWN_MEMBER_ID')
    await log.close()
  })

  test.each(['was given up', 'was closed'])('and %s cannot commit its offsets in a transaction', async (how) => {
    const log = await ClientHarness.open([orders])
    const slow = log.consumer({ group: 'g', maxPollIntervalMs: 10_000, autoCommitIntervalMs: 0 })
    slow.subscribe(['orders'])
    await slow.poll()
    const other = log.consumer({ group: 'g' })
    other.subscribe(['orders'])
    const producer = log.producer({ transactionalId: 'id' })
    await producer.initTransactions()
    producer.beginTransaction()
    if (how === 'was closed') await slow.close()
    else await log.clock.run(10_000)
    await settle(log, [other])
    expect(names(other)).toHaveLength(4)
    const offset = { at: { topic: 'orders', partition: 0 }, offset: 5, leaderEpoch: -1, metadata: '' }
    expect(await codeOf(() => producer.sendOffsetsToTransaction([offset], slow.groupMetadata()))).toBe(
      'UNKNOWN_MEMBER_ID',
    )
    // A consumer that reads without a group is no member of one.
    if (how === 'was given up') {
      await slow.unsubscribe()
      slow.assign([offset.at])
      expect(slow.groupMetadata()).toMatchObject({ generation: -1, memberId: '' })
    }
    await log.close()
  })

  test('is not removed from the group while it waits in a poll, however long', async () => {
    const log = await ClientHarness.open([orders])
    const consumer = log.consumer({ group: 'g', maxPollIntervalMs: 10_000 })
    consumer.subscribe(['orders'])
    await consumer.poll()
    const waiting = consumer.poll({ waitMs: 100_000 })
    await log.clock.run(100_000)
    expect(await waiting).toEqual([])
    expect(log.broker.groups.coordinator.get('g')?.generation).toBe(1)
    await log.close()
  })
})

describe('the listener of a consumer that leaves', () => {
  const ways = ['close', 'unsubscribe'] as const
  const cases = ways.flatMap((way) => [0, 5000].map((autoCommitIntervalMs) => ({ way, autoCommitIntervalMs })))

  test.each(cases)('by $way is told of revoked partitions (commits every $autoCommitIntervalMs ms)', async (how) => {
    const { log, consumer, happened } = await opened(how)
    await consumer[how.way]()
    expect(happened).toEqual(['a + 0123', 'a - 0123'])
    await log.close()
  })

  test.each(cases)(
    'by $way after its poll interval ran out is told of lost partitions (commits every $autoCommitIntervalMs ms)',
    async (how) => {
      const { log, consumer, happened } = await opened(how)
      await log.clock.run(10_000)
      await consumer[how.way]()
      expect(happened).toEqual(['a + 0123', 'a ! 0123'])
      await log.close()
    },
  )

  test.each(cases)(
    'by $way after the group removed it is told of lost partitions (commits every $autoCommitIntervalMs ms)',
    async (how) => {
      const { log, consumer, happened } = await opened(how)
      const { memberId } = consumer.groupMetadata()
      log.broker.groups.leave('g', { memberId, groupInstanceId: null })
      await consumer[how.way]()
      expect(happened).toEqual(['a + 0123', 'a ! 0123'])
      expect(log.broker.committedOffsets('g', [{ topic: 'orders', partition: 0 }])).toEqual([])
      await log.close()
    },
  )

  test.each(ways)('by %s during a rebalance is told of lost partitions', async (way) => {
    const { log, consumer, happened } = await opened({ autoCommitIntervalMs: 0 })
    const open = (): Consumer => {
      const other = log.consumer({ group: 'g' })
      other.subscribe(['orders'])
      return other
    }
    const [second, third] = [open(), open()]
    await settle(log, [consumer, second])
    happened.length = 0
    const held = consumer.assignment.map(({ partition }) => partition).join('')
    await third.poll()
    // It has joined the next generation and waits for the second.
    await consumer.poll()
    await consumer[way]()
    expect(happened).toEqual([`a ! ${held}`])
    await log.close()
  })

  test('without onPartitionsLost is told of lost partitions as revoked, and its commits are refused', async () => {
    const log = await ClientHarness.open([orders])
    const codes: string[] = []
    const consumer = log.consumer({ group: 'g', maxPollIntervalMs: 10_000, autoCommitIntervalMs: 0 })
    consumer.subscribe(['orders'], {
      onPartitionsRevoked: async () => void codes.push(await codeOf(() => consumer.commitOffsets())),
    })
    await consumer.poll()
    await log.clock.run(10_000)
    await consumer.close()
    expect(codes).toEqual(['UNKNOWN_MEMBER_ID'])
    await log.close()
  })

  async function opened({ autoCommitIntervalMs }: { readonly autoCommitIntervalMs: number }): Promise<{
    readonly log: ClientHarness
    readonly consumer: Consumer
    readonly happened: string[]
  }> {
    const log = await ClientHarness.open([orders])
    const happened: string[] = []
    const options = { autoCommitIntervalMs, autoOffsetReset: 'earliest', maxPollIntervalMs: 10_000 } as const
    const consumer = log.consumer({ group: 'g', ...options })
    consumer.subscribe(['orders'], diary('a', happened))
    await log.load('orders', ['1', '2'])
    while ((await consumer.poll()).length === 0);
    return { log, consumer, happened }
  }
})

test('a commit just as the next generation begins is REBALANCE_IN_PROGRESS, and no partition is lost', async () => {
  const log = await ClientHarness.open([orders])
  const happened: string[] = []
  const consumer = log.consumer({ group: 'g', autoCommitIntervalMs: 0 })
  consumer.subscribe(['orders'], diary('a', happened))
  await consumer.poll()
  const { groups } = log.broker
  const other = { group: 'g', groupInstanceId: null, protocolType: consumerProtocolType }
  const metadata = encodeSubscription({ topics: ['orders'], userData: null, owned: [], generation: -1 })
  const join = (memberId: string): GroupAnswer<JoinAnswer> =>
    groups.join({
      ...other,
      memberId,
      clientId: 'other',
      clientHost: 'elsewhere',
      protocols: [{ name: 'cooperative-sticky', metadata }],
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: 60_000,
      requireMemberId: false,
      onChange: () => {},
    })
  const joined = join('')
  await consumer.poll()
  const { memberId } = await joined.answer
  // It has given up two partitions and joined again; that rebalance waits for the other member.
  expect(happened.at(-1)).toBe('a + ')
  const again = join(memberId)
  const offset = { at: { topic: 'orders', partition: 0 }, offset: 0, leaderEpoch: -1, metadata: '' }
  expect(await codeOf(() => consumer.commitOffsets([offset]))).toBe('REBALANCE_IN_PROGRESS')
  await again.answer
  await consumer.poll()
  expect(names(consumer)).toHaveLength(2)
  expect(happened.filter((line) => line.includes('!'))).toEqual([])
  await log.close()
})

test('under an eager assignor every rebalance begins with a revocation, even of no partitions', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
  const happened: string[] = []
  const open = (clientId: string): Consumer => {
    const consumer = log.consumer({ group: 'g', clientId, assignors: ['range'] })
    consumer.subscribe(['orders'], diary(clientId, happened))
    return consumer
  }
  const [first, second, third] = [open('a'), open('b'), open('c')]
  await first.poll()
  await settle(log, [first, second])
  expect(happened).toEqual(['a + 0', 'a - 0', 'a + 0', 'b + '])
  happened.length = 0
  await settle(log, [first, second, third])
  expect(happened.sort()).toEqual(['a + 0', 'a - 0', 'b + ', 'b - ', 'c + '])
  await log.close()
})

test.each(['range', 'cooperative-sticky'] as const)(
  'a listener that throws fails the poll, and its partitions are revoked all the same (%s)',
  async (assignor) => {
    const log = await ClientHarness.open([orders])
    const options = { group: 'g', assignors: [assignor] } as const
    const [first, second] = [log.consumer(options), log.consumer(options)]
    const happened: string[] = []
    first.subscribe(['orders'], {
      ...diary('a', happened),
      onPartitionsRevoked: (at) => {
        happened.push(`a - ${at.length}`)
        throw new Error('no')
      },
    })
    second.subscribe(['orders'])
    await first.poll()
    const thrown: string[] = []
    for (let turn = 0; turn < 6; turn++) {
      await second.poll()
      await first.poll().catch((error: unknown) => thrown.push(String(error)))
      await log.clock.nextTurn()
    }
    expect([names(first).length, names(second).length]).toEqual([2, 2])
    expect(thrown).toEqual(['Error: no'])
    expect(happened.filter((line) => line.startsWith('a -'))).toEqual([assignor === 'range' ? 'a - 4' : 'a - 2'])
    await log.close()
  },
)

describe('a consumer is woken', () => {
  test('by a rebalance while it waits for records', async () => {
    const log = await ClientHarness.open([orders])
    const first = log.consumer({ group: 'g' })
    first.subscribe(['orders'])
    await first.poll()
    const waiting = first.poll({ waitMs: 60_000 })
    const second = log.consumer({ group: 'g' })
    second.subscribe(['orders'])
    const also = second.poll({ waitMs: 60_000 })
    for (let turn = 0; turn < 20; turn++) await log.clock.nextTurn()
    expect([names(first).length, names(second).length]).toEqual([2, 2])
    await first.close()
    await second.close()
    expect([await waiting, await also]).toEqual([[], []])
    await log.close()
  })

  test('by its signal: the poll resolves with no records, iterations and listeners end', async () => {
    const log = await ClientHarness.open([orders])
    const consumer = log.consumer({ group: 'g' })
    consumer.subscribe(['orders'])
    for (const use of [
      async (signal: AbortSignal) => await consumer.poll({ waitMs: 60_000, signal }),
      async (signal: AbortSignal) => {
        for await (const record of consumer.records({ signal })) expect(record).toBeUndefined()
      },
      async (signal: AbortSignal) => await consumer.eachRecord(() => {}, { signal }),
      async (signal: AbortSignal) => await consumer.eachBatch(() => {}, { signal }),
    ]) {
      const abort = new AbortController()
      const using = use(abort.signal)
      for (let turn = 0; turn < 5; turn++) await log.clock.nextTurn()
      abort.abort()
      expect((await using) ?? []).toEqual([])
    }
    await log.close()
  })
})

describe('the records that an iteration has fetched are not handed out', () => {
  const open = async (): Promise<{ readonly log: ClientHarness; readonly consumer: Consumer }> => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', ['a', 'b', 'c'])
    const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest', maxPollIntervalMs: 10_000 })
    consumer.subscribe(['orders'])
    return { log, consumer }
  }

  test('once its signal is aborted; the next iteration returns them', async () => {
    const { log, consumer } = await open()
    const seen: (string | undefined)[] = []
    for (let round = 0; round < 2; round++) {
      const abort = new AbortController()
      for await (const record of consumer.records({ signal: abort.signal })) {
        seen.push(textOf(record))
        if (seen.length > 3) break
        abort.abort()
      }
    }
    expect(seen).toEqual(['a', 'b'])
    await consumer.close()
    expect(log.broker.committedOffsets('g', [{ topic: 'orders', partition: 0 }])).toMatchObject([{ offset: 2 }])
    await log.close()
  })

  test('once the consumer is closed', async () => {
    const { log, consumer } = await open()
    const seen: (string | undefined)[] = []
    for await (const record of consumer) {
      seen.push(textOf(record))
      if (seen.length === 2) await consumer.close()
    }
    expect(seen).toEqual(['a', 'b'])
    // The record that the loop had when the consumer was closed may not be done.
    expect(log.broker.committedOffsets('g', [{ topic: 'orders', partition: 0 }])).toMatchObject([{ offset: 1 }])
    await log.close()
  })

  test('once the group has removed the consumer: others get them', async () => {
    const { log, consumer } = await open()
    const seen: (string | undefined)[] = []
    const looping = (async (): Promise<void> => {
      for await (const record of consumer) {
        seen.push(`slow ${textOf(record)}`)
        if (seen.length === 1) await sleep(log.clock, 15_000)
        else break
      }
    })()
    await log.clock.run(11_000)
    const other = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
    other.subscribe(['orders'])
    for (let turn = 0; turn < 4; turn++) {
      for (const record of await other.poll()) seen.push(textOf(record))
      await log.clock.nextTurn()
    }
    expect(seen).toEqual(['slow a', 'a', 'b', 'c'])
    await log.clock.run(5000)
    expect(seen).toHaveLength(4)
    await consumer.close()
    await looping
    await log.close()
  })
})

test.each([0, 1, 2, 3, 5, 8, 13])(
  'a poll resolves with no records when the consumer is closed %d promises after it began to join',
  async (count) => {
    const log = await ClientHarness.open([orders])
    const consumer = log.consumer({ group: 'g' })
    const happened: string[] = []
    consumer.subscribe(['orders'], diary('a', happened))
    const polled = consumer.poll({ waitMs: 60_000 })
    for (let turn = 0; turn < count; turn++) await Promise.resolve()
    await consumer.close()
    await log.clock.nextTurn()
    // A poll that hangs would lose this race.
    expect(await Promise.race([polled, log.clock.nextTurn()])).toEqual([])
    expect(consumer.assignment).toEqual([])
    expect(happened.filter((line) => line.includes('+'))).toHaveLength(
      happened.filter((line) => line.includes('-')).length,
    )
    await log.close()
  },
)

test('during close the listeners of a consumer can still commit by hand', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
  await log.load('orders', ['a', 'b'])
  const at = { topic: 'orders', partition: 0 }
  const options = { group: 'g', autoOffsetReset: 'earliest', autoCommitIntervalMs: 0 } as const
  const first = log.consumer(options)
  first.subscribe(['orders'], { onPartitionsRevoked: () => first.commitOffsets() })
  expect(await first.poll()).toHaveLength(2)
  await first.close()
  expect(log.broker.committedOffsets('g', [at])).toMatchObject([{ offset: 2 }])
  expect(await codeOf(() => first.commitOffsets())).toBe('CLOSED')

  await log.load('orders', ['c'])
  const second = log.consumer(options)
  second.subscribe(['orders'])
  const held = Promise.withResolvers<void>()
  const running = second.eachRecord(async ({ offset }) => {
    await held.promise
    await second.commitOffsets([{ at, offset: offset + 1, leaderEpoch: -1, metadata: '' }])
  })
  await log.clock.run(10)
  // Every call of close waits for the listeners.
  const ended: number[] = []
  const closed = [1, 2].map((call) => second.close().then(() => ended.push(call)))
  await log.clock.nextTurn()
  expect(ended).toEqual([])
  held.resolve()
  await Promise.all([...closed, running])
  expect(log.broker.committedOffsets('g', [at])).toMatchObject([{ offset: 3 }])
  await log.close()
})

describe('a static consumer', () => {
  test('that was closed gets back its partitions, without a rebalance of the others', async () => {
    const log = await ClientHarness.open([orders])
    const open = (groupInstanceId: string): Consumer => {
      const consumer = log.consumer({ group: 'g', groupInstanceId })
      consumer.subscribe(['orders'])
      return consumer
    }
    const [first, second] = [open('a'), open('b')]
    await first.poll()
    await settle(log, [first, second])
    const [held, generation] = [names(second), log.broker.groups.coordinator.get('g')?.generation]
    await second.close()
    const again = open('b')
    await settle(log, [first, again])
    expect(names(again)).toEqual(held)
    expect(log.broker.groups.coordinator.get('g')?.generation).toBe(generation)
    await log.close()
  })

  test('is fenced for good by another one with the same groupInstanceId', async () => {
    const log = await ClientHarness.open([orders])
    const open = (): Consumer => {
      const consumer = log.consumer({ group: 'g', groupInstanceId: 'a' })
      consumer.subscribe(['orders'])
      return consumer
    }
    const first = open()
    await first.poll()
    const second = open()
    await second.poll()
    for (let again = 0; again < 2; again++) expect(await codeOf(() => first.poll())).toBe('FENCED_INSTANCE_ID')
    expect(names(second)).toHaveLength(4)
    expect(await codeOf(() => second.poll())).toBe('none')
    await log.close()
  })

  test('that was fenced closes without an error, though it has offsets to commit', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', ['a'])
    const open = (): Consumer => {
      const consumer = log.consumer({ group: 'g', groupInstanceId: 'a', autoOffsetReset: 'earliest' })
      consumer.subscribe(['orders'])
      return consumer
    }
    const first = open()
    expect(await first.poll()).toHaveLength(1)
    const second = open()
    await second.poll()
    await first.close()
    expect(names(second)).toHaveLength(4)
    await log.close()
  })
})

test('lag is the distance of each position from the end of its partition', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
  await log.load('orders', ['a', 'b', 'c'])
  const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest', maxPollRecords: 2 })
  consumer.subscribe(['orders'])
  await consumer.poll()
  expect(consumer.lag()).toEqual([{ at: { topic: 'orders', partition: 0 }, position: 2, end: 3, lag: 1 }])
  await log.close()
})

test('a reset by duration starts with the first record of that time', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
  const now = log.clock.now()
  const producer = log.producer()
  for (const age of [7200_000, 3600_000, 60_000])
    await producer.send({ topic: 'orders', value: `${age}`, timestamp: now - age })
  for (const [reset, values] of [
    [{ byDuration: 3600_000 }, ['3600000', '60000']],
    ['by_duration:PT1H', ['3600000', '60000']],
    ['by_duration:P1DT1S', ['7200000', '3600000', '60000']],
    ['by_duration:PT0.5S', []],
  ] as const) {
    const consumer = log.consumer({ autoOffsetReset: reset })
    consumer.assign([{ topic: 'orders', partition: 0 }])
    expect((await consumer.poll()).map(textOf), JSON.stringify(reset)).toEqual(values)
  }
  for (const reset of [
    'by_duration:',
    'by_duration:P',
    'by_duration:PT',
    'by_duration:1H',
    { byDuration: -1 },
  ] as const)
    expect(await codeOf(() => log.consumer({ autoOffsetReset: reset as 'by_duration:x' }))).toBe('INVALID_CONFIG')
  await log.close()
})

test('an idle consumer sets one timer per heartbeat', async () => {
  const log = await ClientHarness.open([orders])
  const consumer = log.consumer({ group: 'g' })
  consumer.subscribe(['orders'])
  await consumer.poll()
  const waiting = consumer.poll({ waitMs: 600_000 })
  await log.clock.nextTurn()
  let set = 0
  const setTimer = log.clock.setTimer.bind(log.clock)
  log.clock.setTimer = (delayMs, callback) => {
    set += 1
    return setTimer(delayMs, callback)
  }
  await log.clock.run(300_000)
  // A hundred heartbeats; the others are the group's session timer, checkpoints and housekeeping.
  expect(set).toBeLessThanOrEqual(100 + 50)
  await consumer.close()
  await waiting
  await log.close()
})

test('a log that is closed before its consumers leaves none of their timers behind', async () => {
  const log = await ClientHarness.open([orders])
  const consumer = log.consumer({ group: 'g' })
  consumer.subscribe(['orders'])
  await consumer.poll()
  await log.close()
  expect(log.clock.timers).toBe(0)
  expect(await codeOf(() => consumer.poll())).toBe('CLOSED')
  expect(await codeOf(() => consumer.close())).toBe('none')
})

test.each(['fenced', 'expelled'])(
  'a log that is closed before a consumer that was %s leaves no timer behind',
  async (how) => {
    const log = await ClientHarness.open([orders])
    const open = (): Consumer => {
      const consumer = log.consumer({ group: 'g', ...(how === 'fenced' ? { groupInstanceId: 'a' } : {}) })
      consumer.subscribe(['orders'])
      return consumer
    }
    const first = open()
    await first.poll()
    if (how === 'fenced') await open().poll()
    else log.broker.groups.leave('g', { memberId: first.groupMetadata().memberId, groupInstanceId: null })
    await log.close()
    expect(log.clock.timers).toBe(0)
  },
)
