import { BatchBuilder, type SealOptions } from '../../../src/log/format/batch-builder.ts'
import { encodeMarker } from '../../../src/log/format/control-batch.ts'
import { lastOffsetDeltaOf, stampBatch } from '../../../src/log/format/record-batch.ts'
import { rewriteBatch } from '../../../src/log/storage/compaction/batch-rewrite.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import { recordOf } from '../../harness/log-harness.ts'

export const source = '/kafka'

/** A record as a reader finds it. */
export interface WrittenRecord {
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly timestamp: number
  readonly headers: Readonly<Record<string, string>>
}

/** The log directory of a broker, with the files that Kafka writes. */
export class BrokerDirectory {
  readonly disk: MemoryDisk = new MemoryDisk()

  constructor() {
    this.disk.makeDirectory(source)
    this.file(
      'meta.properties',
      '#\n#Sat Nov 01 00:00:00 UTC 2025\nversion=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAA\nnode.id=1\n',
    )
    this.file('.kafka_cleanshutdown', '{"version":0,"brokerEpoch":7}')
    for (const name of ['recovery-point', 'log-start', 'replication', 'cleaner'])
      this.file(`${name}-offset-checkpoint`, '0\n0\n')
  }

  file(name: string, content: string | Uint8Array): void {
    const file = this.disk.open(`${source}/${name}`, 'create')
    file.truncate(0)
    file.write(Buffer.from(content), 0)
    file.close()
  }

  bytes(name: string): Buffer {
    const file = this.disk.open(`${source}/${name}`, 'read')
    const bytes = Buffer.alloc(file.size())
    file.read(bytes, 0)
    file.close()
    return bytes
  }

  remove(name: string): void {
    this.disk.unlink(`${source}/${name}`)
  }

  /** Writes an offset checkpoint file of Kafka, one line per partition. */
  checkpoint(name: string, offsets: Readonly<Record<string, number>>): void {
    const lines = Object.entries(offsets).map(
      ([partition, offset]) => `${partition.replace(/-(\d+)$/, ' $1')} ${offset}`,
    )
    this.file(`${name}-offset-checkpoint`, ['0', String(lines.length), ...lines, ''].join('\n'))
  }

  partition(name: string, topicId: string): BrokerPartition {
    this.disk.makeDirectory(`${source}/${name}`)
    this.file(`${name}/partition.metadata`, `version: 0\ntopic_id: ${topicId}`)
    return new BrokerPartition(this, name)
  }
}

/** Writes batches one after the other and keeps the records that a reader must find. */
export class BrokerPartition {
  readonly #directory: BrokerDirectory
  readonly #name: string
  readonly records: WrittenRecord[] = []
  readonly #epochs: string[] = []
  #segment: Buffer[] = []
  #base = 0
  #epoch = -1
  end = 0

  constructor(directory: BrokerDirectory, name: string) {
    this.#directory = directory
    this.#name = name
    this.epoch(0)
  }

  epoch(epoch: number): void {
    this.#epoch = epoch
    this.#epochs.push(`${epoch} ${this.end}`)
    this.#directory.file(
      `${this.#name}/leader-epoch-checkpoint`,
      ['0', String(this.#epochs.length), ...this.#epochs, ''].join('\n'),
    )
  }

  /** Writes a batch; `keeps` says which of its records the cleaner has left. */
  write(
    records: readonly Omit<WrittenRecord, 'offset'>[],
    { keeps = () => true, ...seal }: SealOptions & { readonly keeps?: (index: number) => boolean } = {},
  ): void {
    const builder = new BatchBuilder()
    for (const { key, value, timestamp, headers } of records) {
      const record = recordOf([key, value, timestamp])
      record.headers = Object.entries(headers).map(([name, text]) => ({ key: name, value: Buffer.from(text) }))
      builder.append(record)
    }
    const whole = Buffer.from(builder.finish(seal))
    stampBatch(whole, 0, this.end, this.#epoch)
    const from = this.end
    const cleaned = rewriteBatch(whole, {
      keeps: ({ offset }) => keeps(offset - from),
      horizon: null,
      keepsEmpty: true,
    })
    for (const [index, record] of records.entries())
      if (keeps(index)) this.records.push({ ...record, offset: from + index })
    this.raw(cleaned ?? whole)
  }

  marker(producerId: number, outcome: 'abort' | 'commit', producerEpoch = 0): void {
    this.raw(Buffer.from(encodeMarker({ outcome, producerId, producerEpoch, coordinatorEpoch: 3, timestamp: 1 })))
  }

  raw(batch: Buffer): void {
    stampBatch(batch, 0, this.end, this.#epoch)
    this.end += lastOffsetDeltaOf(batch, 0) + 1
    this.#segment.push(batch)
    this.#directory.file(this.#fileName('.log'), Buffer.concat(this.#segment))
    // Preallocated and empty, like the indexes of an active segment.
    this.#directory.file(this.#fileName('.index'), Buffer.alloc(64))
    this.#directory.file(this.#fileName('.timeindex'), Buffer.alloc(96))
  }

  /** Skips offsets whose batches a cleaner has removed completely. */
  gap(offsets: number): void {
    this.end += offsets
  }

  roll(base: number = this.end): void {
    this.#base = base
    this.end = Math.max(this.end, base)
    this.#segment = []
  }

  #fileName(suffix: string): string {
    return `${this.#name}/${String(this.#base).padStart(20, '0')}${suffix}`
  }

  /** The file name of the segment that is written to. */
  get log(): string {
    return this.#fileName('.log')
  }
}
