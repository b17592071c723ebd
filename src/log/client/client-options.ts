import { shown } from '../../base/shown.ts'
import { LogError } from '../api/errors.ts'

/** One numeric option of a client: default, unit, bounds, and Kafka's name. */
export interface ClientNumber {
  readonly default: number
  readonly unit: 'bytes' | 'ms' | 'count'
  readonly min: number
  readonly max: number
  readonly kafka: string | null
}

const mib = 1024 * 1024
const hour = 3_600_000
/** The longest delay of a timer in Node: 24 days. */
const timerMax = 2 ** 31 - 1

export interface ProducerNumbers {
  readonly lingerMs: number
  readonly batchBytesMax: number
  readonly bufferBytesMax: number
  readonly waitingSendsMax: number
  readonly inFlightMax: number
  readonly retries: number
  readonly retryBackoffMs: number
  readonly deliveryTimeoutMs: number
  readonly transactionTimeoutMs: number
}

/**
 * `lingerMs` is 0 by default, because the journal already groups what arrives together: a longer wait would only add
 * latency. Waiting for the next turn of the event loop is enough for all sends of one turn to share a batch.
 */
export const producerNumbers: { readonly [Name in keyof ProducerNumbers]: ClientNumber } = {
  lingerMs: { default: 0, unit: 'ms', min: 0, max: hour, kafka: 'linger.ms' },
  batchBytesMax: { default: mib / 4, unit: 'bytes', min: 1, max: 32 * mib, kafka: 'batch.size' },
  bufferBytesMax: { default: 32 * mib, unit: 'bytes', min: 1, max: 4096 * mib, kafka: 'buffer.memory' },
  waitingSendsMax: { default: 1_000_000, unit: 'count', min: 0, max: 2 ** 31, kafka: null },
  inFlightMax: { default: 5, unit: 'count', min: 1, max: 5, kafka: 'max.in.flight.requests.per.connection' },
  retries: { default: 2 ** 31 - 1, unit: 'count', min: 0, max: 2 ** 31 - 1, kafka: 'retries' },
  retryBackoffMs: { default: 100, unit: 'ms', min: 1, max: hour, kafka: 'retry.backoff.ms' },
  deliveryTimeoutMs: { default: 120_000, unit: 'ms', min: 1, max: 24 * hour, kafka: 'delivery.timeout.ms' },
  transactionTimeoutMs: { default: 60_000, unit: 'ms', min: 1, max: 24 * hour, kafka: 'transaction.timeout.ms' },
}

export interface ConsumerNumbers {
  readonly maxPollRecords: number
  readonly maxPollIntervalMs: number
  readonly sessionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly fetchBytesMax: number
  readonly autoCommitIntervalMs: number
}

export const consumerNumbers: { readonly [Name in keyof ConsumerNumbers]: ClientNumber } = {
  maxPollRecords: { default: 500, unit: 'count', min: 1, max: 2 ** 31, kafka: 'max.poll.records' },
  maxPollIntervalMs: { default: 300_000, unit: 'ms', min: 1, max: timerMax, kafka: 'max.poll.interval.ms' },
  sessionTimeoutMs: { default: 45_000, unit: 'ms', min: 1, max: timerMax, kafka: 'session.timeout.ms' },
  heartbeatIntervalMs: { default: 3000, unit: 'ms', min: 1, max: timerMax, kafka: 'heartbeat.interval.ms' },
  fetchBytesMax: { default: mib, unit: 'bytes', min: 1, max: 1024 * mib, kafka: 'fetch.max.bytes' },
  autoCommitIntervalMs: { default: 5000, unit: 'ms', min: 0, max: hour, kafka: 'auto.commit.interval.ms' },
}

/** The numeric options of a client, as given or by default. Throws INVALID_CONFIG with option, value and bounds. */
export function clientNumbers<Name extends string>(
  client: string,
  table: { readonly [N in Name]: ClientNumber },
  given: { readonly [N in NoInfer<Name>]?: number | undefined },
): { readonly [N in Name]: number } {
  const names = Object.keys(table) as Name[]
  const entries = names.map((name) => {
    const option = table[name]
    const value = given[name] ?? option.default
    if (!Number.isSafeInteger(value) || value < option.min || value > option.max) {
      throw new LogError(
        'INVALID_CONFIG',
        `${name} of the ${client} is ${shown(value)}: use an integer from ${option.min} to ${option.max} (${option.unit})`,
        { name, value },
      )
    }
    return [name, value] as const
  })
  // Every name in the table has an entry.
  return Object.fromEntries(entries) as { readonly [N in Name]: number }
}
