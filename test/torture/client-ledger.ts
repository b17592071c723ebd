import type { Isolation } from '../../src/log/api/log.ts'
import type { TopicInfo } from '../../src/log/api/topic.ts'

/**
 * What clients have sent, and what is known of it: the plain model against which a log is held.
 *
 * - Each record has a value of its own, so that a record that is read is known by its value.
 * - A record that was acknowledged, or read once, has its place for good.
 * - A topic that was deleted and created anew is another {@link Incarnation}.
 * - Records that were under way when the process ended are there afterwards, or never will be.
 */
export class Ledger {
  readonly #byValue = new Map<string, Sent>()
  readonly #byId = new Map<string, Incarnation>()
  readonly #fault: (text: string) => void
  /** The records that may still come into the log. */
  readonly #open = new Set<Sent>()
  readonly transactions: Set<Transaction> = new Set()

  constructor(fault: (text: string) => void) {
    this.#fault = fault
  }

  get incarnations(): Iterable<Incarnation> {
    return this.#byId.values()
  }

  incarnation(info: TopicInfo): Incarnation {
    const known = this.#byId.get(info.id)
    if (known !== undefined) return known
    const incarnation = new Incarnation(info, this.#byId.size)
    this.#byId.set(info.id, incarnation)
    return incarnation
  }

  begin(): Transaction {
    const transaction: Transaction = { outcome: 'open', ended: false, records: [] }
    this.transactions.add(transaction)
    return transaction
  }

  sent(
    record: Pick<Sent, 'value' | 'key' | 'writer' | 'index' | 'incarnation' | 'transaction' | 'copyOf' | 'sentAt'>,
  ): Sent {
    const sent: Sent = { ...record, outcome: 'underWay', place: null, offset: -1 }
    this.#byValue.set(sent.value, sent)
    this.#open.add(sent)
    sent.transaction?.records.push(sent)
    return sent
  }

  /** `incarnation`: the topic that has the record's name now. Without an offset (a flush) only the record is there. */
  acknowledged(sent: Sent, incarnation: Incarnation | undefined, at?: { partition: number; offset: number }): void {
    sent.outcome = 'acked'
    if (at === undefined || at.offset < 0) return
    // If the topic was created anew meanwhile, the record may have gone to either.
    if (incarnation === undefined || incarnation !== sent.incarnation) return
    this.#settle(sent, incarnation.place(at.partition), at.offset)
  }

  refused(sent: Sent): void {
    sent.outcome = 'refused'
    this.#open.delete(sent)
    if (sent.place !== null) this.#fault(`${sent.value} is in ${sent.place.name} although it was refused`)
  }

  /** It failed in a way that leaves open whether it was written. */
  uncertain(sent: Sent): void {
    sent.outcome = 'unknown'
  }

  /** A record that somebody has read. */
  read(place: Place, offset: number, value: string): Sent | null {
    const sent = this.#byValue.get(value)
    if (sent === undefined) {
      this.#fault(`${place.name} has ${value} at ${offset}, which nobody sent`)
      return null
    }
    if (sent.outcome === 'refused') this.#fault(`${place.name} has ${value} at ${offset} although it was refused`)
    this.#settle(sent, place, offset)
    return sent
  }

  of(value: string): Sent | undefined {
    return this.#byValue.get(value)
  }

  #settle(sent: Sent, place: Place, offset: number): void {
    if (sent.place !== null && (sent.place !== place || sent.offset !== offset))
      this.#fault(`${sent.value} is at ${offset} of ${place.name}, and at ${sent.offset} of ${sent.place.name}`)
    const other = place.known.get(offset)
    if (other !== undefined && other !== sent)
      this.#fault(`offset ${offset} of ${place.name} has ${sent.value}, it had ${other.value}`)
    sent.place = place
    sent.offset = offset
    place.known.set(offset, sent)
    this.#open.delete(sent)
  }

  /** Records that were acknowledged without an offset (or for a topic that was just replaced) and were not read yet. */
  get unplaced(): readonly Sent[] {
    return [...this.#open].filter(({ outcome }) => outcome === 'acked')
  }

  /** The process has ended, and everything in the log was read: what is not there never will be. */
  processEnded(): void {
    for (const sent of this.#open) if (sent.outcome !== 'acked') sent.outcome = 'refused'
    for (const sent of this.#open) if (sent.outcome === 'refused') this.#open.delete(sent)
    for (const transaction of this.transactions) if (transaction.outcome === 'open') transaction.outcome = 'aborted'
  }
}

/** A topic from its creation to its deletion. */
export class Incarnation {
  readonly topic: string
  readonly id: string
  readonly number: number
  readonly #places: Place[] = []
  /** Partitions that it must have at least. */
  partitions: number
  deleteAsked = false
  /** The world's step at which its deletion was acknowledged. */
  deletedAt: number = Infinity
  /** Whether its creation was acknowledged. */
  created = false
  /** Least limits that its settings ever had. */
  retentionMs: number = Infinity
  retentionBytes: number = Infinity
  /** Whether it may have been compacted. */
  compacts = false

  constructor({ name, id, partitions, config }: TopicInfo, number: number) {
    this.topic = name
    this.id = id
    this.number = number
    this.partitions = partitions
    this.configured(config)
  }

  /** Called with settings as soon as they may be in force. */
  configured({ cleanupPolicy, retentionMs, retentionBytes }: Partial<TopicInfo['config']>): void {
    if (cleanupPolicy?.includes('compact') === true) this.compacts = true
    if (retentionMs !== undefined && retentionMs >= 0) this.retentionMs = Math.min(this.retentionMs, retentionMs)
    if (retentionBytes !== undefined && retentionBytes >= 0)
      this.retentionBytes = Math.min(this.retentionBytes, retentionBytes)
  }

  /** Whether records were asked to be deleted. */
  get hasDeleted(): boolean {
    return this.#places.some((place) => place.deletedBelow > 0)
  }

  place(partition: number): Place {
    this.#places[partition] ??= new Place(this, partition)
    return this.#places[partition]
  }
}

/** A partition of one incarnation of a topic. */
export class Place {
  readonly incarnation: Incarnation
  readonly partition: number
  readonly known: Map<number, Sent> = new Map()
  /** Records below this offset were asked to be deleted. */
  deletedBelow = 0
  readonly name: string

  constructor(incarnation: Incarnation, partition: number) {
    this.incarnation = incarnation
    this.partition = partition
    this.name = `${incarnation.topic}-${partition} (topic ${incarnation.number})`
  }

  get at(): { readonly topic: string; readonly partition: number } {
    return { topic: this.incarnation.topic, partition: this.partition }
  }
}

export interface Sent {
  readonly value: string
  readonly key: string
  /** One producer object, and the position among its sends. */
  readonly writer: string
  readonly index: number
  /** The topic that had the name when it was sent. */
  readonly incarnation: Incarnation | null
  readonly transaction: Transaction | null
  /** By the wall clock. */
  readonly sentAt: number
  /** The record that it was made from. */
  readonly copyOf: Sent | null
  outcome: 'underWay' | 'acked' | 'refused' | 'unknown'
  place: Place | null
  offset: number
}

export interface Transaction {
  /** `unknown`: it was asked to commit, without an answer so far. */
  outcome: 'open' | 'unknown' | 'committed' | 'aborted'
  /** Its end was acknowledged. */
  ended: boolean
  readonly records: Sent[]
}

/** Whether a reader certainly sees the record. */
export function isVisible({ transaction }: Sent, isolation: Isolation): boolean {
  return isolation === 'durable' || transaction === null || transaction.outcome === 'committed'
}
