import { InvariantError } from '../../base/assert.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { grown } from '../../base/columns.ts'
import { reasonFor } from '../../base/coded-error.ts'
import { partitionOfKey } from '../../base/murmur2.ts'
import { noPartition, partitionerThrew } from '../../codec/partitioner.ts'
import { presence } from '../../codec/presence-codec.ts'
import { isWindowedCodec } from '../../codec/windowed-codec.ts'
import type { Staged, StagedPartition } from '../../log/api/log.ts'
import { noHeaders, outgoingRecord, type OutgoingRecord, type TopicPartition } from '../../log/api/record.ts'
import { StreamsError } from '../errors.ts'
import type { Receiver } from '../processor/forwarding.ts'
import type { Slice } from '../store/write-batch.ts'
import type { ChangelogWriter } from '../store/overlay/overlay.ts'
import { undecoded, type RecordContext } from '../store/record-context.ts'
import type { SinkNode } from '../topology/node.ts'
import type { SinkPartitioner } from '../topology/sink-partitioner.ts'
import { RecordDigest } from './digest.ts'
import { StampWriter } from './order-stamp.ts'
import type { OutputOrder, StampSequence } from './output-order.ts'

/**
 * Collects everything that a task writes. Outputs of sinks are staged at once, changelog rows at the commit, both
 * directly in the staged batch of their partition. The collector also keeps what the commit records about them:
 * digests, and for each record the number of the input record that caused it. Records of repartition topics get an
 * order stamp. Stamps are not part of the digests, because they depend on what other tasks have processed.
 */
export class RecordCollector {
  readonly outputs: RecordDigest = new RecordDigest()
  readonly changelogs: RecordDigest = new RecordDigest()
  /** The input record that caused each record of the commit, as far as `#count` goes; its memory serves all commits. */
  #causes: Int32Array = new Int32Array(256)
  #count = 0
  /** Whether something for another task of the application is staged. */
  hasInternalOutput = false
  /** Number of the task's section in the commit; -1 if it has none yet. */
  section = -1
  staged: Staged | null = null
  readonly #order: OutputOrder
  /** Source of stamps: the sequence of processed records or, during a commit, that of a level of stores. */
  #stamps: StampSequence
  readonly #stampWriter = new StampWriter()
  readonly #record: RecordContext
  readonly #enter: () => number
  readonly #places: StagedPlace[] = []

  constructor(record: RecordContext, order: OutputOrder, enter: () => number) {
    this.#record = record
    this.#order = order
    this.#stamps = order.processed
    this.#enter = enter
  }

  /** Begins a new commit; everything staged so far belonged to the previous one. */
  begin(staged: Staged): void {
    this.staged = staged
    this.section = -1
    this.#count = 0
    this.outputs.clear()
    this.changelogs.clear()
    this.hasInternalOutput = false
    this.#stamps = this.#order.processed
    for (const place of this.#places) place.batch = null
  }

  /** Returns a place for the records of one partition. It requests its staged batch at most once per commit. */
  place(at: TopicPartition, readers: StagedPlace['readers'], node: string): StagedPlace {
    const place = new StagedPlace(at, readers, node)
    this.#places.push(place)
    return place
  }

  /** Notes that a store of that level emits, at a commit, a row that was last updated at that time. */
  emits(level: number, updateTime: number): void {
    this.#stamps = this.#order.emitted(level)
    this.#stamps.took(updateTime, -1)
  }

  /** The nodes that have staged records for a partition, including nodes whose store has its changelog there. */
  writersTo(at: TopicPartition): string[] {
    const places = this.#places.filter(
      ({ at: place, batch }) => batch !== null && place.topic === at.topic && place.partition === at.partition,
    )
    return places.map(({ node }) => node)
  }

  output(place: StagedPlace, record: OutgoingRecord): void {
    const batch = this.#batch(place)
    if (place.readers === 'repartition') {
      const { headers } = record
      record.headers = this.#stampWriter.before(headers, this.#stamps.next(), record.timestamp)
      batch.append(record, this.section, 'output')
      record.headers = headers
    } else batch.append(record, this.section, 'output')
    if (place.readers !== 'others') this.hasInternalOutput = true
    this.#caused(this.#record.cause)
    this.outputs.record(
      record.key,
      record.keyStart,
      record.keyEnd,
      record.value,
      record.valueStart,
      record.valueEnd,
      record.timestamp,
      record.headers,
    )
  }

  changelog(place: StagedPlace, record: OutgoingRecord, cause: number): void {
    this.#batch(place).append(record, this.section, 'changelog')
    this.#caused(cause)
    this.changelogs.record(
      record.key,
      record.keyStart,
      record.keyEnd,
      record.value,
      record.valueStart,
      record.valueEnd,
      record.timestamp,
      record.headers,
    )
  }

  /** The number of the input record that caused each record of the commit. Valid until the next commit begins. */
  get causes(): Int32Array {
    return this.#causes.subarray(0, this.#count)
  }

