import { isObservable, type Observable, Subject, takeUntil } from 'rxjs'
import { Lifecycle, type Transitions } from '../base/lifecycle.ts'
import type { OptionNames } from '../base/option-names.ts'
import { shown } from '../base/shown.ts'
import type { Topic } from '../codec/topic.ts'
import { checkOptions } from '../log/api/checked-options.ts'
import { LogError } from '../log/api/errors.ts'
import { checkDeclaredTopic, checkSignal } from '../log/client/checked-arguments.ts'
import { clientNumbers, type ClientNumber } from '../log/client/client-options.ts'
import type { ProducerOptions, TypedRecord } from '../log/client/producer/producer-options.ts'
import type { Producer } from '../log/client/producer/producer.ts'
import type { EmbeddedLog } from '../log/embedded-log.ts'
import { WaitingRecords } from './waiting-records.ts'

/*
 * From an observable into a topic. An observable pushes and cannot be told to wait, while a log accepts only what its
 * disk can write. The buffer in between has two bounds, the bytes of the producer and the number of records that wait
 * for it. What happens beyond them is the user's choice.
 *
 * - Records are appended in the order in which they were pushed, except those that were dropped.
 * - Every record that was received before the end, an error or an unsubscribe and was not dropped is durable when the
 *   feed finishes. A record that the topic refuses ends the feed; records received after it are not appended.
 * - One flush is in flight at a time; records that are pushed meanwhile share the next one.
 *
 * An error that the producer's own retries cannot resolve ends the feed, because a log that fails to write stays
 * failed.
 */

/** A record that an observable may push: one for the topic, without the topic's name. */
export type FedRecord<KIn, VIn> = Omit<TypedRecord<KIn, VIn>, 'topic'>

/**
 * What happens to a record that is pushed while the producer is full and `bufferRecordsMax` records are waiting
 * already.
 *
 * - `error`: nothing is lost silently: the feed unsubscribes, appends the waiting records, and fails with
 *   BUFFER_EXHAUSTED.
 * - `drop-newest`: the pushed record is dropped. The topic has gaps from the times when the log was busy, and complete
 *   stretches in between; for samples of which old ones are as good as new ones.
 * - `drop-oldest`: the record that has waited longest is dropped instead; for values that the next one makes obsolete.
 *   With `bufferRecordsMax: 1`, only the latest record waits.
 */
export type OverflowPolicy = 'error' | 'drop-newest' | 'drop-oldest'

/** Options of `fromObservable`: what to do when records arrive faster than the log accepts them, and when to end. */
export interface FromObservableOptions {
  /** What may be lost. There is no default, because only the user can know that. */
  readonly onOverflow: OverflowPolicy
  /** Records that may wait for room in the producer. Default 10,000, at most 2^24. */
  readonly bufferRecordsMax?: number
  /** Ends the feed as {@link ObservableFeed.unsubscribe} does. */
  readonly signal?: AbortSignal
  /** Options of the feed's own producer. `bufferBytesMax` is how much may be in flight before records have to wait. */
  readonly producer?: Pick<ProducerOptions, 'batchBytesMax' | 'bufferBytesMax' | 'compression'>
}

/** Counts of the records of a feed. Those that are neither durable nor dropped are waiting or in flight. */
export interface FeedCounts {
  /** Pushed by the observable. */
  readonly received: number
  /** Appended and acknowledged by the log. */
  readonly durable: number
  /** Dropped by the overflow policy. */
  readonly dropped: number
}

/** A running subscription that feeds an observable into a topic. */
export interface ObservableFeed extends FeedCounts {
  /** Records that wait for room in the producer. */
  readonly waiting: number
  /**
   * Stops receiving; records already received are still appended. The feed then finishes as if the observable had
   * completed.
   */
  unsubscribe(): void
  /**
   * Resolves when the observable has completed and all records that were not dropped are durable. Rejects with the
   * observable's error (the records before it are durable), with BUFFER_EXHAUSTED, with the error for a record that the
   * topic refused, or with the error of the log.
   */
  finished(): Promise<FeedCounts>
}

const feedNumbers: { readonly bufferRecordsMax: ClientNumber } = {
  bufferRecordsMax: { default: 10_000, unit: 'count', min: 1, max: 2 ** 24, kafka: null },
}

