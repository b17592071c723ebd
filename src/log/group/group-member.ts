import { noBytes } from '../api/record.ts'
import type { GroupRecordMember } from './group-record.ts'
import type { GroupProtocol, JoinAnswer, JoinRequest, SyncAnswer } from './group-requests.ts'

/** One member as its group sees it: what it said when it joined, what it has, and the answers it waits for. */
export class GroupMember {
  memberId: string
  readonly groupInstanceId: string | null
  clientId: string
  clientHost: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  protocols: readonly GroupProtocol[]
  assignment: Uint8Array = noBytes
  /** When (monotonic) it counts as dead, if nothing is heard of it; waiting members do not die. */
  deadline: number = Infinity
  join: Waiting<JoinAnswer> | null = null
  sync: Waiting<SyncAnswer> | null = null
  /** It was told of the generation and has not asked for its assignment. */
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

  /** Whatever it waits for will not come. */
  refuse(error: unknown): void {
    this.join?.reject(error)
    this.sync?.reject(error)
    this.join = null
    this.sync = null
  }

  says(protocols: readonly GroupProtocol[]): boolean {
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

  /** The first of these that it supports. */
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
  // Whoever left before the answer came must not bring the process down.
  made.promise.catch(() => {})
  return made
}

function nothing(): void {}
