import { StreamsError } from './errors.ts'

/** Every option of the runtime: its default, its unit, and Kafka's name where there is one. */
export interface StreamsConfig {
  /** A commit is due after this time, even while there is more to process. Default 100 ms. Kafka: `commit.interval.ms`. */
  readonly commitIntervalMs: number
  /** Bytes of output at which a commit is due. Default 8 MiB. */
  readonly commitBytesMax: number
  /** Estimated bytes of changed rows, over all stores, at which a commit is due. Default 32 MiB. */
  readonly overlayBytesMax: number
  /** How often committed rows are written to the stores. Default 1,000 ms. */
  readonly storeFlushIntervalMs: number
  /** Estimated bytes of committed rows at which they are written to the stores earlier. Default 64 MiB. */
  readonly storeFlushBytesMax: number
  /**
   * Memory, over all stores, for rows that are in the stores as well. Default 64 MiB. Kafka:
   * `statestore.cache.max.bytes`.
   */
  readonly storeCacheBytes: number
  /** Most bytes of one poll, over all partitions. Default 1 MiB. Kafka: `max.partition.fetch.bytes`, of one partition. */
  readonly pollBytesMax: number
  /** Bytes that were fetched from a partition and not processed yet, above which it is not polled. Default 1 MiB. */
  readonly bufferedBytesMax: number
  /**
   * How often records that were processed and committed are removed from repartition topics. Default 30,000 ms. Kafka:
   * `repartition.purge.interval.ms`.
   */
  readonly purgeIntervalMs: number
  /**
   * What an exception in user code does. `fail` (default): it stops the application. `continue`: the record is dropped at
   * that node, or the rest of a schedule's callback is skipped, and this is counted. Kafka: `processing.exception.handler`.
   */
  readonly onProcessingError: 'fail' | 'continue'
}

export const defaultStreamsConfig: StreamsConfig = {
  commitIntervalMs: 100,
  commitBytesMax: 8 * 1024 * 1024,
  overlayBytesMax: 32 * 1024 * 1024,
  storeFlushIntervalMs: 1000,
  storeFlushBytesMax: 64 * 1024 * 1024,
  storeCacheBytes: 64 * 1024 * 1024,
  pollBytesMax: 1024 * 1024,
  bufferedBytesMax: 1024 * 1024,
  purgeIntervalMs: 30_000,
  onProcessingError: 'fail',
}

/**
 * Returns the given options, with defaults for the rest. Other properties are ignored. Throws CONFIG_INVALID, naming
 * the option, its value and the allowed values.
 */
export function streamsConfig(given: Partial<StreamsConfig>): StreamsConfig {
  const config = { ...defaultStreamsConfig }
  for (const name of Object.keys(defaultStreamsConfig) as (keyof StreamsConfig)[]) {
    const value = given[name]
    if (value === undefined) continue
    const fits =
      name === 'onProcessingError'
        ? value === 'fail' || value === 'continue'
        : (Number.isSafeInteger(value) && Number(value) >= 0) || value === Number.POSITIVE_INFINITY
    if (!fits) {
      const remedy = name === 'onProcessingError' ? "'fail' or 'continue'" : 'a whole number from 0 on, or Infinity'
      throw new StreamsError(
        'CONFIG_INVALID',
        `${name} is ${typeof value === 'string' ? JSON.stringify(value) : String(value)}; use ${remedy}`,
        {
          option: name,
          value,
        },
      )
    }
    Object.assign(config, { [name]: value })
  }
  return config
}
