import { z } from 'zod'
import { ByteWriter } from '../base/bytes.ts'
import { bytesKey, longKey, stringKey, taggedKey } from '../codec/key-codecs.ts'
import type { Codec } from '../codec/codec.ts'
import { bytes, json, long, msgpack, number, string } from '../codec/value-codecs.ts'
import { plain } from './text-table.ts'
import { UsageError } from './terminal.ts'

/**
 * Converts keys and values to text and back, by the id of the codec that is stored with the topic. A topic without a
 * stored codec, or with a codec of a program's own, has plain bytes: shown as text if they are valid UTF-8, otherwise
 * in base64.
 */
export interface StoredText {
  /** Text for display. A start of -1 means null. */
  show(source: Uint8Array, start: number, end: number): string
  /** A value for `JSON.stringify`. */
  plain(source: Uint8Array, start: number, end: number): unknown
  /** The bytes of a text typed by the user. Throws {@link UsageError}. */
  fromText(text: string): Uint8Array
  fromPlain(value: unknown): Uint8Array
}

export function keyText(id: string | undefined): StoredText {
  const windows = /^(?:time-windowed\((\d+)\)|(session-windowed)):(.+)$/.exec(id ?? '')
  if (windows !== null) return windowedText(keyText(windows[3]), windows[1] === undefined ? null : Number(windows[1]))
  return storedText(id, keyCodecs)
}

export function valueText(id: string | undefined): StoredText {
  return storedText(id, valueCodecs)
}

const keyCodecs: Codecs = byId([stringKey, bytesKey, longKey, taggedKey])
const valueCodecs: Codecs = byId([string, bytes, long, number, json, msgpack])

/** The codecs by id. Each codec checks its argument, so it accepts values of unknown type. */
function byId(codecs: readonly CheckingCodec[]): Codecs {
  return new Map(codecs.map((codec) => [codec.id, codec as Codec<unknown>]))
}

type CheckingCodec = Pick<Codec<never>, 'id' | 'write'> & {
  read(bytes: Uint8Array, start: number, end: number): unknown
}

type Codecs = ReadonlyMap<string, Codec<unknown>>

function storedText(id: string | undefined, codecs: Codecs): StoredText {
  const codec = codecs.get(id ?? bytes.id)
  if (codec === undefined || codec.id === bytes.id) return bytesText(codec === undefined ? id : undefined)
  const isText = codec.id === string.id
  const readable = bytesText(undefined)
  const read = (source: Uint8Array, start: number, end: number): unknown => {
    if (start < 0) return null
    try {
      return codec.read(source, start, end)
    } catch {
      // Bytes that the codec cannot read are shown, not refused, because they may be what the user is looking for.
      return readable.plain(source, start, end)
    }
  }
  const write = (value: unknown): Uint8Array => {
    const to = new ByteWriter(256)
    try {
      codec.write(codec.id === number.id ? (numbersAsText.get(value) ?? value) : value, to)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new UsageError(`the codec ${codec.id} refuses it: ${reason}`, { cause })
    }
    return Buffer.from(to.bytes.subarray(0, to.length))
  }
  return {
    show(source, start, end) {
      const value = read(source, start, end)
      return typeof value === 'string' && isText ? plain(value) : plain(JSON.stringify(value, jsonSafe))
    },
    plain: (source, start, end) => read(source, start, end),
    fromText(text) {
      if (isText) return write(text)
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch (cause) {
        throw new UsageError(`the codec ${codec.id} takes JSON, but ${JSON.stringify(text.slice(0, 60))} is not JSON`, {
          cause,
        })
      }
      return write(value)
    },
    fromPlain: write,
  }
}

/** Bytes that are not text, in JSON. */
export const base64Json: z.ZodType<{ readonly base64: string }> = z.strictObject({ base64: z.base64() })

function bytesText(unknownId: string | undefined): StoredText {
  // A byte order mark is part of the bytes; a decoder that takes it for a mark would lose it.
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const read = (source: Uint8Array, start: number, end: number): string | { readonly base64: string } | null => {
    if (start < 0) return null
    const slice = source.subarray(start, end)
    try {
      return strict.decode(slice)
    } catch {
      return { base64: Buffer.from(slice).toString('base64') }
    }
  }
  const refuse = (): void => {
    if (unknownId === undefined) return
    throw new UsageError(
      `the topic's codec is ${unknownId}, which this command cannot write: use a program that has it`,
    )
  }
  return {
    show(source, start, end) {
      const value = read(source, start, end)
      if (value === null) return 'null'
      return typeof value === 'string' ? plain(value) : `base64:${value.base64}`
    },
    plain: read,
    fromText(text) {
      refuse()
      return Buffer.from(text)
    },
    fromPlain(value) {
      refuse()
      if (typeof value === 'string') return Buffer.from(value)
      const { success, data } = base64Json.safeParse(value)
      if (success) return Buffer.from(data.base64, 'base64')
      throw new UsageError(`bytes are a text or {"base64": "..."}, not ${JSON.stringify(value)}`)
    },
  }
}

/** Kafka's windowed keys: `key | i64 start`, for sessions `key | i64 end | i64 start`. */
function windowedText(inner: StoredText, sizeMs: number | null): StoredText {
  const suffix = sizeMs === null ? 16 : 8
  const times = (source: Uint8Array, end: number): { readonly start: number; readonly end: number } => {
    const view = new DataView(source.buffer, source.byteOffset + end - suffix, suffix)
    const start = Number(view.getBigInt64(suffix - 8))
    return { start, end: sizeMs === null ? Number(view.getBigInt64(0)) : start + sizeMs }
  }
  const whole = bytesText(undefined)
  const refuse = (): never => {
    throw new UsageError('windowed keys are written by applications only, they cannot be typed')
  }
  return {
    show(source, start, end) {
      if (start < 0 || end - start < suffix) return whole.show(source, start, end)
      const { start: from, end: to } = times(source, end)
      return `${inner.show(source, start, end - suffix)}@${from}/${to}`
    },
    plain(source, start, end) {
      if (start < 0 || end - start < suffix) return whole.plain(source, start, end)
      return { key: inner.plain(source, start, end - suffix), ...times(source, end) }
    },
    fromText: refuse,
    fromPlain: refuse,
  }
}

/** The numbers that JSON does not have: it would write null, which stands for no value. */
const numbersAsText: ReadonlyMap<unknown, number> = new Map(
  [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map((value) => [String(value), value]),
)

/** Replaces values that JSON cannot express: bigints, NaN and infinities become strings, bytes become base64. */
export function jsonSafe(_name: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') }
  return value
}
