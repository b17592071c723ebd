import type { AnyTopic } from '../../../src/codec/topic.ts'
import { LogError } from '../../../src/log/api/errors.ts'
import type { TopicSpec } from '../../../src/log/api/topic.ts'
import type { Broker } from '../../../src/log/broker/broker.ts'
import { Admin } from '../../../src/log/client/admin.ts'
import type { ConsumerOptions, ConsumerRecord } from '../../../src/log/client/consumer/consumer-options.ts'
import { Consumer } from '../../../src/log/client/consumer/consumer.ts'
import type { ProducerOptions } from '../../../src/log/client/producer/producer-options.ts'
import { Producer } from '../../../src/log/client/producer/producer.ts'
import type { BytesOut } from '../../../src/log/client/record-format.ts'
import { openLog } from '../../../src/log/open-log.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'

/** A log on a disk in memory with a manual clock, and clients for it. */
export class ClientHarness {
  readonly clock: ManualClock
  readonly broker: Broker
  readonly admin: Admin
  readonly #close: () => Promise<void>

  private constructor(clock: ManualClock, broker: Broker, close: () => Promise<void>) {
    this.clock = clock
    this.broker = broker
    this.admin = new Admin(broker)
    this.#close = close
  }

  static async open(
    topics: readonly (TopicSpec | AnyTopic)[],
    options: { readonly nextGap?: () => number; readonly unappliedBytesMax?: number } = {},
  ): Promise<ClientHarness> {
    const clock = new ManualClock(1_700_000_000_000)
    const log = await openLog({ dataDir: '/data', disk: new MemoryDisk(), clock, ...options })
    const harness = new ClientHarness(clock, log.broker, () => log.close())
    await harness.admin.createTopics(topics)
    return harness
  }

  producer(options: ProducerOptions = {}): Producer {
    return new Producer(this.broker, this.clock, options)
  }

  consumer<K = BytesOut, V = BytesOut>(options: ConsumerOptions<K, V> = {}): Consumer<K, V> {
    return new Consumer(this.broker, this.clock, options)
  }

  /** One record per value, all to partition 0 unless there is a key. */
  async load(topic: string, values: readonly string[]): Promise<void> {
    const producer = this.producer()
    await Promise.all(values.map((value) => producer.send({ topic, value, partition: 0 })))
    await producer.close()
  }

  async close(): Promise<void> {
    await this.#close()
  }
}

export const textOf = (record: ConsumerRecord<unknown, BytesOut>): string | undefined => record.value?.toString()

/** Polls until a poll comes back empty. */
export async function drain<K, V>(consumer: Consumer<K, V>): Promise<ConsumerRecord<K, V>[]> {
  const all: ConsumerRecord<K, V>[] = []
  for (;;) {
    const records = await consumer.poll()
    if (records.length === 0) return all
    all.push(...records)
  }
}

export async function codeOf(act: () => unknown): Promise<string> {
  try {
    await act()
    return 'none'
  } catch (error) {
    return error instanceof LogError ? error.code : String(error)
  }
}
