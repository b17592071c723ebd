import type { AnyTopic, Topic } from '../codec/topic.ts'
import type { Header, RecordCursor, TopicPartition } from '../log/api/record.ts'
import type { EmbeddedLog } from '../log/embedded-log.ts'
import { StreamsError } from '../streams/errors.ts'
import { headersWithoutStamp } from '../streams/task/order-stamp.ts'
import { deepFreeze } from './freeze.ts'

/** A record to be put into a topic. */
export interface PipedRecord<out K, out V> {
  readonly key: K
  readonly value: V
  /** Milliseconds since the epoch. Default: the result of the topic's `timestamp`, else the driver's wall clock. */
  readonly timestamp?: number
  readonly headers?: readonly Header[]
  /** Default: the partition of the key. */
  readonly partition?: number
}

/** A record that was written to an output topic. */
export interface TestRecord<out K, out V> {
  readonly key: K
  readonly value: V
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  readonly headers: readonly Header[]
  readonly partition: number
}

/** Puts records into a topic. Each one is processed and committed, through every repartition topic, before the next. */
export class TestInput<in K, in V> {
  readonly #pipe: (record: PipedRecord<K, V>) => Promise<void>

  /** Created by `TopologyTestDriver.input`. */
  constructor(pipe: (record: PipedRecord<K, V>) => Promise<void>) {
    this.#pipe = pipe
  }

  /**
   * Puts one record in and waits until all its results are committed. Rejects if the record does not fit its topic, or
   * with the error that stopped the application.
   * @example await views.pipe({ key: 'ada', value: { path: '/', status: 200 }, timestamp: 0 })
   */
  async pipe(record: PipedRecord<K, V>): Promise<void> {
    await this.#pipe(record)
  }

  /** Pipes records one after another. */
  async pipeAll(records: Iterable<PipedRecord<K, V>>): Promise<void> {
    for (const record of records) await this.#pipe(record)
  }
}

/** Decodes the records of an output topic for the test. */
export interface TestFormat<out K, out V> {
  readonly topic: string
  readKey(bytes: Uint8Array, start: number, end: number): K
  readValue(bytes: Uint8Array, start: number, end: number): V
  readHeaders(cursor: RecordCursor): readonly Header[]
}

/** The format of a declared topic; values are checked with its schema and frozen. */
export function typedFormat<K, V>({ name, key, value }: Topic<K, V, never, never>): TestFormat<K, V> {
  // By its declaration, the codec returns K and V.
  return {
    topic: name,
    readKey: (bytes, start, end) => part(name, 'key', key, bytes, start, end) as K,
    readValue: (bytes, start, end) => part(name, 'value', value, bytes, start, end) as V,
    readHeaders: (cursor) => cursor.headers(),
  }
}

function part(
  topic: string,
  what: string,
  declared: AnyTopic['key'] | AnyTopic['value'],
  bytes: Uint8Array,
  start: number,
  end: number,
): unknown {
  if (start < 0) {
    if (declared.allowsNull) return null
    throw new StreamsError('INVALID_RECORD', `a ${what} of ${topic} is null, which the topic does not declare`)
  }
  const read = declared.codec.read(bytes, start, end)
  return deepFreeze(declared.validate === undefined ? read : declared.validate(read))
}

/** The format of a topic that is given by name: copies of its bytes. */
export function bytesOutputFormat(topic: string): TestFormat<Buffer | null, Buffer | null> {
  const copy = (bytes: Uint8Array, start: number, end: number): Buffer | null =>
    start < 0 ? null : Buffer.from(bytes.subarray(start, end))
  return { topic, readKey: copy, readValue: copy, readHeaders: (cursor) => cursor.headers() }
}

/** The same for a repartition topic, without the headers that the engine adds. */
export function withoutStamps<K, V>(format: TestFormat<K, V>): TestFormat<K, V> {
  return { ...format, readHeaders: headersWithoutStamp }
}

/** The records that a topology wrote to a topic. Each is returned once, in the order of its partition. */
export class TestOutput<out K, out V> {
  readonly #log: EmbeddedLog
  readonly #format: TestFormat<K, V>
  readonly #positions: { readonly at: TopicPartition; offset: number }[]
  readonly #records: TestRecord<K, V>[] = []

  /** Created by `TopologyTestDriver.output`. */
  constructor(log: EmbeddedLog, format: TestFormat<K, V>, partitions: number) {
    this.#log = log
    this.#format = format
    this.#positions = Array.from({ length: partitions }, (_, partition) => ({
      at: { topic: format.topic, partition },
      offset: 0,
    }))
  }

  /** The next record, or null if there is none. */
  async read(): Promise<TestRecord<K, V> | null> {
    await this.#fetch()
    return this.#records.shift() ?? null
  }

  /** All records that have not been read yet, one partition after the other. */
  async readAll(): Promise<readonly TestRecord<K, V>[]> {
    await this.#fetch()
    return this.#records.splice(0)
  }

  /** Whether there is nothing to read. */
  async isEmpty(): Promise<boolean> {
    await this.#fetch()
    return this.#records.length === 0
  }

  async #fetch(): Promise<void> {
    for (const position of this.#positions) await this.#fetchPartition(position)
  }

  async #fetchPartition(position: { readonly at: TopicPartition; offset: number }): Promise<void> {
    const [bounds] = await this.#log.bounds([position.at], 'durable')
    if (bounds === undefined || position.offset >= bounds.end) return
    const reader = await this.#log.openReader({ isolation: 'durable' })
    try {
      reader.assign([{ at: position.at, offset: Math.max(position.offset, bounds.start) }])
      while (position.offset < bounds.end) {
        for (const chunk of await reader.poll({ bytesMax: pollBytesMax, waitMs: 0 })) {
          const cursor = chunk.cursor()
          while (cursor.next()) {
            const { bytes, keyStart, keyEnd, valueStart, valueEnd, timestamp, headerCount } = cursor
            this.#records.push({
              key: this.#format.readKey(bytes, keyStart, keyEnd),
              value: this.#format.readValue(bytes, valueStart, valueEnd),
              timestamp,
              headers: headerCount === 0 ? [] : this.#format.readHeaders(cursor),
              partition: position.at.partition,
            })
          }
          position.offset = chunk.nextOffset
        }
      }
    } finally {
      await reader.close()
    }
  }
}

const pollBytesMax = 1024 * 1024
