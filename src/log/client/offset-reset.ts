import { shown } from '../../base/shown.ts'
import { LogError } from '../api/errors.ts'
import type { Isolation } from '../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'

/**
 * Where a partition without a committed offset starts: its beginning, its end, nowhere (NO_OFFSET), or the first record of
 * the last so many milliseconds (its end if there is none). Kafka: `auto.offset.reset`, whose `by_duration:P7DT12H` is
 * understood too.
 */
export type OffsetReset = 'earliest' | 'latest' | 'none' | { readonly byDuration: number } | `by_duration:${string}`

/**
 * Where to read on: at an offset, at the beginning or the end, or at the first record with at least that timestamp (ms).
 */
export type SeekTarget = Offset | 'beginning' | 'end' | { readonly timestamp: number }

/** {@link OffsetReset} after its check. */
export type CheckedReset = 'earliest' | 'latest' | 'none' | { readonly byDuration: number }

export function checkedReset(reset: OffsetReset): CheckedReset {
  if (reset === 'earliest' || reset === 'latest' || reset === 'none') return reset
  const ms = typeof reset === 'string' ? isoDurationMs(reset) : reset.byDuration
  if (ms !== null && Number.isSafeInteger(ms) && ms >= 0) return { byDuration: ms }
  throw new LogError(
    'INVALID_CONFIG',
    `autoOffsetReset is ${shown(reset)}: use earliest, latest, none, { byDuration: milliseconds } or by_duration:PnDTnHnMnS`,
    { reset },
  )
}

/**
 * Refuses Kafka's names: taken for the default, they would show or hide other records than intended. Throws
 * INVALID_CONFIG.
 */
export function checkedIsolation(isolation: Isolation): Isolation {
  if (isolation === 'committed' || isolation === 'durable' || isolation === 'sequenced') return isolation
  throw new LogError(
    'INVALID_CONFIG',
    `isolation is ${shown(isolation)}: use 'committed' (Kafka's read_committed), 'durable' (read_uncommitted) or 'sequenced'`,
    { isolation },
  )
}

/** Parses an ISO 8601 duration as Java does: days, hours, minutes, seconds with a fraction. */
function isoDurationMs(reset: string): number | null {
  const parts = /^by_duration:P(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/i.exec(reset)
  if (parts === null || parts.slice(1).every((part) => part === undefined)) return null
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = parts.slice(1).map((part) => Number(part ?? 0))
  return Math.round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)
}

export function resolveReset(
  broker: Broker,
  at: TopicPartition,
  how: { readonly reset: CheckedReset; readonly isolation: Isolation; readonly now: number; readonly group?: string },
): Offset {
  const { reset, isolation, now, group } = how
  if (reset === 'none')
    throw new LogError(
      'NO_OFFSET',
      `${group === undefined ? 'a consumer without a group' : `group ${group}`} has no committed offset for ${partitionName(at)}, and autoOffsetReset is none: seek, commit one, or choose earliest or latest`,
      { group, ...at },
    )
  if (typeof reset === 'object')
    return resolveSeek(broker, at, { to: { timestamp: Math.max(0, now - reset.byDuration) }, isolation })
  return resolveSeek(broker, at, { to: reset === 'earliest' ? 'beginning' : 'end', isolation })
}

export function resolveSeek(
  broker: Broker,
  at: TopicPartition,
  where: { readonly to: SeekTarget; readonly isolation: Isolation },
): Offset {
  const { to, isolation } = where
  if (typeof to === 'number') {
    if (Number.isSafeInteger(to) && to >= 0) return to
    throw new LogError('OFFSET_OUT_OF_RANGE', `offset ${to} of ${partitionName(at)}: use an integer of 0 or more`, {
      to,
    })
  }
  if (typeof to === 'object') {
    if (to === null || !('timestamp' in to)) throw wrongTarget(at, to)
    if (!Number.isSafeInteger(to.timestamp)) {
      throw new LogError('INVALID_TIMESTAMP', `seek to time ${shown(to.timestamp)}: use milliseconds, an integer`, {
        ...to,
      })
    }
    return onlyOne(broker.offsetsForTime([{ at, timestamp: to.timestamp }], isolation)).offset
  }
  if (to !== 'beginning' && to !== 'end') throw wrongTarget(at, to)
  const { start, end } = onlyOne(broker.bounds([at], isolation))
  return to === 'beginning' ? start : end
}

/** For untyped callers: a wrong target taken for another one would skip or repeat records. */
function wrongTarget(at: TopicPartition, to: unknown): LogError {
  return new LogError(
    'INVALID_CONFIG',
    `seek of ${partitionName(at)} to ${shown(to)}: use an offset, 'beginning', 'end' or { timestamp: milliseconds }`,
    { ...at, to },
  )
}

function onlyOne<T>(list: readonly T[]): T {
  const [first] = list
  if (first === undefined) throw new LogError('UNKNOWN_PARTITION', 'the log does not know the partition')
  return first
}
