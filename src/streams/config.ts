import { StreamsError } from './errors.ts'

/** Every option of the runtime: its default, its unit, and Kafka's name where there is one. */
export interface StreamsConfig {
  /** `commit.interval.ms`: a commit is due after that, also while there is more to do. Default 100 ms. */
  readonly commitIntervalMs: number
  /** Staged outputs of a commit, in bytes, that make it due. Default 8 MiB. */
  readonly commitBytesMax: number
  /** Dirty rows of all stores, in estimated bytes, that make a commit due. Default 32 MiB. */
  readonly overlayBytesMax: number
  /** How often committed rows go to the stores. Default 1,000 ms. */
  readonly storeFlushIntervalMs: number
  /** Committed rows that wait, in estimated bytes, that make a flush due. Default 64 MiB. */
  readonly storeFlushBytesMax: number
  /** `statestore.cache.max.bytes`: memory for rows that the stores hold too, over all stores. Default 64 MiB. */
  readonly storeCacheBytes: number
  /** `max.partition.fetch.bytes` of one poll over all partitions. Default 1 MiB. */
  readonly pollBytesMax: number
  /** Fetched and not processed bytes per partition above which it is not polled. Default 1 MiB. */
  readonly bufferedBytesMax: number
  /** `repartition.purge.interval.ms`: how often repartition topics lose what is committed. Default 30,000 ms. */
  readonly purgeIntervalMs: number
  /**
   * What an exception in user code does: stop the application (default), or drop the record at that node, or the rest of a
   * schedule's callback, counted. `processing.exception.handler`.
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

/** The options over their defaults. Throws CONFIG_INVALID naming option, value and what it can be. Others may stand beside them. */
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
