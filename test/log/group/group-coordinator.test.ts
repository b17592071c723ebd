import { describe, expect, test } from 'vitest'
import { decodeGroupRecord } from '../../../src/log/group/group-record.ts'
import { inProcessHost } from '../../../src/log/group/group.ts'
import {
  GroupHarness,
  rebalanceTimeoutMs,
  sessionTimeoutMs,
  settle,
  subscribes,
  type HarnessMember,
} from './group-harness.ts'

/** Two members in a stable group, of which the first leads. */
async function pair(log: GroupHarness): Promise<readonly [HarnessMember, HarnessMember]> {
  const first = log.member('a')
  const second = log.member('b')
  await first.joinFully()
  await second.join()
  await first.join()
  await second.sync()
  await first.sync({ [first.memberId]: 'a', [second.memberId]: 'b' })
  expect(log.phase).toBe('stable')
  return [first, second]
}

describe('a rebalance', () => {
  test('of the first member completes at once: it leads, syncs, and the group is stable', async () => {
    const log = new GroupHarness()
    const first = log.member('a')
    await first.join()
    expect([log.phase, first.generation, first.joined?.leader]).toEqual(['completingRebalance', 1, first.memberId])
    await first.sync({ [first.memberId]: 'a' })
    expect([log.phase, first.assigned]).toEqual(['stable', 'a'])
  })

  test('waits for all members, makes one generation, and tells only the leader who they are', async () => {
    const log = new GroupHarness()
    const first = log.member('a')
    await first.joinFully()
    const second = log.member('b')
    await second.join()
    expect([log.phase, second.joined, first.changes]).toEqual(['preparingRebalance', null, 1])
    expect(first.heartbeat()).toBe('REBALANCE_IN_PROGRESS')
    await first.join()
    expect([first.generation, second.generation]).toEqual([2, 2])
    expect(first.joined?.members.map(({ memberId }) => memberId)).toEqual([first.memberId, second.memberId])
    expect(second.joined?.members).toEqual([])
    await second.sync()
    expect(second.synced).toBeNull()
    await first.sync({ [first.memberId]: 'a', [second.memberId]: 'b' })
    expect([first.assigned, second.assigned, log.phase]).toEqual(['a', 'b', 'stable'])
  })

  test('completes without a member that does not rejoin in time', async () => {
    const log = new GroupHarness()
    const [first, second] = await pair(log)
    const third = log.member('c')
    await third.join()
    await first.join()
    for (let passed = 0; passed < rebalanceTimeoutMs; passed += 5000) {
      second.heartbeat()
      await log.clock.run(5000)
    }
    expect(log.members).toEqual([first.memberId, third.memberId])
    expect([first.generation, third.generation]).toEqual([3, 3])
    expect(second.heartbeat()).toBe('UNKNOWN_MEMBER_ID')
  })

  test('drops a member that joined but does not sync in time', async () => {
    const log = new GroupHarness()
    const first = log.member('a')
    const second = log.member('b')
    await first.joinFully()
    await second.join()
    await first.join()
    await first.sync({ [first.memberId]: 'a', [second.memberId]: 'b' })
    for (let passed = 0; passed < rebalanceTimeoutMs; passed += 5000) {
      second.heartbeat()
      first.heartbeat()
      await log.clock.run(5000)
    }
    expect(log.members).toEqual([first.memberId])
    expect(first.heartbeat()).toBe('REBALANCE_IN_PROGRESS')
  })

  test('begins again when a member joins while it completes, and tells those that wait for an assignment', async () => {
    const log = new GroupHarness()
    const first = log.member('a')
    const second = log.member('b')
    await first.joinFully()
    await second.join()
    await first.join()
    await second.sync()
    const third = log.member('c')
    await third.join()
    expect([log.phase, second.failed]).toEqual(['preparingRebalance', 'REBALANCE_IN_PROGRESS'])
    await settle([first, second, third])
    expect([first, second, third].map(({ assigned }) => assigned)).toEqual(['a', 'b', 'c'])
  })

  test('that begins while an assignment is being written discards that assignment', async () => {
    const log = new GroupHarness()
    const first = log.member('a')
    await first.join()
    log.holdWrites = true
    await first.sync({ [first.memberId]: 'a' })
    const second = log.member('b')
    await second.join()
    expect(first.failed).toBe('REBALANCE_IN_PROGRESS')
    await log.finishWrites()
    expect([log.phase, first.synced]).toEqual(['preparingRebalance', null])
  })

  test('hands out the assignment only after it is written', async () => {
    const log = new GroupHarness()
    const first = log.member('a')
    await first.join()
    log.holdWrites = true
    await first.sync({ [first.memberId]: 'a' })
    expect([first.synced, log.phase]).toEqual([null, 'completingRebalance'])
    await log.finishWrites()
    expect([first.assigned, log.phase]).toEqual(['a', 'stable'])
    expect(decodeGroupRecord(log.records.get('g') ?? new Uint8Array(0)).generation).toBe(1)
  })

  test('of an empty group waits groupInitialRebalanceDelayMs for members, and again after each that joins', async () => {
    const log = new GroupHarness({ initialRebalanceDelayMs: 3000 })
    const [first, second, third] = ['a', 'b', 'c'].map((name) => log.member(name)) as [
      HarnessMember,
      HarnessMember,
      HarnessMember,
    ]
    await first.join()
    await log.clock.run(2000)
    await second.join()
    await log.clock.run(2000)
    await third.join()
    expect(log.phase).toBe('preparingRebalance')
    await log.clock.run(2000)
    expect(log.phase).toBe('preparingRebalance')
    await log.clock.run(3000)
    expect([first, second, third].map(({ generation }) => generation)).toEqual([1, 1, 1])
  })

  test('chooses the protocol that all members support and most of them prefer', async () => {
    const log = new GroupHarness()
    const likes = (name: string, protocols: string[]): HarnessMember =>
      log.member(name, { protocols: protocols.map((protocol) => subscribes(protocol, ['orders'])) })
    const members = [likes('a', ['x', 'y', 'z']), likes('b', ['z', 'y']), likes('c', ['z', 'w', 'y'])]
    await members[0]?.joinFully()
    await settle(members)
    expect(members.map(({ joined }) => joined?.protocol)).toEqual(['z', 'z', 'z'])
  })
})

