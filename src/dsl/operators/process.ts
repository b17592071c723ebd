import { shown } from '../../base/shown.ts'
import { checkOptions } from '../../streams/checked-options.ts'
import { StreamsError } from '../../streams/errors.ts'
import type {
  Cancellable,
  Header,
  Processor,
  ProcessorContext,
  RecordOrigin,
} from '../../streams/processor/processor.ts'
import type { Duration } from '../../base/duration.ts'
import { durationMs } from '../duration.ts'
import { refusePromise } from './no-promise.ts'
import { undefinedResult } from './undefined-result.ts'

/** A record as a user's processor sees it. It must not be changed: forward a changed copy, `{ ...record, value }`. */
export interface StreamRecord<out K, out V> {
  readonly key: K
  readonly value: V
  /** Event time, in ms since the epoch. */
  readonly timestamp: number
  readonly headers: readonly Header[]
}

/**
 * An operator of your own. There is one instance per task; anything that it has to remember belongs in a store. It must do its
 * work during the call: its methods must not be `async`, and what it forwards later is refused, because no commit would wait
 * for it. Kafka: `Processor`.
 */
export interface RecordProcessor<K, V, K2, V2> {
  /** Called once per task, after its stores are restored: get stores and set up schedules here. */
  init?(context: RecordContext<K2, V2>): void
  /** Called with each record. */
  process(record: StreamRecord<K, V>): void
  /** Called when the task ends. */
  close?(): void
}

/**
 * Like {@link RecordProcessor}, for `processValues`: it forwards values under the key of the current record. Kafka:
 * `FixedKeyProcessor`.
 */
export interface ValueProcessor<K, V, V2> {
  init?(context: ValueContext<V2>): void
  process(record: StreamRecord<K, V>): void
  close?(): void
}

/** What every processor of your own can use. */
export interface ProcessingContext {
  readonly applicationId: string
  /** Sub-topology and partition, such as `0_1`. */
  readonly taskId: string
  readonly partition: number
  /** Where the current record came from; null in the callback of a schedule. */
  readonly origin: RecordOrigin | null
  /** The highest timestamp that the task has seen so far; -1 before the first record. */
  readonly streamTime: number
  /** The wall clock in ms since the epoch. It is read once per batch and recorded, so that a replay sees the same time. */
  now(): number
  /** One of the stores that the operator names in `stores`; any other is STORE_UNKNOWN. */
  store<S>(store: StoreRef<S> | string): S
  /**
   * Calls `callback` again and again, at the interval `every`. With `by: 'streamTime'` it is called at the multiples of the
   * interval, after the record that reaches one has been processed, and only once after a gap in the records; with `by:
   * 'wallClock'`, each time the interval has passed from now on. `start`, in ms since the epoch, makes it fire at that time and
   * at each interval after it. Throws CONFIG_INVALID. Kafka: `schedule`, with a `Punctuator`.
   * @example context.schedule({ every: '1m', by: 'wallClock' }, (now) => this.report(now))
   */
  schedule(
    options: { readonly every: Duration; readonly by: 'streamTime' | 'wallClock'; readonly start?: number },
    callback: (time: number) => void,
  ): Cancellable
  /** Requests a commit as soon as possible. Kafka: `commit`. */
  requestCommit(): void
}

/** What a processor of `process` works with: stores, schedules, and `forward` under any key. Kafka: `ProcessorContext`. */
export interface RecordContext<in K, in V> extends ProcessingContext {
  /** Forwards a record. Without headers of its own it has those of the current record. */
  forward(record: ForwardedRecord<K, V>): void
}

/**
 * What a processor of `processValues` works with: it forwards under the key of the current record. Kafka:
 * `FixedKeyProcessorContext`.
 */
export interface ValueContext<in V> extends ProcessingContext {
  /**
   * Forwards a value under the key of the current record, with its timestamp and headers unless others are given. It cannot be
   * called in the callback of a schedule, where there is no current record. Kafka: `FixedKeyRecord`.
   */
  forward(value: V, options?: { readonly timestamp?: number; readonly headers?: readonly Header[] }): void
}

/** A record to be forwarded. Without headers of its own it has those of the current record. */
export interface ForwardedRecord<out K, out V> {
  readonly key: K
  readonly value: V
  readonly timestamp: number
  readonly headers?: readonly Header[]
}

