import { Observable, type Subscriber } from 'rxjs'
import type { OptionNames } from '../base/option-names.ts'
import { shown } from '../base/shown.ts'
import type { Topic } from '../codec/topic.ts'
import { checkOptions } from '../log/api/checked-options.ts'
import { LogError } from '../log/api/errors.ts'
import type { Bounds, Isolation } from '../log/api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../log/api/record.ts'
import { checkDeclaredTopic, checkInteger, checkList } from '../log/client/checked-arguments.ts'
import type { ConsumerRecord } from '../log/client/consumer/consumer-options.ts'
import type { Consumer } from '../log/client/consumer/consumer.ts'
import type { EmbeddedLog } from '../log/embedded-log.ts'

/*
 * From a topic to an observable. Each subscription has a consumer of its own, which reads only after everything that it
 * read before has been pushed: while an observer is busy, nothing is fetched, and at most `maxPollRecords` records are
 * in memory.
 *
 * An observer that starts asynchronous work and returns cannot signal that it is busy, so operators such as `concatMap`
 * buffer the records that arrive meanwhile. For such work, iterate over a consumer.
 */

/** Where a subscription starts to read: at the first record, after the last one, at an offset, or at a timestamp in ms. */
export type ReadFrom = 'earliest' | 'latest' | { readonly offset: Offset } | { readonly timestamp: number }

/** Options of `toObservable`: what to read, from where, until when, and for which group. */
export interface ToObservableOptions {
  /**
   * Default `latest`, as in Kafka: records that are appended from now on. With a group, used only without a committed
   * offset.
   */
  readonly from?: ReadFrom
  /** Which partitions to read. Default all. Not possible with a group, which assigns the partitions. */
  readonly partitions?: readonly number[]
  /**
   * Reads as a member of this group, from the partitions that are assigned to it: continues at the committed offsets, and
   * commits what observers have received every `autoCommitIntervalMs` and at the end. Default none. Kafka: `group.id`.
   */
  readonly group?: string
  /** Time between commits of the group. Default 5000 ms. Kafka: `auto.commit.interval.ms`. */
  readonly autoCommitIntervalMs?: number
  /**
   * `end`: completes when everything that was in the topic on subscribing has been pushed (with a group, everything in its
   * partitions). `never` (default): completes when the log closes.
   */
  readonly until?: 'end' | 'never'
  /**
   * What happens to a record that cannot be read as declared. `error` (default): the observable errors. A function is
   * called with the error, and reading continues after the record.
   */
  readonly onInvalid?: 'error' | ((error: LogError) => void)
  /** Most records that are read, and so held, at a time. Default 500. Kafka: `max.poll.records`. */
  readonly maxPollRecords?: number
  /** Most bytes that are fetched at a time. Default 1 MiB. Kafka: `fetch.max.bytes`. */
  readonly fetchBytesMax?: number
  /** Which records are visible. Default `committed`. Kafka: `isolation.level`. */
  readonly isolation?: Isolation
}

const toObservableOptionNames: OptionNames<ToObservableOptions> = {
  from: true,
  partitions: true,
  group: true,
  autoCommitIntervalMs: true,
  until: true,
  onInvalid: true,
  maxPollRecords: true,
  fetchBytesMax: true,
  isolation: true,
}

/**
 * The records of a topic as a cold observable: every subscription reads on its own, starting at `from`. Records of a partition
 * are pushed in the order of their offsets. Unsubscribing stops reading and closes the consumer; with a group, what was not
 * pushed is delivered again next time. Completes as `until` says, or when the log closes. Errors are those of a
 * {@link Consumer}.
 * @example
 * toObservable(log, pageViews, { from: 'earliest', until: 'end' })
 *   .pipe(filter(({ value }) => value.status >= 500), take(10))
 *   .subscribe(({ timestamp, value }) => show(timestamp, value.path))
 */
export function toObservable<K, V>(
  log: Pick<EmbeddedLog, 'consumer' | 'admin' | 'bounds'>,
  topic: Topic<K, V, never, never>,
  options: ToObservableOptions = {},
): Observable<ConsumerRecord<K, V>> {
  checkReading(options)
  checkDeclaredTopic(topic)
  return new Observable((subscriber) => {
    let reading: Reading<K, V>
    try {
      reading = new Reading(log, topic, options, subscriber)
    } catch (error) {
      subscriber.error(error)
      return undefined
    }
    void reading.run()
    return () => reading.wakeup()
  })
}