describe('a member', () => {
  test('is removed one session timeout after its last heartbeat, not before, and the others rebalance', async () => {
    const log = new GroupHarness()
    const [first, second] = await pair(log)
    await log.clock.run(sessionTimeoutMs - 1)
    expect(first.heartbeat()).toBe('ok')
    expect(log.members).toHaveLength(2)
    await log.clock.run(1)
    expect(log.members).toEqual([first.memberId])
    expect([first.heartbeat(), second.heartbeat()]).toEqual(['REBALANCE_IN_PROGRESS', 'UNKNOWN_MEMBER_ID'])
    await first.join()
    expect(first.generation).toBe(3)
  })

  test('is not removed for missing heartbeats while the event loop was blocked', async () => {
    const log = new GroupHarness()
    const [first, second] = await pair(log)
    // Due timers fire late, as after a long computation: missing heartbeats in that time mean nothing.
    log.clock.stall(sessionTimeoutMs * 3)
    await log.clock.run(0)
    expect(log.members).toEqual([first.memberId, second.memberId])
    await log.clock.run(sessionTimeoutMs + 1)
    expect(log.members).toEqual([])
  })

  test('is not removed while it waits for the others to join', async () => {
    const log = new GroupHarness()
    const [first] = await pair(log)
    const third = log.member('c')
    await third.join()
    await log.clock.run(sessionTimeoutMs - 1)
    first.heartbeat()
    await log.clock.run(sessionTimeoutMs - 1)
    expect(log.members).toContain(third.memberId)
  })

  test.each(['commits', 'sends a heartbeat'] as const)(
    'is not removed while it waits for the others, even if it %s meanwhile',
    async (sign) => {
      const log = new GroupHarness()
      const [first, second] = await pair(log)
      // A cooperative member keeps its partitions and commits their progress until the rebalance is over.
      await log.member('c').join()
      await second.join()
      if (sign === 'commits') expect(second.commit()).toBe('ok')
      else expect(second.heartbeat()).toBe('REBALANCE_IN_PROGRESS')
      await log.clock.run(sessionTimeoutMs - 1)
      first.heartbeat()
      await log.clock.run(sessionTimeoutMs - 1)
      expect(log.members).toContain(second.memberId)
    },
  )

  test('leaves at once, and the last one leaves an empty group that keeps its generation', async () => {
    const log = new GroupHarness()
    const [first, second] = await pair(log)
    await second.leave()
    expect([log.phase, first.changes > 0]).toEqual(['preparingRebalance', true])
    await first.leave()
    expect([log.phase, log.generation]).toEqual(['empty', 3])
    expect(decodeGroupRecord(log.records.get('g') ?? new Uint8Array(0)).members).toEqual([])
    expect(await first.leave()).toBe('UNKNOWN_MEMBER_ID')
  })

  test('that joins again gets the same answer; a leader that joins again causes a rebalance', async () => {
    const log = new GroupHarness()
    const [first, second] = await pair(log)
    await second.join()
    expect([log.phase, second.joined?.generation]).toEqual(['stable', 2])
    await first.join()
    expect(log.phase).toBe('preparingRebalance')
  })

  test('that changes its topics causes a rebalance', async () => {
    const log = new GroupHarness()
    const [, second] = await pair(log)
    await second.join({ protocols: [subscribes('range', ['orders', 'bills'])] })
    expect(log.phase).toBe('preparingRebalance')
  })

  test('is given an id first if it requires one, and then holds up a rebalance for its session timeout at most', async () => {
    const log = new GroupHarness()
    const first = log.member('a')
    await first.joinFully()
    const second = log.member('b', { requireMemberId: true })
    await second.join()
    expect([second.failed, log.phase]).toEqual(['MEMBER_ID_REQUIRED', 'stable'])
    const third = log.member('c')
    await third.join()
    await first.join()
    expect(third.joined).toBeNull()
    await log.clock.run(sessionTimeoutMs)
    expect(third.joined).not.toBeNull()
  })

  test('can join with the id that it was given', async () => {
    const log = new GroupHarness()
    let given = ''
    try {
      log.coordinator.join({
        group: 'g',
        memberId: '',
        groupInstanceId: null,
        clientId: 'wire',
        clientHost: '/10.0.0.1',
        protocolType: 'consumer',
        protocols: [subscribes('range', ['orders'])],
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        requireMemberId: true,
      })
    } catch (error) {
      given = (error as { values: { memberId: string } }).values.memberId
    }
    const wire = log.member('wire', { requireMemberId: true })
    wire.memberId = given
    await wire.join()
    expect([wire.joined?.memberId, wire.joined?.generation]).toEqual([given, 1])
  })

  test('is refused with a wrong id, generation, protocol or timeout, and in a full group', async () => {
    const log = new GroupHarness({ membersMax: 1 })
    const first = log.member('a')
    await first.joinFully()
    const stranger = log.member('s')
    stranger.memberId = 'nobody'
    await stranger.join()
    expect(stranger.failed).toBe('UNKNOWN_MEMBER_ID')
    const cases: readonly (readonly [object, string])[] = [
      [{ protocols: [subscribes('sticky', ['orders'])] }, 'INCONSISTENT_GROUP_PROTOCOL'],
      [{ protocolType: 'connect' }, 'INCONSISTENT_GROUP_PROTOCOL'],
      [{ protocols: [] }, 'INCONSISTENT_GROUP_PROTOCOL'],
      [{ sessionTimeoutMs: 5999 }, 'INVALID_SESSION_TIMEOUT'],
      [{ sessionTimeoutMs: 1_800_001 }, 'INVALID_SESSION_TIMEOUT'],
      [{ group: '' }, 'INVALID_GROUP_ID'],
      [{ group: 'g'.repeat(250) }, 'INVALID_GROUP_ID'],
      [{}, 'GROUP_MAX_SIZE_REACHED'],
    ]
    for (const [options, code] of cases) {
      const other = log.member('o', options)
      await other.join()
      expect(other.failed, JSON.stringify(options)).toBe(code)
    }
    first.generation = 7
    expect(first.heartbeat()).toBe('ILLEGAL_GENERATION')
    await first.sync()
    expect(first.failed).toBe('ILLEGAL_GENERATION')
  })
})

