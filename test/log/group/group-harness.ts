import { LogError } from '../../../src/log/api/errors.ts'
import { decodeAssignment, encodeAssignment, encodeSubscription } from '../../../src/log/group/consumer-protocol.ts'
import { GroupCoordinator } from '../../../src/log/group/group-coordinator.ts'
import type { GroupAnswer, JoinAnswer, JoinRequest, SyncAnswer } from '../../../src/log/group/group-requests.ts'
import type { GroupPhase } from '../../../src/log/group/group-lifecycle.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'

export const sessionTimeoutMs = 10_000
export const rebalanceTimeoutMs = 60_000

/** A coordinator with a manual clock and its records in a map, and members that send what a test tells them to. */
export class GroupHarness {
  readonly clock: ManualClock = new ManualClock(1_700_000_000_000)
  readonly records: Map<string, Uint8Array | null> = new Map()
  coordinator: GroupCoordinator
  /** Writes wait for `finishWrites` while this is on. */
  holdWrites = false
  readonly #held: (() => void)[] = []
  readonly #options: { readonly initialRebalanceDelayMs?: number; readonly membersMax?: number }
  #ids = 0

  constructor(options: { readonly initialRebalanceDelayMs?: number; readonly membersMax?: number } = {}) {
    this.#options = options
    this.coordinator = this.#open()
  }

  #open(): GroupCoordinator {
    return new GroupCoordinator({
      clock: this.clock,
      newId: () => `id${++this.#ids}`,
      write: async (group, record) => {
        if (this.holdWrites) await new Promise<void>((resolve) => this.#held.push(resolve))
        this.records.set(group, record)
      },
      initialRebalanceDelayMs: 0,
      membersMax: 100,
      sessionTimeoutMsMin: 6000,
      sessionTimeoutMsMax: 1_800_000,
      ...this.#options,
    })
  }

  async finishWrites(): Promise<void> {
    this.holdWrites = false
    for (const finish of this.#held.splice(0)) finish()
    await this.clock.nextTurn()
  }

  /** The process ends, and another one restores the coordinator from its records. */
  restart(): void {
    this.coordinator.close()
    this.coordinator = this.#open()
    for (const [group, record] of this.records) if (record !== null) this.coordinator.restore(group, record)
  }

  get phase(): GroupPhase | undefined {
    return this.coordinator.get('g')?.phase
  }

  get generation(): number | undefined {
    return this.coordinator.get('g')?.generation
  }

  get members(): readonly string[] {
    return this.coordinator.get('g')?.members.map(({ memberId }) => memberId) ?? []
  }

  member(name: string, options: Partial<JoinRequest> = {}): HarnessMember {
    return new HarnessMember(this, name, options)
  }
}

/** A client that is driven by hand and keeps every answer. */
export class HarnessMember {
  readonly #log: GroupHarness
  readonly #options: Partial<JoinRequest>
  readonly name: string
  memberId = ''
  generation = -1
  joined: JoinAnswer | null = null
  synced: SyncAnswer | null = null
  /** The code of the last error. */
  failed: string | null = null
  changes = 0

  constructor(log: GroupHarness, name: string, options: Partial<JoinRequest>) {
    this.#log = log
    this.name = name
    this.#options = options
  }

  get #named(): { memberId: string; groupInstanceId: string | null } {
    return { memberId: this.memberId, groupInstanceId: this.#options.groupInstanceId ?? null }
  }

  async join(options: Partial<JoinRequest> = {}): Promise<void> {
    this.joined = null
    this.synced = null
    await this.#ask<JoinAnswer>(
      () =>
        this.#log.coordinator.join({
          group: 'g',
          ...this.#named,
          clientId: this.name,
          clientHost: '/127.0.0.1',
          protocolType: 'consumer',
          protocols: [subscribes('range', ['orders'])],
          sessionTimeoutMs,
          rebalanceTimeoutMs,
          requireMemberId: false,
          onChange: () => this.changes++,
          ...this.#options,
          ...options,
        }),
      (answer) => {
        this.joined = answer
        this.memberId = answer.memberId
        this.generation = answer.generation
      },
    )
  }

  async sync(assignments: Readonly<Record<string, string>> = {}): Promise<void> {
    const bytes = Object.entries(assignments).map(([id, topic]) => [id, assigns(topic)] as const)
    await this.#ask<SyncAnswer>(
      () =>
        this.#log.coordinator.sync({
          group: 'g',
          ...this.#named,
          generation: this.generation,
          protocolType: 'consumer',
          protocol: null,
          assignments: new Map(bytes),
        }),
      (answer) => (this.synced = answer),
    )
  }

  get assigned(): string | undefined {
    return this.synced === null ? undefined : decodeAssignment(this.synced.assignment).partitions[0]?.topic
  }

  async #ask<T>(ask: () => GroupAnswer<T>, answered: (answer: T) => void): Promise<void> {
    this.failed = null
    try {
      const { memberId, answer } = ask()
      this.memberId = memberId
      answer.then(answered, (error: unknown) => (this.failed = codeOfError(error)))
    } catch (error) {
      this.failed = codeOfError(error)
    }
    await this.#log.clock.nextTurn()
  }

  heartbeat(): string {
    return codeOfCall(() =>
      this.#log.coordinator.heartbeat({ group: 'g', ...this.#named, generation: this.generation }),
    )
  }

  commit(): string {
    return codeOfCall(() =>
      this.#log.coordinator.checkCommit({ group: 'g', ...this.#named, generation: this.generation }),
    )
  }

  async leave(): Promise<string> {
    const code = codeOfCall(() => this.#log.coordinator.leave('g', this.#named))
    await this.#log.clock.nextTurn()
    return code
  }

  /** Joins and syncs as the only member of the group. */
  async joinFully(): Promise<void> {
    await this.join()
    await this.sync({ [this.memberId]: this.name })
  }
}

/** All of these members join (again), and the leader assigns each its own name. */
export async function settle(members: readonly HarnessMember[]): Promise<void> {
  // The first member joins last: alone in the group its rebalance would complete at once.
  for (const member of members.toReversed()) await member.join()
  const leader = members.find(({ joined }) => joined !== null && joined.leader === joined.memberId)
  const assignments = Object.fromEntries(members.map(({ memberId, name }) => [memberId, name]))
  for (const member of members) if (member !== leader) await member.sync()
  await leader?.sync(assignments)
}

export function subscribes(protocol: string, topics: readonly string[]): { name: string; metadata: Uint8Array } {
  return { name: protocol, metadata: encodeSubscription({ topics, userData: null, owned: [], generation: -1 }) }
}

export function assigns(topic: string): Uint8Array {
  return encodeAssignment({ partitions: [{ topic, partition: 0 }], userData: null })
}

export function codeOfError(error: unknown): string {
  return error instanceof LogError ? error.code : String(error)
}

function codeOfCall(act: () => void): string {
  try {
    act()
    return 'ok'
  } catch (error) {
    return codeOfError(error)
  }
}
