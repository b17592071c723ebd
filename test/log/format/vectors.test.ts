import { describe, expect, test } from 'vitest'
import { encodeAbortedIndexEntry } from '../../../src/log/format/aborted-index-entry.ts'
import { BatchBuilder } from '../../../src/log/format/batch-builder.ts'
import { compress, decompress, type Compression } from '../../../src/log/format/compression.ts'
import { decodeMarker, encodeMarker } from '../../../src/log/format/control-batch.ts'
import { decodeProducerSnapshot, encodeProducerSnapshot } from '../../../src/log/format/producer-snapshot.ts'
import {
  batchHeaderBytes,
  checkBatch,
  codecOf,
  readBatchHeader,
  stampBatch,
  writeBatchHeader,
} from '../../../src/log/format/record-batch.ts'
import { batchOf, outgoing, readAll, vector } from './batch-case.ts'

const header = { key: 'h', value: Buffer.from('x') }
const kv = (timestamp: number, value: string) => ({ offset: 0, key: 'k', value, timestamp, headers: [header] })

test('a batch of librdkafka is read and rebuilt to the same bytes', () => {
  const bytes = vector('librdkafka2.0.2 none')
  expect(checkBatch(bytes, 0, bytes.length)).toBe(bytes.length)
  const rows = readAll([bytes])
  expect(rows).toEqual([kv(0x1a1fbe7a22f, 'v'.repeat(64))])

  const built = batchOf(rows)
  stampBatch(built, 0, 0, 0)
  expect(Buffer.from(built).toString('hex')).toBe(Buffer.from(bytes).toString('hex'))
})

describe.each([
  ['gzip', 'gzip', 0x1a1fbe7a23d],
  ['snappy', 'snappy', 0x1a1fbe7a24b],
  ['lz4', 'lz4', 0x1a1fbe7a258],
  ['zstd', 'zstd', 0x1a1fbe7a265],
] as const)('%s of librdkafka', (name, codec, timestamp) => {
  const bytes = vector(`librdkafka2.0.2 ${name}`)

  test('is read', () => {
    expect(checkBatch(bytes, 0, bytes.length)).toBe(bytes.length)
    expect(readAll([bytes])).toEqual([kv(timestamp, 'v'.repeat(64))])
  })

  test('is rebuilt to the same header and the same records', () => {
    const built = batchOf(readAll([bytes]), { compression: codec satisfies Compression })
    stampBatch(built, 0, 0, 0)
    expect(readBatchHeader(built, 0)).toEqual(readBatchHeader(bytes, 0))
    const inflate = (batch: Uint8Array) => decompress(codecOf(batch, 0), batch.subarray(batchHeaderBytes))
    expect(Buffer.from(inflate(built))).toEqual(Buffer.from(inflate(bytes)))
    expect(compress(codec, inflate(bytes)).length).toBeLessThan(inflate(bytes).length)
  })
})

test('a transactional batch of librdkafka is rebuilt to the same bytes', () => {
  const bytes = vector('librdkafka2.0.2 transactional')
  const rows = readAll([bytes])
  expect(rows).toEqual([kv(0x1a1fbe7a276, 'v')])
  const built = batchOf(rows, { transactional: true, producerId: 1001, producerEpoch: 0, baseSequence: 0 })
  stampBatch(built, 0, 0, 0)
  expect(Buffer.from(built)).toEqual(bytes)
})

test('null keys and values are written to Kafka’s bytes', () => {
  const bytes = vector('constructed: 2 records')
  const rows = readAll([bytes])
  expect(rows).toEqual([
    { offset: 0, key: 'k', value: 'v', timestamp: 1700000000000, headers: [header] },
    { offset: 1, key: null, value: null, timestamp: 1700000000005, headers: [] },
  ])
  const built = batchOf(rows)
  stampBatch(built, 0, 0, 0)
  expect(Buffer.from(built)).toEqual(bytes)
})

test.each([
  ['constructed: COMMIT marker', 7, 'commit', 0, 1700000000000],
  ['constructed: ABORT marker', 9, 'abort', 117, 1700000000001],
] as const)(
  '%s is decoded and written to the same bytes, and a cursor skips it',
  (name, offset, outcome, epoch, timestamp) => {
    const bytes = vector(name)
    checkBatch(bytes, 0, bytes.length)
    const marker = decodeMarker(bytes, 0)
    expect(marker).toEqual({
      outcome,
      producerId: 1000,
      producerEpoch: 0,
      coordinatorEpoch: epoch,
      timestamp,
      offset,
    })
    expect(readAll([bytes])).toEqual([])
    if (marker === null) return
    const built = encodeMarker(marker)
    stampBatch(built, 0, offset, 0)
    expect(Buffer.from(built)).toEqual(bytes)
  },
)

test('a data batch is not decoded as a marker', () => {
  expect(decodeMarker(vector('librdkafka2.0.2 none'), 0)).toBeNull()
})

test('a batch emptied by compaction is valid, holds no records, and is written to the same bytes', () => {
  const bytes = vector('constructed: empty')
  expect(checkBatch(bytes, 0, bytes.length)).toBe(batchHeaderBytes)
  expect(readAll([bytes])).toEqual([])
  const built = new Uint8Array(batchHeaderBytes)
  writeBatchHeader(built, 0, built.length, readBatchHeader(bytes, 0))
  expect(Buffer.from(built)).toEqual(bytes)
  expect(readBatchHeader(bytes, 0)).toEqual({
    baseOffset: 20,
    leaderEpoch: 0,
    attributes: 0,
    lastOffsetDelta: 4,
    baseTimestamp: -1,
    maxTimestamp: 1700000000005,
    producerId: 1000,
    producerEpoch: 3,
    baseSequence: 40,
    recordCount: 0,
  })
})

test('an entry of the aborted index is written to the same bytes', () => {
  const bytes = vector('.txnindex')
  const entry = { producerId: 1000, firstOffset: 5, lastOffset: 9, lastStableOffset: 10 }
  expect(Buffer.from(encodeAbortedIndexEntry(entry))).toEqual(bytes)
})

test('a producer snapshot is read and written to the same bytes, and every flipped bit is detected', () => {
  const bytes = vector('.snapshot')
  const entries = decodeProducerSnapshot(bytes)
  expect(entries).toEqual([
    {
      producerId: 1000,
      producerEpoch: 3,
      lastSequence: 44,
      lastOffset: 24,
      offsetDelta: 4,
      timestamp: 1700000000005,
      coordinatorEpoch: -1,
      currentTransactionFirstOffset: -1,
    },
  ])
  expect(Buffer.from(encodeProducerSnapshot(entries))).toEqual(bytes)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const harmed = Uint8Array.from(bytes)
    harmed[bit >> 3] = (harmed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(() => decodeProducerSnapshot(harmed), `bit ${bit}`).toThrow(/CORRUPT_BATCH|NEWER_FORMAT/)
  }
})

test('a builder that is reused builds the same bytes', () => {
  const builder = new BatchBuilder({ initialBytes: 64 })
  builder.append(outgoing({ key: 'a'.repeat(100), value: null, timestamp: 9 }))
  const first = builder.finish()
  builder.reset()
  builder.append(outgoing({ key: 'a'.repeat(100), value: null, timestamp: 9 }))
  expect(builder.finish()).toEqual(first)
})
