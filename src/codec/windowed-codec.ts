import type { ByteWriter } from '../base/bytes.ts'
import { shown } from '../base/shown.ts'
import { CodecError } from './codec-error.ts'
import type { Identity, KeyCodec } from './codec.ts'
import { keyDeclaration } from './key-choice.ts'
import type { KeyDeclaration } from './key-choice.ts'
import type { Declared, OutputOf } from './schema.ts'

/** `time`: windows of a fixed length. `session`: windows that last as long as records keep arriving. */
export type WindowKind = 'time' | 'session'

/** Windows as declared: what is needed to read a windowed key. */
export interface Windows<out Kind extends WindowKind> {
  readonly kind: Kind
  /** Length of a time window in ms; of a session, its inactivity gap; of a sliding window, the time difference. */
  readonly sizeMs: number
  /** Time from the start of a window to the start of the next; 0 for sliding windows and sessions. */
  readonly advanceMs: number
  /** How long after its end, in stream time, a window still accepts records. */
  readonly graceMs: number
}

/**
 * A key with its window, from `start` to `end` in ms since the epoch. The end of time windows is exclusive, that of sliding
 * windows and sessions inclusive.
 */
export interface Windowed<out K, out Kind extends WindowKind = WindowKind> {
  readonly key: K
  readonly start: number
  readonly end: number
  readonly kind: Kind
}

/** The codec of windowed keys; partitions are computed from the inner key alone, as Kafka's windowed partitioner does. */
export interface WindowedKeyCodec<K, Kind extends WindowKind> extends KeyCodec<Windowed<K, Kind>> {
  readonly inner: KeyDeclaration
  readonly windows: Windows<Kind>
}

export function isWindowedCodec(codec: object): codec is WindowedKeyCodec<unknown, WindowKind> {
  return 'inner' in codec && 'windows' in codec
}

/**
 * Declares the keys of windowed results, in the layout of Kafka's windowed serializers. The key of a time window does
 * not contain its end, so the windows are part of the declaration:
 *
 *     time:     inner key | i64 start
 *     session:  inner key | i64 end | i64 start
 *
 * @example topic('views-per-minute', { key: windowed(z.string(), minute), value: z.number() })
 */
export function windowed<D extends Declared, Kind extends WindowKind>(
  key: D,
  windows: Windows<Kind>,
): WindowedKeyCodec<OutputOf<D>, Kind> {
  if (typeof windows !== 'object' || windows === null || !('kind' in windows) || !('sizeMs' in windows)) {
    throw new CodecError(
      'INVALID_DECLARATION',
      `windowed: give windows made by tumbling, hopping, sliding or sessions, not ${shown(windows)}`,
    )
  }
  const inner = keyDeclaration(key, 'key of a window')
  return windows.kind === 'session' ? sessionCodec(inner, windows) : timeCodec(inner, windows)
}

function timeCodec<K, Kind extends WindowKind>(
  inner: KeyDeclaration,
  windows: Windows<Kind>,
): WindowedKeyCodec<K, Kind> {
  return Object.freeze({
    id: timeWindowedId(windows.sizeMs, inner.codec.id),
    inner,
    windows,
    write(key: Windowed<K, Kind>, to: ByteWriter): void {
      checkKind(key, windows)
      inner.codec.write(key.key, to)
      to.i64(key.start)
    },
    read(bytes: Uint8Array, start: number, end: number): Windowed<K, Kind> {
      const at = split(start, end, 8)
      const opened = timeAt(bytes, at)
      return {
        key: readInner(inner, bytes, start, at),
        start: opened,
        end: opened + windows.sizeMs,
        kind: windows.kind,
      }
    },
    identity(key: Windowed<K, Kind>): Identity {
      return identityOf(inner, key)
    },
  })
}

/** The id of the codec for keys of time windows of that size. */
export function timeWindowedId(sizeMs: number, innerId: string): string {
  return `time-windowed(${sizeMs}):${innerId}`
}

/** The id of the codec for keys of sessions. */
export function sessionWindowedId(innerId: string): string {
  return `session-windowed:${innerId}`
}

function sessionCodec<K, Kind extends WindowKind>(
  inner: KeyDeclaration,
  windows: Windows<Kind>,
): WindowedKeyCodec<K, Kind> {
  return Object.freeze({
    id: sessionWindowedId(inner.codec.id),
    inner,
    windows,
    write(key: Windowed<K, Kind>, to: ByteWriter): void {
      checkKind(key, windows)
      inner.codec.write(key.key, to)
      to.i64(key.end)
      to.i64(key.start)
    },
    read(bytes: Uint8Array, start: number, end: number): Windowed<K, Kind> {
      const at = split(start, end, 16)
      return {
        key: readInner(inner, bytes, start, at),
        start: timeAt(bytes, at + 8),
        end: timeAt(bytes, at),
        kind: windows.kind,
      }
    },
    identity(key: Windowed<K, Kind>): Identity {
      return identityOf(inner, key)
    },
  })
}

function readInner<K>(inner: KeyDeclaration, bytes: Uint8Array, start: number, end: number): K {
  const key = inner.codec.read(bytes, start, end)
  return (inner.validate === undefined ? key : inner.validate(key)) as K
}

/** Contains the times and the type of the inner identity, so that different windowed keys have different identities. */
function identityOf(inner: KeyDeclaration, key: Windowed<unknown>): string {
  const identity = inner.codec.identity(key.key)
  return `${key.start}/${key.end}/${(typeof identity)[0]}${identity}`
}

function checkKind(key: Windowed<unknown>, windows: Windows<WindowKind>): void {
  if (typeof key === 'object' && key !== null && key.kind === windows.kind) return
  throw new CodecError('INVALID_RECORD', `${shown(key)} is not a key of a ${windows.kind} window`, { value: key })
}

function split(start: number, end: number, size: number): number {
  if (end - start < size) {
    throw new CodecError('INVALID_RECORD', `a windowed key has at least ${size} bytes, not ${end - start}`)
  }
  return end - size
}

function timeAt(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8)
  const time = view.getInt32(0) * 0x1_0000_0000 + view.getUint32(4)
  if (time < 0 || !Number.isSafeInteger(time)) {
    throw new CodecError('INVALID_RECORD', `a window cannot begin or end at ${time}`, { value: time })
  }
  return time
}
