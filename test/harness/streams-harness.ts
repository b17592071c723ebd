import { long, string } from '../../src/codec/value-codecs.ts'
import type { Header, TopicPartition } from '../../src/log/api/record.ts'
import { partitionOfKey } from '../../src/base/murmur2.ts'
import type { Log } from '../../src/log/api/log.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { BatchBuilder } from '../../src/log/format/batch-builder.ts'
import type { StreamsConfig } from '../../src/streams/config.ts'
import type { RestoreProgress } from '../../src/streams/runtime/restore.ts'
import { DiskStoreEngine } from './disk-store.ts'
import { MemoryStoreEngine } from '../../src/streams/store/memory-store.ts'
import { StreamsRuntime } from '../../src/streams/streams.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { LogHarness, recordOf, type HarnessOptions } from './log-harness.ts'
import { wreckingReleasedChunks } from './wrecked-chunks.ts'

/** One input record: `[key, value, timestamp]`. */
export type InputRecord = readonly [
  key: string | null,
  value: string | null,
  timestamp: number,
  headers?: readonly Header[],
]

/** One output record, its bytes as text; `start` is the start of the window if the topic has windowed keys. */
export interface OutputRecord {
  readonly partition: number
  readonly key: string | null
  readonly start?: number
  readonly value: string | number | null
  readonly timestamp: number
  readonly headers: readonly Header[]
}

/** An application with its log and stores in memory and a manual clock. */
export class StreamsHarness {
  readonly harness: LogHarness
  readonly restored: RestoreProgress[] = []
  readonly #topology: Topology
  readonly #config: Partial<StreamsConfig>
  #runtime: StreamsRuntime | null = null

  private constructor(harness: LogHarness, topology: Topology, config: Partial<StreamsConfig>) {
    this.harness = harness
    this.#topology = topology
    this.#config = config
  }

  /** Opens the log and creates the topics; does not start the application. */
  static async open(
    topology: Topology,
    topics: { readonly [name: string]: number },
    config: Partial<StreamsConfig> = {},
    log: HarnessOptions = {},
  ): Promise<StreamsHarness> {
    const harness = await LogHarness.open(log)
    for (const [name, partitions] of Object.entries(topics)) await harness.topic(name, partitions)
    return new StreamsHarness(harness, topology, config)
  }

  get log(): EmbeddedLog {
    return this.harness.log
  }

  get runtime(): StreamsRuntime {
    if (this.#runtime === null) throw new Error('the application is not started')
    return this.#runtime
  }

  /** Starts the application. Chunks that it releases are wrecked, unless it is given another log. */
  async start(
    topology: Topology = this.#topology,
    log: Log = wreckingReleasedChunks(this.log),
  ): Promise<StreamsRuntime> {
    const runtime = new StreamsRuntime(topology, {
      applicationId: 'app',
      log,
      engines: { lmdb: new DiskStoreEngine(this.harness.disk), memory: new MemoryStoreEngine() },
      storeDirectory: '/stores',
      config: this.#config,
      clock: this.harness.clock,
      onRestore: (progress) => void this.restored.push(progress),
    })
    this.#runtime = runtime
    await this.pump(runtime.start())
    return runtime
  }

  /** Lets time pass until the promise settles. */
  async pump<T>(promise: Promise<T>): Promise<T> {
    const state = { settled: false }
    const settle = (): void => void (state.settled = true)
    promise.then(settle, settle)
    for (let turn = 0; !state.settled; turn++) {
      if (turn > 20_000) throw new Error('20 s of the clock have passed and it has not settled')
      await this.harness.clock.run(1)
    }
    return await promise
  }

  /** Appends records, each to the partition of its key unless one is given, and waits until they are durable. */
  async send(topic: string, records: readonly InputRecord[], partition?: number): Promise<void> {
    const count = (await this.log.topics([topic]))[0]?.partitions ?? 1
    const parts = new Map<number, InputRecord[]>()
    for (const record of records) {
      const bytes = Buffer.from(record[0] ?? '')
      const to = partition ?? (record[0] === null ? 0 : partitionOfKey(bytes, 0, bytes.length, count))
      parts.set(to, [...(parts.get(to) ?? []), record])
    }
    for (const [to, list] of parts) {
      for (let start = 0; start < list.length; start += 500) {
        await this.pump(this.log.broker.append({ topic, partition: to }, batchOf(list.slice(start, start + 500))))
      }
    }
  }

  /** Waits until everything is processed and durable. */
  async settle(): Promise<void> {
    await this.pump(this.runtime.settled())
  }

  /** Closes the application. */
  async stop(): Promise<void> {
    await this.pump(this.runtime.close())
  }

  async close(): Promise<void> {
    await this.stop()
    await this.pump(this.harness.close())
  }

  /** Kills the process without closing anything; then reopens the log, but does not start the application. */
  async crash(): Promise<void> {
    this.#runtime = null
    this.harness.crash()
    await this.pump(this.harness.reopen())
  }

  /** All records of a topic, by partition, then by offset. `value` tells how its bytes are decoded. */
  async read(
    topic: string,
    as: { readonly value?: 'string' | 'long'; readonly windowed?: boolean } = {},
  ): Promise<readonly OutputRecord[]> {
    const [found] = await this.log.topics([topic])
    const records: OutputRecord[] = []
    for (let partition = 0; partition < (found?.partitions ?? 0); partition++) {
      records.push(...(await this.#readPartition({ topic, partition }, as)))
    }
    return records
  }

  async #readPartition(
    at: TopicPartition,
    as: { readonly value?: 'string' | 'long'; readonly windowed?: boolean },
  ): Promise<readonly OutputRecord[]> {
    const [bounds] = await this.log.bounds([at], 'durable')
    if (bounds === undefined) return []
    const reader = await this.log.openReader({ isolation: 'durable' })
    reader.assign([{ at, offset: bounds.start }])
    const records: OutputRecord[] = []
    for (let next = bounds.start; next < bounds.end;) {
      for (const chunk of await this.pump(reader.poll({ bytesMax: 1_000_000, waitMs: 10 }))) {
        next = chunk.nextOffset
        const cursor = chunk.cursor()
        while (cursor.next()) {
          const { bytes, keyStart, keyEnd, valueStart, valueEnd, timestamp } = cursor
          const keyStop = as.windowed === true ? keyEnd - 8 : keyEnd
          const view = Buffer.from(bytes.subarray(0, bytes.length))
          const codec = as.value === 'long' ? long : string
          records.push({
            partition: at.partition,
            key: keyStart < 0 ? null : view.toString('utf8', keyStart, keyStop),
            ...(as.windowed === true ? { start: Number(view.readBigInt64BE(keyStop)) } : {}),
            value: valueStart < 0 ? null : codec.read(bytes, valueStart, valueEnd),
            timestamp,
            headers: cursor.headerCount === 0 ? [] : cursor.headers(),
          })
        }
      }
    }
    await reader.close()
    return records
  }
}

function batchOf(records: readonly InputRecord[]): Uint8Array {
  const builder = new BatchBuilder()
  for (const [key, value, timestamp, headers] of records) {
    const record = recordOf([key, value, timestamp])
    if (headers !== undefined) record.headers = headers
    builder.append(record)
  }
  return builder.finish()
}