/** A store that was declared by `builder.addStore`, with the type that `context.store` returns. */
export interface StoreRef<out S> {
  readonly name: string
  /** Only a type; this property does not exist. */
  readonly '~store'?: () => S
}

type AnyRecordProcessor = RecordProcessor<unknown, unknown, unknown, unknown>

/** Adapts a user's processor, which takes record objects. */
export function processSupplier(node: string, supplier: () => AnyRecordProcessor): () => Processor {
  const tasks: Tasks = new WeakMap()
  return () => new RecordAdapter(node, made(supplier), tasks)
}

/** Adapts a user's processor of values, which cannot change keys. */
export function processValuesSupplier(
  node: string,
  supplier: () => ValueProcessor<unknown, unknown, unknown>,
): () => Processor {
  const tasks: Tasks = new WeakMap()
  return () => new ValueAdapter(node, made(supplier), tasks)
}

/** The task of each processor that a supplier has returned. */
type Tasks = WeakMap<object, string>

function made<P extends { process(record: never): void }>(supplier: () => P): P {
  const processor: unknown = supplier()
  const isProcessor = typeof processor === 'object' && processor !== null
  if (isProcessor && 'process' in processor && typeof processor.process === 'function') return processor as P
  throw new StreamsError(
    'PROCESSING_FAILED',
    `its supplier returned ${shown(processor)}; return a new object with process()`,
  )
}

/** Throws if another task has the same processor: it would forward what it gets from one task to the nodes of the other. */
function checkOwn(processor: object, tasks: Tasks, task: string): void {
  const before = tasks.get(processor) ?? task
  tasks.set(processor, before)
  if (before === task) return
  throw new StreamsError(
    'PROCESSING_FAILED',
    `its supplier returned one processor to the tasks ${before} and ${task}; return a new one at each call`,
  )
}

class RecordAdapter implements Processor {
  readonly #node: string
  readonly #processor: AnyRecordProcessor
  readonly #tasks: Tasks
  #context!: ProcessorContext
  #forwarding!: AdaptedRecordContext

  constructor(node: string, processor: AnyRecordProcessor, tasks: Tasks) {
    this.#node = node
    this.#processor = processor
    this.#tasks = tasks
  }