  #caused(cause: number): void {
    const place = this.#count
    if (place === this.#causes.length) this.#causes = grown(this.#causes, new Int32Array(place * 2))
    this.#causes[place] = cause
    this.#count = place + 1
  }

  #batch(place: StagedPlace): StagedPartition {
    if (this.section < 0) this.section = this.#enter()
    const batch = place.batch ?? this.#open(place)
    return batch
  }

  #open(place: StagedPlace): StagedPartition {
    if (this.staged === null) throw new RangeError(`nothing is staged between commits: ${place.at.topic}`)
    place.batch = this.staged.to(place.at)
    return place.batch
  }
}

export class StagedPlace {
  readonly at: TopicPartition
  /**
   * Who reads the partition: only readers outside the application, the application among others, or only the
   * application.
   */
  readonly readers: 'others' | 'application' | 'repartition'
  /** The node that writes to it, or that owns the store. */
  readonly node: string
  batch: StagedPartition | null = null

  constructor(at: TopicPartition, readers: StagedPlace['readers'], node: string) {
    this.at = at
    this.readers = readers
    this.node = node
  }
}

/** The changelog of one store: plain keys and values, no headers, as Kafka writes them. */
export class ChangelogSink implements ChangelogWriter {
  readonly #collector: RecordCollector
  readonly #place: StagedPlace
  readonly #out: OutgoingRecord = outgoingRecord()

  constructor(collector: RecordCollector, at: TopicPartition, node: string) {
    this.#collector = collector
    this.#place = collector.place(at, 'others', node)
  }

  append(key: Slice, value: Slice, timestamp: number, cause: number): void {
    const out = this.#out
    out.key = key.bytes
    out.keyStart = key.start
    out.keyEnd = key.end
    out.value = value.bytes
    out.valueStart = value.start
    out.valueEnd = value.end
    out.timestamp = Math.max(0, timestamp)
    this.#collector.changelog(this.#place, out, cause)
  }
}

export const noChangelog: ChangelogWriter = { append: () => {} }

/** What a sink has to know about the topics that it writes to. */
export interface SinkTarget {
  /** The name that the node uses. */
  readonly topic: string
  /** The name in the log. */
  readonly real: string
  readonly partitions: number
  readonly readers: StagedPlace['readers']
}

/**
 * Encodes the records that reach a sink and stages them. A key or value that the source forwarded is copied as bytes if
 * the source and the sink use the same codec. The node's partitioner chooses the partition, by default murmur2 of the
 * key's bytes; see `#sticky` for records without a key.
 */
export class Sink implements Receiver {
  readonly #node: SinkNode
  readonly #record: RecordContext
  readonly #collector: RecordCollector
  readonly #targets = new Map<string, Target>()
  readonly #only: Target | null
  /**
   * A windowed key begins with the bytes of its inner key, from which the partition is computed. This is the length of
   * the rest.
   */
  #windowBytes = 0
  readonly #partitioner: SinkPartitioner | null
  readonly #partitionerName: string
  readonly #keyCodec: string
  readonly #valueCodec: string
  /** Values are told from null, but not written, not even those that were never decoded. */
  readonly #writesPresence: boolean
  readonly #out: OutgoingRecord = outgoingRecord()
  readonly #key = new ByteWriter(256)
  readonly #value = new ByteWriter(1024)
  readonly #partitionKey = new ByteWriter(64)