describe('a static member', () => {
  const instance = (log: GroupHarness, name: string): HarnessMember => log.member(name, { groupInstanceId: name })

  test('rejoins under its instance id without a rebalance, and its predecessor is fenced', async () => {
    const log = new GroupHarness()
    const members = [instance(log, 'a'), instance(log, 'b')] as const
    await settle(members)
    await settle(members)
    expect(log.phase).toBe('stable')
    const generation = log.generation
    for (const name of ['b', 'a']) {
      const again = instance(log, name)
      await again.join()
      expect([again.joined?.generation, log.phase]).toEqual([generation, 'stable'])
      expect(again.joined?.skipAssignment).toBe(again.joined?.leader === again.memberId)
      await again.sync()
      expect(again.assigned).toBe(name)
      const before = members.find((member) => member.name === name)
      expect([before?.heartbeat(), before?.commit()]).toEqual(['FENCED_INSTANCE_ID', 'FENCED_INSTANCE_ID'])
      expect(again.heartbeat()).toBe('ok')
    }
  })

  test('that rejoins with other topics causes a rebalance', async () => {
    const log = new GroupHarness()
    await instance(log, 'a').joinFully()
    const again = instance(log, 'a')
    await again.join({ protocols: [subscribes('range', ['bills'])] })
    expect([again.joined?.generation, log.phase]).toEqual([2, 'completingRebalance'])
  })

  test('stays a member through a rebalance that it misses, until its session ends', async () => {
    const log = new GroupHarness()
    const still = log.member('a', { groupInstanceId: 'a', sessionTimeoutMs: rebalanceTimeoutMs * 3 })
    await still.joinFully()
    const other = log.member('b', { sessionTimeoutMs: rebalanceTimeoutMs * 3 })
    await other.join()
    await log.clock.run(rebalanceTimeoutMs)
    expect(other.joined?.members.map(({ memberId }) => memberId)).toEqual([still.memberId, other.memberId])
    await other.sync({ [still.memberId]: 'a', [other.memberId]: 'b' })
    await log.clock.run(rebalanceTimeoutMs)
    expect(log.members).toContain(still.memberId)
    other.heartbeat()
    await log.clock.run(rebalanceTimeoutMs)
    expect(log.members).toEqual([other.memberId])
  })

  test('can be removed by its instance id alone', async () => {
    const log = new GroupHarness()
    await instance(log, 'a').joinFully()
    log.coordinator.leave('g', { memberId: '', groupInstanceId: 'a' })
    expect(log.members).toEqual([])
  })
})

