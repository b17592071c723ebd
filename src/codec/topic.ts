import { optionsProblem, type OptionNames } from '../base/option-names.ts'
import { shown } from '../base/shown.ts'
import { CodecError } from './codec-error.ts'
import type { Codec } from './codec.ts'
import { keyDeclaration } from './key-choice.ts'
import type { KeyDeclaration } from './key-choice.ts'
import { checkRestorable } from './restorable.ts'
import type { Declared, InputOf, OutputOf, Writable } from './schema.ts'
import { checkedPartitioner, type TopicPartitioner } from './partitioner.ts'
import { checkDeclared, isCodec, validatorOf } from './schema.ts'
import { bytes, json, long, msgpack, number, string } from './value-codecs.ts'

/**
 * A declared topic: its name, what its bytes mean and when its records happened. Frozen data. K and V are the types that
 * reading returns, KIn and VIn those that writing accepts (fields with defaults may be left out).
 */
export interface Topic<out K, out V, in KIn = K, in VIn = V> {
  readonly name: string
  readonly key: KeyDeclaration
  readonly value: ValueDeclaration
  readonly timestamp?: TimestampExtractor
  /** The extractor uses the value alone, so that keys need not be decoded for it. */
  readonly timestampOfValue?: boolean
  readonly partitions?: number
  /** How the partition of a record is chosen; absent: murmur2 of the key. */
  readonly partitioner?: TopicPartitioner<unknown, unknown>
  readonly config: TopicSettings
  /** Only types; these properties do not exist. */
  readonly '~reads'?: () => [K, V]
  readonly '~accepts'?: (key: KIn, value: VIn) => void
}

/** Any topic, where the types of its keys and values do not matter. */
export type AnyTopic = Topic<unknown, unknown, never, never>

/** How the values of a topic are written, and what they are checked against. */
export interface ValueDeclaration {
  readonly codec: Codec<unknown>
  /** Absent if nothing is checked, because a codec was given or the topic is trusted. */
  readonly validate?: (value: unknown) => unknown
  /** The check of producers. Trusted topics have it as well, because a bad record cannot be taken back. */
  readonly validateOnSend?: (value: unknown) => unknown
  readonly allowsNull: boolean
}

/**
 * Returns the event time of a record in ms since the epoch; a record with a negative one is dropped and counted.
 * `partitionTime` is the highest time so far in the partition, -1 at first. Kafka: `TimestampExtractor`.
 */
export type TimestampExtractor = (value: unknown, key: unknown, recordTime: number, partitionTime: number) => number

/** How values that have a schema are written. */
export type ValueFormat = 'msgpack' | 'json' | 'string' | 'bytes' | 'number' | 'long'

/** Settings of a topic, by Kafka's names in camel case. They are used when the topic is created. */
export interface TopicSettings {
  /** `cleanup.policy`. Default `delete`. */
  readonly cleanupPolicy?: 'delete' | 'compact' | 'compact,delete'
  /** `retention.ms`, from the time of the append. Default -1: for ever. */
  readonly retentionMs?: number
  /** `retention.bytes` per partition. Default -1: without bound. */
  readonly retentionBytes?: number
  /** `segment.bytes`. Default 1 GiB. */
  readonly segmentBytes?: number
  /** `segment.ms`. Default 7 days. */
  readonly segmentMs?: number
  /** `segment.jitter.ms`: how much earlier than that segments close at most. Default 0; less than `segmentMs`. */
  readonly segmentJitterMs?: number
  /** `segment.index.bytes`: a segment closes when one of its indexes would outgrow this. Default 10 MiB. */
  readonly segmentIndexBytes?: number
  /** `index.interval.bytes`: bytes of batches between two entries of an index. Default 4096. */
  readonly indexIntervalBytes?: number
  /** `max.message.bytes`. Default 1,048,588. */
  readonly maxMessageBytes?: number
  /** `message.timestamp.after.max.ms`: how far ahead of the log's clock a record may be. Default 24 h (Kafka: 1 h). */
  readonly timestampAfterMaxMs?: number
  /** `message.timestamp.before.max.ms`: how far behind it. Default: without bound. */
  readonly timestampBeforeMaxMs?: number
  /** `delete.retention.ms`. Default 24 h. */
  readonly deleteRetentionMs?: number
  /** `min.cleanable.dirty.ratio`. Default 0.5. */
  readonly minCleanableDirtyRatio?: number
  /** `min.compaction.lag.ms`, from the time of the append. Default 0. */
  readonly minCompactionLagMs?: number
  /** `max.compaction.lag.ms`, from the time of the append. Default: without bound. */
  readonly maxCompactionLagMs?: number
}

