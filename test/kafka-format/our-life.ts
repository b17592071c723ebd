import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { openLog } from '../../src/log/index.ts'
import type { Compression } from '../../src/log/format/compression.ts'
import { TransactionalWriter } from '../harness/transactional-writer.ts'

const codecs: readonly Compression[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** Writes a data directory that uses every feature of the format, closes it, and returns its partitions. */
export async function writeDirectory(
  dataDir: string,
): Promise<readonly { readonly name: string; readonly directory: string }[]> {
  const log = await openLog({
    dataDir,
    sync: 'os',
    threads: false,
    recentBytesMax: 0,
    compactionIntervalMs: 50,
    checkpointIntervalMs: 100,
    rewindRetentionMs: 0,
  })
  const small = { segmentBytes: 16_384, indexIntervalBytes: 500 }
  const cleaned = { ...small, cleanupPolicy: 'compact', minCleanableDirtyRatio: 0.01, deleteRetentionMs: 200 } as const
  const topics = [...codecs.map((codec) => `codec-${codec}`), 'transactions']
  await log.ensureTopics([
    ...topics.map((name) => ({ name, partitions: 2, config: small })),
    { name: 'table', partitions: 1, config: cleaned },
  ])

  for (const compression of codecs) {
    const producer = log.producer({ compression })
    const sent: Promise<unknown>[] = []
    for (let index = 0; index < 1500; index++) {
      const headers =
        index % 3 === 0
          ? [
              { key: 'n', value: Buffer.from(`${index}`) },
              { key: 'none', value: null },
            ]
          : []
      const key = index % 5 === 0 ? null : `key-${index % 17}`
      const value = index % 11 === 0 ? null : `${compression} ${'x'.repeat(index % 200)}`
      sent.push(
        producer.send({
          topic: `codec-${compression}`,
          key,
          value,
          headers,
          timestamp: 1_700_000_000_000 + 7 * (index ^ 5),
        }),
      )
      if (index % 100 === 0) await producer.flush()
    }
    await producer.close()
    await Promise.all(sent)
  }

  for (const id of ['a', 'b']) {
    const writer = await TransactionalWriter.open(log.broker, id)
    for (let transaction = 0; transaction < 60; transaction++) {
      for (const partition of [0, 1]) {
        await writer.write('transactions', partition, [`${id}${transaction}`, 'x'.repeat(100)])
      }
      await writer.end(transaction % 3 === 1 ? 'abort' : 'commit')
    }
  }

  const producer = log.producer()
  const write = async (from: number): Promise<void> => {
    for (let index = from; index < from + 3000; index++) {
      const value = index % 13 === 0 ? null : `value ${index}`
      await producer.send({ topic: 'table', key: `key-${index % 50}`, value, timestamp: 1_700_000_000_000 + index })
    }
  }
  // Twice, so that compacted segments with delete horizons are compacted again.
  for (const from of [0, 3000]) {
    await write(from)
    const sizeOf = (): number => log.admin.describeLogDirs().find(({ at }) => at.topic === 'table')?.bytes ?? 0
    const before = sizeOf()
    for (let tries = 0; tries < 200 && sizeOf() > before / 2; tries++)
      await new Promise((resolve) => setTimeout(resolve, 50))
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
  await producer.close()
  await log.admin.createPartitions('codec-none', 3)
  await log.admin.deleteRecords([{ at: { topic: 'codec-none', partition: 0 }, offset: 100 }])
  await log.close()
  return readdirSync(dataDir)
    .filter((name) => /-\d+$/.test(name))
    .map((name) => ({ name, directory: join(dataDir, name) }))
}