const fromObservableOptionNames: OptionNames<FromObservableOptions> = {
  ...feedNumbers,
  onOverflow: true,
  signal: true,
  producer: true,
}

const policies: readonly OverflowPolicy[] = ['error', 'drop-newest', 'drop-oldest']

/**
 * Subscribes to an observable and appends what it pushes to a topic, which must exist. Keys decide the partition as with
 * any producer. What makes the feed fail, such as a topic that does not exist, is reported by `finished` alone: await it.
 * Throws INVALID_CONFIG for an option that is missing or outside its bounds, and for a source that is no observable.
 * @example
 * const clicks = fromEvent(page, 'click').pipe(map(({ path, visitor }) => ({ key: visitor, value: { path } })))
 * const feed = fromObservable(clicks, log, pageViews, { onOverflow: 'drop-oldest', bufferRecordsMax: 1000 })
 * await enough()
 * feed.unsubscribe()
 * const { durable, dropped } = await feed.finished()
 */
export function fromObservable<KIn, VIn>(
  source: Observable<FedRecord<NoInfer<KIn>, NoInfer<VIn>>>,
  log: Pick<EmbeddedLog, 'producer'>,
  topic: Topic<unknown, unknown, KIn, VIn>,
  options: FromObservableOptions,
): ObservableFeed {
  checkOptions('fromObservable', options, fromObservableOptionNames)
  checkDeclaredTopic(topic)
  checkSignal(options.signal)
  const given: unknown = source
  if (!isObservable(given)) {
    throw new LogError(
      'INVALID_CONFIG',
      `the source of the feed into ${topic.name} is ${shown(given)}: give an observable; from() of rxjs makes one of an iterable or a promise`,
      { topic: topic.name },
    )
  }
  const { bufferRecordsMax } = clientNumbers('feed', feedNumbers, options)
  if (!policies.includes(options.onOverflow)) {
    throw new LogError(
      'INVALID_CONFIG',
      `onOverflow of the feed into ${topic.name} is ${shown(options.onOverflow)}: say what may be lost when records come faster than the log takes them, ${policies.join(', ')}`,
      { topic: topic.name, onOverflow: options.onOverflow },
    )
  }
  const { producer: ofProducer = {} } = options
  const names = { batchBytesMax: true, bufferBytesMax: true, compression: true }
  checkOptions('the producer of fromObservable', ofProducer, names)
  const { batchBytesMax, bufferBytesMax, compression } = ofProducer
  const producer = log.producer({
    ...(batchBytesMax === undefined ? {} : { batchBytesMax }),
    ...(bufferBytesMax === undefined ? {} : { bufferBytesMax }),
    ...(compression === undefined ? {} : { compression }),
  })
  const feed = new Feed(producer, topic, { onOverflow: options.onOverflow, bufferRecordsMax })
  feed.subscribe(source, options.signal)
  return feed
}

type FeedPhase = 'receiving' | 'draining' | 'ended'

const feedTransitions: Transitions<FeedPhase> = { receiving: ['draining'], draining: ['ended'], ended: [] }

class Feed<KIn, VIn> implements ObservableFeed {
  readonly #producer: Producer
  readonly #topic: Topic<unknown, unknown, KIn, VIn>
  readonly #onOverflow: OverflowPolicy
  readonly #bufferRecordsMax: number
  readonly #waiting: WaitingRecords<FedRecord<KIn, VIn>>
  readonly #lifecycle = new Lifecycle<FeedPhase>('the feed', feedTransitions, 'receiving')
  readonly #stop = new Subject<void>()
  readonly #end = Promise.withResolvers<FeedCounts>()
  #received = 0
  #posted = 0
  #durable = 0
  #dropped = 0
  /** The first error, with which the feed finishes. */
  #failure: { readonly error: unknown } | null = null
  #isAppending = false
  #forgetSignal: (() => void) | null = null

