import { copyBytes, latin1Slice } from '../base/bytes.ts'
import type { ByteWriter } from '../base/bytes.ts'
import { shown } from '../base/shown.ts'
import { CodecError } from './codec-error.ts'
import type { Identity, KeyCodec } from './codec.ts'
import { checkUtf8, checkWellFormed, readUtf8, writeUtf8 } from './utf8.ts'

export { taggedKey } from './tagged-key.ts'

/** Raw UTF-8, as every other Kafka client writes string keys. */
export const stringKey: KeyCodec<string> = Object.freeze({
  id: 'string',
  write(key: string, to: ByteWriter): void {
    if (typeof key !== 'string') throw wrongType('string', key)
    writeUtf8(key, to)
  },
  read: readUtf8,
  identity(key: string): Identity {
    checkWellFormed(key)
    return key
  },
  check: checkUtf8,
})

/** Bytes, unchanged. Reading copies them. */
export const bytesKey: KeyCodec<Uint8Array> = Object.freeze({
  id: 'bytes',
  write(key: Uint8Array, to: ByteWriter): void {
    if (!(key instanceof Uint8Array)) throw wrongType('bytes', key)
    to.raw(key)
  },
  read(bytes: Uint8Array, start: number, end: number): Uint8Array {
    // A copy, because a view would keep the whole chunk in memory that the record came in. It is taken from Node's
    // pool: `slice` on a view of a Buffer takes ten times as long.
    const copy = Buffer.allocUnsafe(end - start)
    copyBytes(bytes, start, end, copy, 0)
    return copy
  },
  identity(key: Uint8Array): Identity {
    return latin1Slice(key, 0, key.length)
  },
  check(): void {},
})

/**
 * Safe integers in 8 bytes, big-endian: what Kafka's LongSerializer writes. Bytes of negative numbers do not sort in
 * order.
 */
export const longKey: KeyCodec<number> = Object.freeze({
  id: 'long',
  write(key: number, to: ByteWriter): void {
    if (!Number.isSafeInteger(key)) throw wrongType('safe integer', key)
    to.i64(key)
  },
  read(bytes: Uint8Array, start: number, end: number): number {
    if (end - start !== 8) {
      throw new CodecError('INVALID_RECORD', `a long has 8 bytes, not ${end - start}`, { size: end - start })
    }
    const high = int32At(bytes, start) * 0x1_0000_0000
    const value = high + (int32At(bytes, start + 4) >>> 0)
    if (!Number.isSafeInteger(value)) {
      throw new CodecError('INVALID_RECORD', `the long ${value} is beyond ±(2^53 - 1)`, { value })
    }
    return value
  },
  identity(key: number): Identity {
    return key === 0 ? 0 : key
  },
})

function int32At(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  )
}

export function wrongType(wanted: string, value: unknown): CodecError {
  return new CodecError('INVALID_RECORD', `the codec writes a ${wanted}, not ${shown(value)}`, { value })
}
