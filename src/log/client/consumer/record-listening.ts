import type { Clock } from '../../../base/clock.ts'
import { shown } from '../../../base/shown.ts'
import { LogError } from '../../api/errors.ts'
import { partitionName } from '../../api/record.ts'
import type { AssignedPartitions } from './assigned-partitions.ts'
import type { ConsumerRecord, ListenOptions, RecordBatch, RecordListenOptions } from './consumer-options.ts'
import { RecordRunner } from './record-runner.ts'

/**
 * Runs a listener on a consumer: reads records and passes them to the listener until it is ended or a call fails.
 *
 * - It reads no further records while `openMax` of them are not done.
 * - When it ends, running calls are finished first; records that are not done are given back.
 *
 * {@link RecordRunner} decides in which order calls are made, and what happens when one fails.
 */
export class RecordListening {
  readonly #clock: Clock
  readonly #nudge: () => void
  #runner: RecordRunner | null = null
  #ended: Promise<void> = Promise.resolve()
  #stop: () => void = () => {}

  /** `nudge` ends the wait for records, because something else needs attention. */
  constructor(clock: Clock, nudge: () => void) {
    this.#clock = clock
    this.#nudge = nudge
  }

  /** Null while there is no listener. */
  get runner(): RecordRunner | null {
    return this.#runner
  }

  /** Begins no further calls; resolves when none is running. */
  async end(): Promise<void> {
    this.#stop()
    await this.#ended
  }

  /** Runs until it is ended. Rejects with what the listener threw. */
  async run<R>({ concurrency, signal, openMax, read, add, over }: ListenRun<R>): Promise<void> {
    const runner = new RecordRunner(this.#clock, concurrency, this.#nudge)
    const ended = Promise.withResolvers<void>()
    this.#runner = runner
    this.#ended = ended.promise
    const stop = (): void => {
      runner.stop()
      this.#nudge()
    }
    this.#stop = stop
    signal?.addEventListener('abort', stop)
    if (signal?.aborted === true) stop()
    try {
      while (!runner.hasEnded) {
        const keys: (string | null)[] = []
        const records = await read(keys, openMax - runner.openCount, runner.runningCount > 0)
        add(runner, records, keys)
        runner.dispatch()
      }
    } finally {
      signal?.removeEventListener('abort', stop)
      await runner.end()
      this.#runner = null
      over()
      ended.resolve()
    }
    if (runner.failure !== null) throw runner.failure.error
  }
}

interface ListenRun<R> {
  readonly concurrency: number
  readonly signal: AbortSignal | undefined
  /** Number of records that may be with the listener. */
  readonly openMax: number
  /** Reads up to `countMax` records; their keys are added to `keys`. */
  readonly read: (keys: (string | null)[], countMax: number, isBusy: boolean) => Promise<readonly R[]>
  readonly add: AddRecords<R>
  /** Gives back records that are not done. */
  readonly over: () => void
}

/** Creates calls for the records that were read. */
export type AddRecords<R> = (runner: RecordRunner, records: readonly R[], keys: readonly (string | null)[]) => void

/** One call per record, in the requested order. Throws INVALID_CONFIG. */
export function callPerRecord<K, V>(
  partitions: AssignedPartitions,
  listener: (record: ConsumerRecord<K, V>) => void | Promise<void>,
  { order = 'key', notBefore }: RecordListenOptions<K, V>,
): AddRecords<ConsumerRecord<K, V>> {
  if (order !== 'key' && order !== 'partition' && order !== 'none')
    throw new LogError('INVALID_CONFIG', `order is ${shown(order)}: use key, partition or none`)
  return (runner, records, keys) => {
    for (const [index, record] of records.entries()) {
      const name = partitionName(record)
      runner.add({
        partition: partitions.of(record),
        offsets: [record.offset],
        lane: order === 'none' ? null : order === 'partition' ? name : `${name}/${keys[index] ?? nullKey}`,
        notBefore: notBefore === undefined ? 0 : checkedTime(notBefore(record)),
        run: () => listener(record),
        dropped: false,
      })
    }
  }
}

/** One call for the records of a partition that were read together. Calls of a partition run one after the other. */
export function callPerBatch<K, V>(
  partitions: AssignedPartitions,
  listener: (batch: RecordBatch<K, V>) => void | Promise<void>,
): AddRecords<ConsumerRecord<K, V>> {
  return (runner, records) => {
    for (const [name, batch] of Map.groupBy(records, partitionName)) {
      const [first] = batch
      if (first === undefined) continue
      const { topic, partition } = first
      runner.add({
        partition: partitions.of(first),
        offsets: batch.map(({ offset }) => offset),
        lane: name,
        notBefore: 0,
        run: () => listener({ topic, partition, records: batch }),
        dropped: false,
      })
    }
  }
}

function checkedTime(notBefore: number): number {
  if (typeof notBefore === 'number' && !Number.isNaN(notBefore)) return notBefore
  throw new LogError('INVALID_CONFIG', `notBefore gave ${shown(notBefore)}: return milliseconds, a number`)
}

/** The number of calls that may run at the same time. Throws INVALID_CONFIG. */
export function checkedConcurrency({ concurrency = 1 }: ListenOptions): number {
  if (Number.isSafeInteger(concurrency) && concurrency >= 1 && concurrency <= concurrencyMax) return concurrency
  throw new LogError(
    'INVALID_CONFIG',
    `concurrency is ${shown(concurrency)}: use an integer from 1 to ${concurrencyMax}`,
  )
}

const concurrencyMax = 10_000

/** Not the text of any key, because keys have only characters up to U+00FF. */
const nullKey = '\u{10ffff}'