/** Throws INVALID_CONFIG for unknown options and for combinations that are not possible. */
function checkReading(options: ToObservableOptions): void {
  checkOptions('toObservable', options, toObservableOptionNames)
  const { from, group, partitions, until, onInvalid } = options
  if (group !== undefined && (typeof from === 'object' || partitions !== undefined)) {
    throw new LogError(
      'INVALID_CONFIG',
      `group ${group} decides by its committed offsets what is read: leave partitions out, and from at earliest or latest`,
      { group },
    )
  }
  if (from !== undefined && from !== 'earliest' && from !== 'latest' && !isPlaced(from))
    throw new LogError('INVALID_CONFIG', `from is ${shown(from)}: use earliest, latest, an offset or a timestamp`)
  if (partitions !== undefined) {
    checkList('partitions', partitions)
    for (const partition of partitions) checkInteger('a number in partitions', partition)
  }
  if (until !== undefined && until !== 'end' && until !== 'never')
    throw new LogError('INVALID_CONFIG', `until is ${String(until)}: use end or never`)
  if (onInvalid !== undefined && onInvalid !== 'error' && typeof onInvalid !== 'function')
    throw new LogError('INVALID_CONFIG', `onInvalid is ${String(onInvalid)}: use error or a function`)
}

function isPlaced(from: unknown): boolean {
  return typeof from === 'object' && from !== null && ('offset' in from || 'timestamp' in from)
}

class Reading<K, V> {
  readonly #consumer: Consumer<K, V>
  readonly #subscriber: Subscriber<ConsumerRecord<K, V>>
  readonly #onInvalid: 'error' | ((error: LogError) => void)
  /** The offset up to which each partition is read; null if there is no end. */
  readonly #ends: Promise<ReadonlyMap<string, Offset>> | null
  /** Whether the partitions are known: at once without a group, otherwise after the first assignment. */
  #isAssigned = false
  /** Partitions whose position was set back to a record that was not pushed. */
  readonly #putBack = new Set<string>()