const topicSettingNames: OptionNames<TopicSettings> = {
  cleanupPolicy: true,
  retentionMs: true,
  retentionBytes: true,
  segmentBytes: true,
  segmentMs: true,
  segmentJitterMs: true,
  segmentIndexBytes: true,
  indexIntervalBytes: true,
  maxMessageBytes: true,
  timestampAfterMaxMs: true,
  timestampBeforeMaxMs: true,
  deleteRetentionMs: true,
  minCleanableDirtyRatio: true,
  minCompactionLagMs: true,
  maxCompactionLagMs: true,
}

/** How a topic is declared: what its keys and values are, and how it is created if it does not exist. */
export interface TopicOptions<KD extends Declared, VD extends Declared, T extends boolean> {
  /** A schema, whose kind decides the codec (strings are written as UTF-8), or a codec, which is trusted without checks. */
  readonly key: KD & Writable<KD>
  /** A schema, whose values are written in `format`, or a codec, which is trusted without checks. */
  readonly value: VD & Writable<VD>
  /** Whether values may be null, which deletes the key. Default false: null does not fit. */
  readonly tombstones?: T
  /** How values that have a schema are written. Default `msgpack`; use `json` if other tools read the topic. */
  readonly format?: ValueFormat
  /**
   * Returns the event time in ms, from value and key. Default: the timestamp of the record, which tombstones always have.
   */
  readonly timestamp?: (value: OutputOf<VD>, key: OutputOf<KD>, recordTime: number, partitionTime: number) => number
  /** How many partitions the topic is created with. Default: as many as the part of the topology that writes it. */
  readonly partitions?: number
  /**
   * Chooses the partition of a record. Producers and sinks that write to this declaration use it, and the topic remembers its
   * id, see {@link TopicPartitioner}. Default: murmur2 of the key's bytes, as in Kafka's clients.
   */
  readonly partitioner?: TopicPartitioner<InputOf<KD>, InputOf<VD> | (T extends true ? null : never)>
  /** True skips validation when records are read: only for topics that nobody else writes. Default false. */
  readonly trusted?: boolean
  /** Settings with which the topic is created. */
  readonly config?: TopicSettings
}

const topicOptionNames: OptionNames<TopicOptions<Declared, Declared, boolean>> = {
  key: true,
  value: true,
  tombstones: true,
  format: true,
  timestamp: true,
  partitions: true,
  partitioner: true,
  trusted: true,
  config: true,
}

/**
 * Declares a topic; nothing is created yet. Schemas may come from any Standard Schema library and must be synchronous. Throws
 * INVALID_DECLARATION.
 * @example
 * const pageViews = topic('page-views', {
 *   key: z.string(),
 *   value: z.object({ path: z.string(), at: z.number() }),
 *   timestamp: (view) => view.at,
 *   partitions: 4,
 * })
 * @example
 * const orders = topic('orders', {
 *   key: z.object({ region: z.number(), id: z.string() }),
 *   value: z.object({ total: z.number() }),
 *   partitions: 8,
 *   partitioner: { id: 'by-region', partition: (key, _order, partitions) => key.region % partitions },
 * })
 */
export function topic<KD extends Declared, VD extends Declared, T extends boolean = false>(
  name: string,
  options: TopicOptions<KD, VD, T>,
): Topic<
  OutputOf<KD>,
  OutputOf<VD> | (T extends true ? null : never),
  InputOf<KD>,
  InputOf<VD> | (T extends true ? null : never)