  constructor(
    producer: Producer,
    topic: Topic<unknown, unknown, KIn, VIn>,
    options: { readonly onOverflow: OverflowPolicy; readonly bufferRecordsMax: number },
  ) {
    this.#producer = producer
    this.#topic = topic
    this.#onOverflow = options.onOverflow
    this.#bufferRecordsMax = options.bufferRecordsMax
    this.#waiting = new WaitingRecords(options.bufferRecordsMax)
    // The error is reported by `finished`. As long as that is not called, it must not end the process as an unhandled
    // rejection.
    this.#end.promise.catch(() => undefined)
  }

  get received(): number {
    return this.#received
  }

  get durable(): number {
    return this.#durable
  }

  get dropped(): number {
    return this.#dropped
  }

  get waiting(): number {
    return this.#waiting.count
  }

  subscribe(source: Observable<FedRecord<KIn, VIn>>, signal: AbortSignal | undefined): void {
    if (signal?.aborted === true) return this.#sourceEnds()
    const stop = (): void => this.unsubscribe()
    signal?.addEventListener('abort', stop, { once: true })
    this.#forgetSignal = () => signal?.removeEventListener('abort', stop)
    // `takeUntil` instead of the subscription, because a source may push everything before `subscribe` returns.
    source.pipe(takeUntil(this.#stop)).subscribe({
      next: (record) => this.#receive(record),
      error: (error: unknown) => {
        this.#failure ??= { error }
        this.#sourceEnds()
      },
      complete: () => this.#sourceEnds(),
    })
  }

  unsubscribe(): void {
    this.#stop.next()
  }

  finished(): Promise<FeedCounts> {
    return this.#end.promise
  }

  #receive(record: FedRecord<KIn, VIn>): void {
    this.#received += 1
    if (this.#waiting.count === 0 && this.#post(record)) return this.#append()
    // The topic has refused the record, and the feed ends.
    if (this.#failure !== null) return
    if (this.#waiting.isFull && !this.#makeRoom()) return
    this.#waiting.push(record)
    this.#append()
  }

  /** Makes room for the record if the policy allows it; returns whether there is room. */
  #makeRoom(): boolean {
    if (this.#onOverflow === 'error') {
      this.#fail(
        new LogError(
          'BUFFER_EXHAUSTED',
          `${this.#bufferRecordsMax} records wait to be appended to ${this.#topic.name} and the observable pushes another: raise bufferRecordsMax, push less, or choose in onOverflow what may be dropped`,
          { topic: this.#topic.name, bufferRecordsMax: this.#bufferRecordsMax },
        ),
      )
      return false
    }
    this.#dropped += 1
    if (this.#onOverflow === 'drop-newest') return false
    this.#waiting.shift()
    return true
  }

  /** Returns false if the producer is full or the topic refuses the record. */
  #post(record: FedRecord<KIn, VIn>): boolean {
    try {
      if (!this.#producer.post({ ...record, topic: this.#topic })) return false
      this.#posted += 1
      return true
    } catch (error) {
      this.#waiting.clear()
      this.#fail(error)
      return false
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#stop.next()
  }

  #sourceEnds(): void {
    this.#forgetSignal?.()
    if (this.#lifecycle.is('receiving')) this.#lifecycle.to('draining')
    this.#append()
  }

  /** Starts appending the waiting records if that is not in progress; afterwards the feed ends if it is due to. */
  #append(): void {
    if (this.#isAppending) return
    this.#isAppending = true
    void this.#appendAll()
  }

  async #appendAll(): Promise<void> {
    // Records that are pushed synchronously share a flush.
    await Promise.resolve()
    try {
      while (this.#waiting.count > 0 || this.#posted > this.#durable) {
        for (let next = this.#waiting.peek(); next !== undefined && this.#post(next); next = this.#waiting.peek()) {
          this.#waiting.shift()
        }
        const posted = this.#posted
        await this.#producer.flush()
        this.#durable = posted
      }
    } catch (error) {
      this.#waiting.clear()
      this.#fail(error)
    }
    this.#isAppending = false
    if (this.#lifecycle.is('draining')) await this.#finish()
  }

  async #finish(): Promise<void> {
    this.#lifecycle.to('ended')
    try {
      await this.#producer.close()
    } catch (error) {
      this.#failure ??= { error }
    }
    if (this.#failure !== null) this.#end.reject(this.#failure.error)
    else this.#end.resolve({ received: this.#received, durable: this.#durable, dropped: this.#dropped })
  }
}