describe('offsets are committed', () => {
  test('by a member of the generation, and by nobody else', async () => {
    const log = new GroupHarness()
    const [first, second] = await pair(log)
    expect(first.commit()).toBe('ok')
    const check = (memberId: string, generation: number): string => {
      const member = log.member('x')
      member.memberId = memberId
      member.generation = generation
      return member.commit()
    }
    expect(check('', -1)).toBe('UNKNOWN_MEMBER_ID')
    expect(check('x', 2)).toBe('UNKNOWN_MEMBER_ID')
    expect(check(first.memberId, 1)).toBe('ILLEGAL_GENERATION')
    await second.leave()
    // While the rebalance waits for the members, they can still commit.
    expect(first.commit()).toBe('ok')
    await first.join()
    expect(first.commit()).toBe('REBALANCE_IN_PROGRESS')
    log.coordinator.checkTransactionalCommit({
      group: 'g',
      generation: 3,
      memberId: first.memberId,
      groupInstanceId: null,
    })
    await first.leave()
    expect(check('', -1)).toBe('ok')
    expect(first.commit()).toBe('UNKNOWN_MEMBER_ID')
  })

  test('and count as a heartbeat', async () => {
    const log = new GroupHarness()
    const [first, second] = await pair(log)
    for (let turn = 0; turn < 5; turn++) {
      await log.clock.run(sessionTimeoutMs - 1)
      expect([first.commit(), second.commit()]).toEqual(['ok', 'ok'])
    }
    expect(log.phase).toBe('stable')
  })
})

describe('after a restart', () => {
  test('members of other processes find the group unchanged', async () => {
    const log = new GroupHarness()
    const [first, second] = await pair(log)
    log.restart()
    expect([log.phase, log.generation]).toEqual(['stable', 2])
    expect([first.heartbeat(), second.commit()]).toEqual(['ok', 'ok'])
    await second.sync()
    expect(second.assigned).toBe('b')
    await log.clock.run(sessionTimeoutMs)
    expect(log.phase).toBe('empty')
  })

  test('members of the restarted process are gone, and the generation continues', async () => {
    const log = new GroupHarness()
    const own = log.member('a', { clientHost: inProcessHost })
    await own.joinFully()
    log.restart()
    expect([log.phase, log.members, log.generation]).toEqual(['empty', [], 1])
    expect(own.heartbeat()).toBe('UNKNOWN_MEMBER_ID')
    const again = log.member('a', { clientHost: inProcessHost })
    await again.join()
    expect(again.generation).toBe(2)
  })

  test('a static member of the process gets back its assignment without a rebalance', async () => {
    const log = new GroupHarness()
    const own = { clientHost: inProcessHost, groupInstanceId: 'a' }
    await log.member('a', own).joinFully()
    log.restart()
    const again = log.member('a', own)
    await again.join()
    await again.sync()
    expect([again.assigned, again.generation]).toEqual(['a', 1])
  })

  test('the remaining members have to rebalance when members of the process are gone', async () => {
    const log = new GroupHarness()
    const remote = log.member('a')
    const own = log.member('b', { clientHost: inProcessHost })
    await remote.joinFully()
    await own.join()
    await settle([remote, own])
    log.restart()
    expect([log.phase, log.members]).toEqual(['preparingRebalance', [remote.memberId]])
    await remote.join()
    expect(remote.generation).toBe(3)
  })
})

test('a stable group sets one timer per session timeout, however many heartbeats it gets', async () => {
  const log = new GroupHarness()
  const [first, second] = await pair(log)
  let set = 0
  const setTimer = log.clock.setTimer.bind(log.clock)
  log.clock.setTimer = (delayMs, callback) => {
    set += 1
    return setTimer(delayMs, callback)
  }
  for (let passed = 0; passed < 20 * sessionTimeoutMs; passed += 500) {
    first.heartbeat()
    second.heartbeat()
    await log.clock.run(500)
  }
  expect(set).toBeLessThanOrEqual(22)
  expect(log.clock.timers).toBe(1)
})