  init(context: ProcessorContext): void {
    checkOwn(this.#processor, this.#tasks, context.taskId)
    this.#context = context
    this.#forwarding = new AdaptedRecordContext(this.#node, context)
    refusePromise(this.#processor.init?.(this.#forwarding), 'init()')
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    const forwarding = this.#forwarding
    forwarding.isCalled = true
    try {
      refusePromise(this.#processor.process({ key, value, timestamp, headers: this.#context.headers }), 'process()')
    } finally {
      forwarding.isCalled = false
    }
  }

  close(): void {
    this.#processor.close?.()
  }
}

class ValueAdapter implements Processor {
  readonly #node: string
  readonly #processor: ValueProcessor<unknown, unknown, unknown>
  readonly #tasks: Tasks
  #context!: ProcessorContext
  #forwarding!: AdaptedValueContext

  constructor(node: string, processor: ValueProcessor<unknown, unknown, unknown>, tasks: Tasks) {
    this.#node = node
    this.#processor = processor
    this.#tasks = tasks
  }

  init(context: ProcessorContext): void {
    checkOwn(this.#processor, this.#tasks, context.taskId)
    this.#context = context
    this.#forwarding = new AdaptedValueContext(this.#node, context)
    refusePromise(this.#processor.init?.(this.#forwarding), 'init()')
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    const record = { key, value, timestamp, headers: this.#context.headers }
    this.#forwarding.current = record
    try {
      refusePromise(this.#processor.process(record), 'process()')
    } finally {
      // Also after an error that is ignored: the callback of a schedule must not forward under the key of this record.
      this.#forwarding.current = null
    }
  }

  close(): void {
    this.#processor.close?.()
  }
}

class AdaptedContext implements ProcessingContext {
  protected readonly node: string
  protected readonly context: ProcessorContext
  /** Whether a record or a schedule is being processed, so that forwarded records belong to the commit of it. */
  isCalled = false

  constructor(node: string, context: ProcessorContext) {
    this.node = node
    this.context = context
  }

  get applicationId(): string {
    return this.context.applicationId
  }

  get taskId(): string {
    return this.context.taskId
  }

  get partition(): number {
    return this.context.partition
  }

  get origin(): RecordOrigin | null {
    return this.context.origin
  }

  get streamTime(): number {
    return this.context.streamTime
  }

  now(): number {
    return this.context.now()
  }

  store<S>(store: StoreRef<S> | string): S {
    return this.context.store<S>(typeof store === 'string' ? store : store.name)
  }

  schedule(
    options: { readonly every: Duration; readonly by: 'streamTime' | 'wallClock'; readonly start?: number },
    callback: (time: number) => void,
  ): Cancellable {
    checkOptions(`schedule in ${this.node}`, options, { every: true, by: true, start: true })
    const intervalMs = durationMs(options.every, `the interval of a schedule in ${this.node}`)
    if (intervalMs === 0) {
      throw new StreamsError('CONFIG_INVALID', `the interval of a schedule in ${this.node} must be more than 0 ms`)
    }
    const { start } = options
    if (start !== undefined && !(Number.isSafeInteger(start) && start >= 0)) {
      throw new StreamsError(
        'CONFIG_INVALID',
        `the start of a schedule in ${this.node} is ${shown(start)}; give whole milliseconds since 1970`,
      )
    }
    if (typeof callback !== 'function') {
      throw new StreamsError(
        'CONFIG_INVALID',
        `a schedule in ${this.node} calls ${shown(callback)}; give a function (time) => …`,
      )
    }
    return this.context.schedule(
      { intervalMs, by: options.by, ...(start === undefined ? {} : { startMs: start }) },
      (time) => this.#call(callback, time),
    )
  }

  requestCommit(): void {
    this.context.requestCommit()
  }

  #call(callback: (time: number) => unknown, time: number): void {
    this.isCalled = true
    try {
      refusePromise(callback(time), "a schedule's callback")
    } finally {
      this.isCalled = false
    }
  }

  protected hand(key: unknown, value: unknown, timestamp: number, headers: readonly Header[] | undefined): void {
    if (!Number.isSafeInteger(timestamp) || timestamp < 0) {
      throw new StreamsError(
        'INVALID_TIMESTAMP',
        `${this.node} forwards a record with timestamp ${String(timestamp)}; use whole milliseconds since 1970, such as the timestamp of the current record`,
        { timestamp },
      )
    }
    const context = this.context
    if (headers === undefined || headers === context.headers) {
      context.forward(key, value, timestamp)
      return
    }
    // The headers are only for this record: the next one that is forwarded without headers has those of the input
    // record again.
    const before = context.headers
    context.headers = headers
    try {
      context.forward(key, value, timestamp)
    } finally {
      context.headers = before
    }
  }
}

class AdaptedRecordContext extends AdaptedContext implements RecordContext<unknown, unknown> {
  forward(record: ForwardedRecord<unknown, unknown>): void {
    if (!this.isCalled) {
      throw new StreamsError(
        'PROCESSING_FAILED',
        `${this.node} forwards a record when nothing is being processed, such as after an await or in a timer, so that it would belong to no commit; forward in process() or in a schedule's callback`,
        { node: this.node },
      )
    }
    if (typeof record !== 'object' || record === null) {
      throw new StreamsError(
        'PROCESSING_FAILED',
        `${this.node} forwards ${shown(record)}, which is not a record; give { key, value, timestamp }`,
        { node: this.node },
      )
    }
    const { key, value, timestamp, headers } = record
    if (key === undefined || value === undefined) {
      throw new StreamsError(
        'UNDEFINED_RESULT',
        `${this.node} forwards a record without a ${key === undefined ? 'key' : 'value'}; give one, or null for none`,
        { node: this.node },
      )
    }
    this.hand(key, value, timestamp, headers)
  }
}

class AdaptedValueContext extends AdaptedContext implements ValueContext<unknown> {
  current: StreamRecord<unknown, unknown> | null = null

  forward(value: unknown, options?: { readonly timestamp?: number; readonly headers?: readonly Header[] }): void {
    if (value === undefined) throw undefinedResult(this.node, 'forwarded value')
    const record = this.current
    if (record === null) {
      throw new StreamsError(
        'PROCESSING_FAILED',
        `${this.node} forwards a value outside process(), where there is no key for it; use process() instead of processValues()`,
        { node: this.node },
      )
    }
    if (options === undefined) this.context.forward(record.key, value, record.timestamp)
    else this.hand(record.key, value, options.timestamp ?? record.timestamp, options.headers)
  }
}