  constructor(node: SinkNode, targets: readonly SinkTarget[], record: RecordContext, collector: RecordCollector) {
    this.#node = node
    this.#record = record
    this.#collector = collector
    for (const { topic, real, partitions, readers } of targets) {
      const places = Array.from({ length: partitions }, (_, partition) =>
        collector.place({ topic: real, partition }, readers, node.name),
      )
      this.#targets.set(topic, { topic: real, places })
    }
    this.#only = typeof node.topic === 'string' ? (this.#targets.get(targets[0]?.topic ?? '') ?? null) : null
    const { codec } = node.key
    if (isWindowedCodec(codec)) this.#windowBytes = codec.windows.kind === 'session' ? 16 : 8
    this.#partitioner = node.partitioner ?? null
    this.#partitionerName = node.partitioner?.id ?? `of ${node.name}`
    this.#keyCodec = codec.id
    this.#valueCodec = node.value.codec.id
    this.#writesPresence = node.value.codec === presence
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    if (key === null && this.#node.dropsNullKeys) return
    const out = this.#out
    this.#encodeKey(key)
    this.#encodeValue(value)
    out.timestamp = timestamp
    const { headers } = this.#record
    out.headers = headers.length === 0 ? noHeaders : headers
    const target = this.#only ?? this.#choose(key, value)
    const { places } = target
    const place =
      this.#partitioner === null
        ? places[places.length === 1 ? 0 : this.#partition(key, places.length)]
        : this.#chosen(this.#partitioner, target, key, value)
    if (place === undefined) throw new InvariantError(`${this.#node.name}: no such partition of ${target.topic}`)
    this.#collector.output(place, out)
  }

  #encodeKey(key: unknown): void {
    const out = this.#out
    if (key === null) {
      if (this.#node.key.refusesNull === true) throw this.#nullRefused('key', 'make the schema of its key nullable')
      out.keyStart = -1
      return
    }
    const record = this.#record
    const { source } = record
    if (key === undecoded || (source !== null && key === record.key && source.keyCodec === this.#keyCodec)) {
      out.key = record.bytes
      out.keyStart = record.keyStart
      out.keyEnd = record.keyEnd
      return
    }
    if (key === undefined) throw new TypeError('the key is undefined; a record without a key has null')
    this.#key.clear()
    const { validate, codec } = this.#node.key
    const valid = validate === undefined ? key : validate(key)
    try {
      codec.write(valid, this.#key)
    } catch (error) {
      throw this.#unwritable('key', error)
    }
    out.key = this.#key.bytes
    out.keyStart = 0
    out.keyEnd = this.#key.length
  }

  #encodeValue(value: unknown): void {
    const out = this.#out
    if (value === null) {
      if (this.#node.value.refusesNull === true)
        throw this.#nullRefused('value', 'declare it with tombstones: true if null deletes its key')
      out.valueStart = -1
      return
    }
    if (this.#writesPresence && value !== undefined) {
      out.value = this.#value.bytes
      out.valueStart = 0
      out.valueEnd = 0
      return
    }
    const record = this.#record
    const { source } = record
    if (value === undecoded || (source !== null && value === record.value && source.valueCodec === this.#valueCodec)) {
      out.value = record.bytes
      out.valueStart = record.valueStart
      out.valueEnd = record.valueEnd
      return
    }
    if (value === undefined) throw new TypeError('the value is undefined; a tombstone is null')
    const { validate, codec } = this.#node.value
    this.#value.clear()
    const valid = validate === undefined ? value : validate(value)
    try {
      codec.write(valid, this.#value)
    } catch (error) {
      throw this.#unwritable('value', error)
    }
    out.value = this.#value.bytes
    out.valueStart = 0
    out.valueEnd = this.#value.length
  }

  #unwritable(part: 'key' | 'value', error: unknown): unknown {
    if (error instanceof InvariantError || error instanceof StreamsError) return error
    return new StreamsError(
      'PRODUCTION_FAILED',
      `the ${part} for topic ${this.#node.topics.join(', ')}: ${reasonFor('INVALID_RECORD', error)}`,
      { part },
      { cause: error },
    )
  }

  #nullRefused(part: 'key' | 'value', remedy: string): TypeError {
    const topics = this.#node.topics.join(', ')
    return new TypeError(`the ${part} is null, which topic ${topics} does not declare; ${remedy}`)
  }

  #choose(key: unknown, value: unknown): Target {
    const { topic, topics, name } = this.#node
    const chosen = typeof topic === 'string' ? topic : topic(key, value)
    const target = this.#targets.get(chosen)
    if (target === undefined) throw new RangeError(`${name} chose topic ${chosen}, declared are ${topics.join(', ')}`)
    return target
  }

  /**
   * Calls the user's partitioner for every record, even with a single partition, because a wrong result must be noticed
   * there too.
   */
  #chosen(partitioner: SinkPartitioner, { topic, places }: Target, key: unknown, value: unknown): StagedPlace {
    let chosen: unknown
    try {
      chosen = partitioner.partition(key, value, places.length)
    } catch (cause) {
      throw new Error(partitionerThrew(this.#partitionerName, topic, cause), { cause })
    }
    const place = typeof chosen === 'number' ? places[chosen] : undefined
    if (place !== undefined) return place
    throw new RangeError(noPartition(this.#partitionerName, topic, chosen, places.length))
  }

  #partition(key: unknown, count: number): number {
    const { partitionKey } = this.#node
    const out = this.#out
    if (out.keyStart < 0) return this.#sticky(count)
    if (partitionKey === undefined) return partitionOfKey(out.key, out.keyStart, out.keyEnd, count)
    if (this.#windowBytes > 0) return partitionOfKey(out.key, out.keyStart, out.keyEnd - this.#windowBytes, count)
    const inner = partitionKey(key)
    this.#partitionKey.clear()
    inner.codec.write(inner.key, this.#partitionKey)
    return partitionOfKey(this.#partitionKey.bytes, 0, this.#partitionKey.length, count)
  }

  /**
   * Records without a key go to one partition for a stretch of the input, then to the next. The stretch depends on the
   * offset of the current record and not on commits: after a crash, commits happen at other records, and the same
   * records must be written to the same partitions again.
   */
  #sticky(count: number): number {
    const { input, offset } = this.#record
    return ((input?.partition ?? 0) + Math.floor(Math.max(0, offset) / stickyRecords)) % count
  }
}

/** Number of consecutive offsets of an input whose records without a key share a partition. */
const stickyRecords = 256

interface Target {
  readonly topic: string
  readonly places: readonly StagedPlace[]
}