  constructor(
    log: Pick<EmbeddedLog, 'consumer' | 'admin' | 'bounds'>,
    topic: Topic<K, V, never, never>,
    options: ToObservableOptions,
    subscriber: Subscriber<ConsumerRecord<K, V>>,
  ) {
    const { from = 'latest', group, autoCommitIntervalMs, maxPollRecords, fetchBytesMax, isolation } = options
    this.#subscriber = subscriber
    this.#onInvalid = options.onInvalid ?? 'error'
    this.#consumer = log.consumer({
      topics: [topic],
      autoOffsetReset: from === 'latest' ? 'latest' : 'earliest',
      ...(group === undefined ? {} : { group }),
      ...(autoCommitIntervalMs === undefined ? {} : { autoCommitIntervalMs }),
      ...(maxPollRecords === undefined ? {} : { maxPollRecords }),
      ...(fetchBytesMax === undefined ? {} : { fetchBytesMax }),
      ...(isolation === undefined ? {} : { isolation }),
    })
    try {
      const all = log.admin.describeTopic(topic.name).bounds.map(({ at }) => at)
      this.#start(
        topic.name,
        options.partitions?.map((partition) => ({ topic: topic.name, partition })) ?? all,
        options,
      )
      // Requested now, so that it is the end at the time of the subscription.
      this.#ends = options.until === 'end' ? endsOf(log.bounds(all, isolation ?? 'committed')) : null
    } catch (error) {
      void this.#consumer.close()
      throw error
    }
  }

  #start(topic: string, at: readonly TopicPartition[], { from, group, until }: ToObservableOptions): void {
    const consumer = this.#consumer
    if (group !== undefined) {
      const onPartitionsAssigned = (): void => {
        this.#isAssigned = true
        // Everything may have been read already; the poll must then not wait for records.
        if (until === 'end') consumer.wakeup()
      }
      return consumer.subscribe([topic], { onPartitionsAssigned })
    }
    consumer.assign(at)
    this.#isAssigned = true
    if (typeof from !== 'object') return
    for (const place of consumer.assignment) {
      if ('offset' in from) this.#seekChecked(place, from.offset)
      else consumer.seek(place, from)
    }
  }

  #seekChecked(at: TopicPartition, offset: Offset): void {
    const consumer = this.#consumer
    consumer.seek(at, 'beginning')
    const start = consumer.position(at)
    consumer.seek(at, 'end')
    const end = consumer.position(at)
    if (!Number.isSafeInteger(offset) || offset < start || offset > end) {
      throw new LogError(
        'OFFSET_OUT_OF_RANGE',
        `${partitionName(at)} has the offsets ${start} to ${end}, not ${offset}: use one of them; partitions chooses where it counts`,
        { ...at, offset, start, end },
      )
    }
    consumer.seek(at, offset)
  }

  /** Ends a wait for records, because the observer has unsubscribed. */
  wakeup(): void {
    this.#consumer.wakeup()
  }

  async run(): Promise<void> {
    let failure: { readonly error: unknown } | null = null
    try {
      const ends = await this.#ends
      while (!this.#subscriber.closed && !this.#isAt(ends)) this.#push(await this.#poll(), ends)
    } catch (error) {
      if (!isClosed(error)) failure = { error }
    }
    try {
      // Before the observer learns of the end, so that the offsets of a group are committed by then.
      await this.#consumer.close()
    } catch (error) {
      if (!isClosed(error)) failure ??= { error }
    }
    // Has no effect if the observer has unsubscribed.
    if (failure === null) this.#subscriber.complete()
    else this.#subscriber.error(failure.error)
  }

  async #poll(): Promise<readonly ConsumerRecord<K, V>[]> {
    try {
      // There may be offsets without a record after the last one; the position passes them, although the poll returns
      // nothing.
      return await this.#consumer.poll({ waitMs: this.#ends === null ? pollWaitMs : endWaitMs })
    } catch (error) {
      if (this.#onInvalid === 'error' || !(error instanceof LogError) || error.code !== 'INVALID_RECORD') throw error
      this.#skip(error)
      this.#onInvalid(error)
      return []
    }
  }

  #skip(error: LogError): void {
    const { topic, partition, offset } = error.values
    if (typeof topic !== 'string' || typeof partition !== 'number' || typeof offset !== 'number') throw error
    this.#consumer.seek({ topic, partition }, offset + 1)
  }

  #push(records: readonly ConsumerRecord<K, V>[], ends: ReadonlyMap<string, Offset> | null): void {
    this.#putBack.clear()
    for (const record of records) {
      const isBeyondEnd = ends !== null && record.offset >= (ends.get(partitionName(record)) ?? 0)
      if (this.#subscriber.closed || isBeyondEnd) this.#putBackAt(record)
      else this.#subscriber.next(record)
    }
  }

  /**
   * The consumer's position is after all records that it returned and would be committed, so it is set back to the
   * first record that was not pushed.
   */
  #putBackAt({ topic, partition, offset }: ConsumerRecord<K, V>): void {
    const at = { topic, partition }
    const name = partitionName(at)
    if (this.#putBack.has(name)) return
    this.#putBack.add(name)
    this.#consumer.seek(at, offset)
    this.#consumer.pause([at])
  }

  #isAt(ends: ReadonlyMap<string, Offset> | null): boolean {
    if (ends === null || !this.#isAssigned) return false
    return this.#consumer.assignment.every((at) => this.#positionOf(at) >= (ends.get(partitionName(at)) ?? 0))
  }

  /** -1 while an open transaction may still change the offset at which the group begins: polls wait for its end. */
  #positionOf(at: TopicPartition): Offset {
    try {
      return this.#consumer.position(at)
    } catch (error) {
      if (error instanceof LogError && error.code === 'NO_OFFSET') return -1
      throw error
    }
  }
}

async function endsOf(bounds: Promise<readonly Bounds[]>): Promise<ReadonlyMap<string, Offset>> {
  return new Map((await bounds).map(({ at, end }) => [partitionName(at), end]))
}

/** Longest wait of a poll; unsubscribing ends it early. */
const pollWaitMs = 60_000
/** The same while an end is set, which must be noticed soon even if no record arrives. */
const endWaitMs = 50

function isClosed(error: unknown): boolean {
  return error instanceof LogError && error.code === 'CLOSED'
}