> {
  if (typeof name !== 'string' || name === '' || typeof options !== 'object' || options === null) {
    throw new CodecError('INVALID_DECLARATION', `topic ${name}: declare it by topic('name', { key, value })`)
  }
  checkNames(`topic ${name}`, options, topicOptionNames)
  if (options.config !== undefined) checkNames(`config of topic ${name}`, options.config, topicSettingNames)
  const { partitions, partitioner } = options
  if (partitions !== undefined && !(Number.isInteger(partitions) && partitions >= 1 && partitions <= partitionsMax)) {
    throw new CodecError(
      'INVALID_DECLARATION',
      `topic ${name}: partitions is a whole number from 1 to ${partitionsMax}, not ${shown(partitions)}`,
    )
  }
  const key = keyDeclaration(options.key, `key of topic ${name}`)
  const timestamp = options.timestamp as TimestampExtractor | undefined
  if (timestamp !== undefined && typeof timestamp !== 'function') {
    throw new CodecError(
      'INVALID_DECLARATION',
      `topic ${name}: timestamp is a function (value, key, recordTime, partitionTime), not ${shown(timestamp)}`,
    )
  }
  return Object.freeze({
    name,
    key: Object.freeze(options.trusted === true ? { codec: key.codec, allowsNull: key.allowsNull } : key),
    value: Object.freeze(valueDeclaration(name, options)),
    ...(timestamp === undefined
      ? {}
      : { timestamp: ofValuesOnly(timestamp), timestampOfValue: takesValueOnly(timestamp) }),
    ...(partitions === undefined ? {} : { partitions }),
    ...(partitioner === undefined ? {} : { partitioner: checkedPartitioner(partitioner, `topic ${name}`) }),
    config: Object.freeze({ ...options.config }),
  })
}

export const partitionsMax = 10_000

function checkNames(what: string, options: unknown, names: OptionNames<object>): void {
  const problem = optionsProblem(options, names)
  if (problem !== null) throw new CodecError('INVALID_DECLARATION', `${what}: ${problem}`)
}

function ofValuesOnly(extract: TimestampExtractor): TimestampExtractor {
  return (value, key, recordTime, partitionTime) =>
    value === null ? recordTime : extract(value, key, recordTime, partitionTime)
}

/** Whether the extractor certainly cannot see the key, as `(value) => ...` and `({ at }) => ...` cannot. */
function takesValueOnly(extract: TimestampExtractor): boolean {
  const text = Function.prototype.toString.call(extract)
  return extract.length === 1 && /^(\(\s*[\w$]+\s*\)|[\w$]+|\(\s*\{[\w$\s,:]*\}\s*\))\s*=>/.test(text)
}

function valueDeclaration(
  name: string,
  options: {
    readonly value: Declared
    readonly format?: ValueFormat
    readonly tombstones?: boolean
    readonly trusted?: boolean
  },
): ValueDeclaration {
  const declared = options.value
  checkDeclared(declared, `value of topic ${name}`)
  if (isCodec(declared)) {
    if (options.format !== undefined) {
      throw new CodecError('INVALID_DECLARATION', `topic ${name}: a codec is its own format; leave out format`)
    }
    return { codec: declared, allowsNull: true }
  }
  checkRestorable(declared, `value of topic ${name}`)
  const allowsNull = options.tombstones === true
  const validateValue = validatorOf(declared, `value of topic ${name}`)
  const validate = (value: unknown): unknown => {
    if (value !== null) return validateValue(value)
    if (allowsNull) return null
    throw new CodecError(
      'INVALID_RECORD',
      `the value of topic ${name} is null; declare the topic with tombstones: true if null deletes its key`,
      { path: '', value: null },
    )
  }
  const codec = formats[options.format ?? 'msgpack']
  if (codec === undefined) {
    throw new CodecError(
      'INVALID_DECLARATION',
      `topic ${name}: format is one of ${Object.keys(formats).join(', ')}, not ${String(options.format)}`,
    )
  }
  return options.trusted === true
    ? { codec, validateOnSend: validate, allowsNull }
    : { codec, validate, validateOnSend: validate, allowsNull }
}

const formats: { readonly [Format in ValueFormat]: Codec<unknown> } = {
  msgpack,
  json,
  string: string,
  bytes: bytes,
  number: number,
  long: long,
}
