import type { ByteWriter, ViewedBytes } from '../../base/bytes.ts'
import { reasonFor } from '../../base/coded-error.ts'
import { CodecError } from '../../codec/codec-error.ts'
import type { AnyTopic } from '../../codec/topic.ts'
import { LogError } from '../api/errors.ts'
import type { TopicInfo } from '../api/topic.ts'

/**
 * Converts the keys and values of one topic to bytes and back. A declared topic brings its schemas and codecs; a topic
 * given by name only takes and returns bytes.
 *
 * Writing appends to a buffer and returns false for null. What does not fit is INVALID_RECORD: on writing before the
 * producer has accepted anything, on reading for whatever other programs have written.
 */
export interface RecordFormat {
  readonly topic: string
  /** Codec ids that are stored with the topic; undefined for plain bytes. */
  readonly keyCodec: string | undefined
  readonly valueCodec: string | undefined
  /** Whether keys and values given as bytes are used unchanged, so that they need not be written first. */
  readonly takesBytes: boolean
  /** Validates a key or value and returns it with defaults filled in. */
  checkKey(key: unknown): unknown
  checkValue(value: unknown): unknown
  writeKey(key: unknown, to: ByteWriter): boolean
  writeValue(value: unknown, to: ByteWriter): boolean
  /** The record's timestamp; `now` if the topic does not define one. */
  timestampOf(value: unknown, key: unknown, now: number): number
  /** A start of -1 means null. */
  readKey(from: ViewedBytes, start: number, end: number): unknown
  readValue(from: ViewedBytes, start: number, end: number): unknown
}

/** What may be sent to a topic by name; a string is sent as UTF-8. */
export type BytesIn = Uint8Array | string | null | undefined

/** What is read from a topic by name: a view of memory that does not change. */
export type BytesOut = Buffer | null

/** The format of a topic given by name only. */
export function bytesFormat(topic: string): RecordFormat {
  return {
    topic,
    keyCodec: undefined,
    valueCodec: undefined,
    takesBytes: true,
    checkKey: (key) => key,
    checkValue: (value) => value,
    writeKey: (key, to) => writeBytes(topic, 'key', key, to),
    writeValue: (value, to) => writeBytes(topic, 'value', value, to),
    timestampOf: (_value, _key, now) => now,
    readKey: viewOf,
    readValue: viewOf,
  }
}

/** The format of a declared topic. */
export function declaredFormat(declared: AnyTopic): RecordFormat {
  const { name, key, value, timestamp } = declared
  const validateValue = value.validateOnSend ?? value.validate
  return {
    topic: name,
    keyCodec: key.codec.id,
    valueCodec: value.codec.id,
    takesBytes: false,
    checkKey: (given) => {
      if (given === null && !key.allowsNull) throw nullRefused(name, 'key')
      return key.validate === undefined || given === null ? given : onSend(name, () => key.validate?.(given))
    },
    checkValue: (given) => {
      if (given === null && !value.allowsNull) throw nullRefused(name, 'value')
      return validateValue === undefined || given === null ? given : onSend(name, () => validateValue(given))
    },
    writeKey: (given, to) => {
      if (given === null) return false
      onSend(name, () => key.codec.write(given, to), 'its key: ')
      return true
    },
    writeValue: (given, to) => {
      if (given === null) return false
      onSend(name, () => value.codec.write(given, to), 'its value: ')
      return true
    },
    timestampOf: (given, keyGiven, now) => (timestamp === undefined ? now : timestamp(given, keyGiven, now, -1)),
    readKey: (from, start, end) => {
      if (start < 0) {
        if (!key.allowsNull) throw nullRefused(name, 'key')
        return null
      }
      const read = key.codec.read(from.bytes, start, end)
      return key.validate === undefined ? read : key.validate(read)
    },
    readValue: (from, start, end) => {
      if (start < 0) {
        if (!value.allowsNull) throw nullRefused(name, 'value')
        return null
      }
      const read = value.codec.read(from.bytes, start, end)
      return value.validate === undefined ? read : value.validate(read)
    },
  }
}

/**
 * Throws TOPIC_MISMATCH if the topic has other codecs stored than the declaration has: bytes written with one codec and
 * read with the other would silently be wrong.
 */
export function checkFormat(info: TopicInfo, format: RecordFormat): void {
  for (const part of ['keyCodec', 'valueCodec'] as const) {
    const stored = info.config[part]
    const declared = format[part]
    if (stored === undefined || declared === undefined || stored === declared) continue
    throw new LogError(
      'TOPIC_MISMATCH',
      `topic ${info.name} was created with ${part} ${stored}, but the declaration has ${declared}: declare it as it was created, or use another topic`,
      { topic: info.name, stored, declared },
    )
  }
}

/** `part` says what is written, where the reason does not. */
function onSend<T>(topic: string, act: () => T, part = ''): T {
  try {
    return act()
  } catch (cause) {
    // An asynchronous schema and similar mistakes are errors in the program, not in a record.
    if (cause instanceof CodecError && cause.code !== 'INVALID_RECORD') throw cause
    const reason = reasonFor('INVALID_RECORD', cause)
    throw new LogError('INVALID_RECORD', `record for topic ${topic} refused: ${part}${reason}`, { topic }, { cause })
  }
}

function nullRefused(topic: string, part: 'key' | 'value'): LogError {
  const remedy =
    part === 'key'
      ? 'declare a nullable key if records may have none'
      : 'declare it with tombstones: true if null deletes'
  return new LogError('INVALID_RECORD', `the ${part} of a record of topic ${topic} is null: ${remedy}`, { topic, part })
}

function writeBytes(topic: string, part: 'key' | 'value', given: unknown, to: ByteWriter): boolean {
  if (given === null || given === undefined) return false
  if (given instanceof Uint8Array) {
    to.raw(given)
    return true
  }
  if (typeof given === 'string') {
    const size = Buffer.byteLength(given)
    const at = to.reserve(size)
    to.bytes.write(given, at, size, 'utf8')
    return true
  }
  throw new LogError(
    'INVALID_RECORD',
    `the ${part} for topic ${topic} is of type ${typeof given}: give bytes, a string or null, or send to a declared topic`,
    { topic, part },
  )
}

function viewOf(from: ViewedBytes, start: number, end: number): BytesOut {
  return start < 0 ? null : from.view(start, end)
}
