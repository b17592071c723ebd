import { SeededRandom } from '../../src/base/seeded-random.ts'

import type { Isolation } from '../../src/log/api/log.ts'
import { outgoingRecord, type OutgoingRecord, type TopicPartition } from '../../src/log/api/record.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { BatchBuilder } from '../../src/log/format/batch-builder.ts'
import { openLog, type OpenLogOptions } from '../../src/log/open-log.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { MemoryDisk } from '../../src/testing/memory-disk.ts'

/** A value, or a key and a value; null is a tombstone. */
export type RecordSpec = string | readonly [key: string | null, value: string | null, timestamp?: number]

/** A log on a disk in memory with a manual clock: the vocabulary of the log's specifications. */
export class LogHarness {
  readonly clock: ManualClock = new ManualClock(1_700_000_000_000)
  disk: MemoryDisk
  #log: EmbeddedLog | null = null
  readonly #options: Partial<OpenLogOptions>
  readonly #ids: SeededRandom

  private constructor(options: HarnessOptions) {
    const { disk = new MemoryDisk(), ...rest } = options
    this.disk = disk
    this.#options = rest
    this.#ids = new SeededRandom(1)
  }

  static async open(options: HarnessOptions = {}): Promise<LogHarness> {
    const harness = new LogHarness(options)
    await harness.reopen()
    return harness
  }

  /** A harness whose log is not opened yet. */
  static on(disk: MemoryDisk, options: HarnessOptions = {}): LogHarness {
    return new LogHarness({ ...options, disk })
  }

  get log(): EmbeddedLog {
    if (this.#log === null) throw new Error('the log is not open')
    return this.#log
  }

  async reopen(): Promise<EmbeddedLog> {
    this.#log = await openLog({
      dataDir: '/log',
      checkpointIntervalMs: 1_000_000_000,
      retentionCheckIntervalMs: 1_000_000_000,
      compactionIntervalMs: 1_000_000_000,
      journalFileBytesMin: 16 * 1024,
      ...this.#options,
      disk: this.disk,
      clock: this.clock,
      randomBytes: (count) => Uint8Array.from({ length: count }, () => this.#ids.below(256)),
    })
    return this.#log
  }

  async close(): Promise<void> {
    await this.log.close()
    this.#log = null
  }

  /** The process is killed, or the power is cut; a power cut may lose unsynced bytes, as the seed decides. */
  crash(how: { readonly powerCutSeed?: number } = {}): void {
    this.#log = null
    this.disk =
      how.powerCutSeed === undefined ? this.disk.crashProcess() : this.disk.cut(new SeededRandom(how.powerCutSeed))
  }

  async topic(
    name: string,
    partitions = 1,
    config: Parameters<EmbeddedLog['ensureTopics']>[0][0]['config'] = {},
  ): Promise<void> {
    await this.log.ensureTopics([{ name, partitions, config }])
  }

  /** Appends one batch; resolves when it is acknowledged. */
  async append(topic: string, partition: number, records: readonly RecordSpec[]): Promise<number> {
    const appended = await this.log.broker.append({ topic, partition }, batchOf(records))
    return appended.baseOffset
  }

  /** All values from the log start to the durable end. */
  async values(topic: string, partition: number): Promise<readonly string[]> {
    return (await readAll(this.log, { topic, partition })).map(({ value }) => value ?? '(null)')
  }
}

export type HarnessOptions = Partial<Omit<OpenLogOptions, 'disk'>> & { readonly disk?: MemoryDisk }

export interface ReadRecord {
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly timestamp: number
}

/** Reads a partition from its start to the end that the isolation shows. */
export async function readAll(
  log: Pick<EmbeddedLog, 'openReader' | 'bounds'>,
  at: TopicPartition,
  isolation: Isolation = 'durable',
): Promise<readonly ReadRecord[]> {
  const [bounds] = await log.bounds([at], isolation)
  if (bounds === undefined) return []
  const reader = await log.openReader({ isolation })
  reader.assign([{ at, offset: bounds.start }])
  const records: ReadRecord[] = []
  let next = bounds.start
  while (next < bounds.end) {
    const chunks = await reader.poll({ bytesMax: 100_000, waitMs: 0 })
    if (chunks.length === 0) break
    for (const chunk of chunks) {
      next = chunk.nextOffset
      const cursor = chunk.cursor()
      while (cursor.next()) {
        const { bytes, offset, timestamp, keyStart, keyEnd, valueStart, valueEnd } = cursor
        records.push({
          offset,
          timestamp,
          key: keyStart < 0 ? null : Buffer.from(bytes.subarray(keyStart, keyEnd)).toString(),
          value: valueStart < 0 ? null : Buffer.from(bytes.subarray(valueStart, valueEnd)).toString(),
        })
      }
    }
  }
  await reader.close()
  return records
}

export function recordOf(spec: RecordSpec): OutgoingRecord {
  const [key, value, timestamp] = typeof spec === 'string' ? [null, spec, 0] : [spec[0], spec[1], spec[2] ?? 0]
  const record = outgoingRecord()
  record.timestamp = timestamp
  if (key !== null) {
    record.key = Buffer.from(key)
    record.keyStart = 0
    record.keyEnd = record.key.length
  }
  if (value !== null) {
    record.value = Buffer.from(value)
    record.valueStart = 0
    record.valueEnd = record.value.length
  }
  return record
}

export function batchOf(records: readonly RecordSpec[]): Uint8Array {
  const builder = new BatchBuilder()
  for (const spec of records) builder.append(recordOf(spec))
  return builder.finish()
}
