import { noBytes } from '../api/record.ts'
import type { GroupRecordMember } from './group-record.ts'
import type { GroupProtocol, JoinAnswer, JoinRequest, SyncAnswer } from './group-requests.ts'

/**
 * A member from its group's point of view: what it stated when it joined, its assignment, and the answers it waits for.
 */
export class GroupMember {
  memberId: string
  readonly groupInstanceId: string | null
  clientId: string
  clientHost: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  protocols: readonly GroupProtocol[]
  assignment: Uint8Array = noBytes
  /** The monotonic time at which it expires without a sign of life; waiting members do not expire. */
  deadline: number = Infinity
  join: Waiting<JoinAnswer> | null = null
  sync: Waiting<SyncAnswer> | null = null
  /** Whether it was told of the generation but has not asked for its assignment yet. */
  mustSync = false
  onChange: () => void

  constructor(memberId: string, request: Omit<JoinRequest, 'group' | 'memberId' | 'requireMemberId' | 'protocolType'>) {
    this.memberId = memberId
    this.groupInstanceId = request.groupInstanceId
    this.clientId = request.clientId
    this.clientHost = request.clientHost
    this.sessionTimeoutMs = request.sessionTimeoutMs
    this.rebalanceTimeoutMs = request.rebalanceTimeoutMs
    this.protocols = request.protocols
    this.onChange = request.onChange ?? nothing
  }

  update(request: JoinRequest): void {
    this.clientId = request.clientId
    this.clientHost = request.clientHost
    this.sessionTimeoutMs = request.sessionTimeoutMs
    this.rebalanceTimeoutMs = request.rebalanceTimeoutMs
    this.protocols = request.protocols
    this.onChange = request.onChange ?? nothing
  }

  /** Rejects whatever the member waits for. */
  refuse(error: unknown): void {
    this.join?.reject(error)
    this.sync?.reject(error)
    this.join = null
    this.sync = null
  }

  hasProtocols(protocols: readonly GroupProtocol[]): boolean {
    return (
      protocols.length === this.protocols.length &&
      protocols.every(({ name, metadata }, index) => {
        const own = this.protocols[index]
        return own !== undefined && own.name === name && Buffer.compare(own.metadata, metadata) === 0
      })
    )
  }

  metadataOf(protocol: string | null): Uint8Array {
    return this.protocols.find(({ name }) => name === protocol)?.metadata ?? noBytes
  }

  /** The first of the candidates in the member's own order of preference. */
  voteFor(candidates: ReadonlySet<string>): string | undefined {
    return this.protocols.find(({ name }) => candidates.has(name))?.name
  }

  record(protocol: string | null): GroupRecordMember {
    const { memberId, groupInstanceId, clientId, clientHost, rebalanceTimeoutMs, sessionTimeoutMs } = this
    return {
      memberId,
      groupInstanceId,
      clientId,
      clientHost,
      rebalanceTimeoutMs,
      sessionTimeoutMs,
      metadata: this.metadataOf(protocol),
      assignment: this.assignment,
    }
  }
}

export interface Waiting<T> {
  readonly promise: Promise<T>
  readonly resolve: (answer: T) => void
  readonly reject: (error: unknown) => void
}

export function waiting<T>(): Waiting<T> {
  const made = Promise.withResolvers<T>()
  // If the member left before the answer, its rejection must not end the process as unhandled.
  made.promise.catch(() => {})
  return made
}

function nothing(): void {}
