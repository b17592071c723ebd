import { expect, test } from 'vitest'
import { defaultTopicConfig } from '../../../../src/log/api/topic.ts'
import { batchOverheadBytes, TailRing } from '../../../../src/log/broker/reads/tail-ring.ts'
import { Catalog } from '../../../../src/log/broker/topics/catalog.ts'
import type { Partition, TailBatch } from '../../../../src/log/broker/topics/partition.ts'

test('batches that have left the ring hold no memory, even while other lists still refer to them', () => {
  const partition = readPartition()
  const ring = new TailRing({ unappliedBytesMax: 1_000_000, recentBytesMax: 2 * (400 + batchOverheadBytes) })
  const batches: TailBatch[] = []
  for (let sequence = 1; sequence <= 50; sequence++) {
    const batch = appended(partition, 400, sequence)
    batches.push(batch)
    ring.push(batch)
    ring.applied(sequence)
  }

  const held = batches.filter(({ memory }) => memory.length > 0)
  expect(held).toEqual(batches.slice(-2))
  expect(ring.recentBytes).toBe(2 * (400 + batchOverheadBytes))
  // The tail is what can still be read in memory.
  expect(partition.tail.slice(partition.tailHead)).toEqual(held)
  expect(partition.tailStart).toBe(held[0]?.baseOffset)
})

test('batches count with their objects, so that small ones do not take many times the memory that is allowed', () => {
  const partition = readPartition()
  const ring = new TailRing({ unappliedBytesMax: 1_000_000, recentBytesMax: 10_000 })
  for (let sequence = 1; sequence <= 1000; sequence++) {
    ring.push(appended(partition, 1, sequence))
    ring.applied(sequence)
  }

  expect(partition.tail.length - partition.tailHead).toBe(Math.floor(10_000 / (1 + batchOverheadBytes)))
})

test('batches that are not applied stay, whatever the bound on recent bytes', () => {
  const partition = somePartition()
  const ring = new TailRing({ unappliedBytesMax: 1000, recentBytesMax: 0 })
  const batches = [1, 2, 3].map((sequence) => appended(partition, 400, sequence))
  for (const batch of batches) ring.push(batch)
  expect(ring.hasRoom).toBe(false)

  ring.applied(1)

  expect(ring.hasRoom).toBe(true)
  expect(batches.map(({ memory }) => memory.length)).toEqual([0, 400, 400])
})

test('a deleted topic is not kept in memory by its batches that are still in the ring', () => {
  const catalog = new Catalog()
  const topic = catalog.promoteCreated({ name: 'events', id: 'id', partitions: 2, config: defaultTopicConfig })
  const ring = new TailRing({ unappliedBytesMax: 1_000_000, recentBytesMax: 1000 })
  const batches = topic.partitions.map((partition, index) => appended(partition, 400, index + 1))
  for (const partition of topic.partitions) partition.tailReadAt = 2
  for (const batch of batches) ring.push(batch)
  ring.applied(1)

  catalog.promoteDeleted('id')

  expect(batches.filter(({ of }) => topic.partitions.includes(of))).toEqual([])
  expect(topic.partitions.map(({ tail }) => tail.length)).toEqual([0, 0])
  expect([ring.recentBytes, ring.unappliedBytes], 'they take their room until they have left').toEqual([
    400 + batchOverheadBytes,
    400,
  ])
  ring.applied(2)
  const other = somePartition()
  for (let sequence = 3; sequence <= 6; sequence++) {
    ring.push(appended(other, 400, sequence))
    ring.applied(sequence)
  }
  expect(batches.map(({ memory }) => memory.length)).toEqual([0, 0])
})

test('applied batches stay only for partitions that are read at the end', () => {
  const [read, unread] = [readPartition(), somePartition()]
  const ring = new TailRing({ unappliedBytesMax: 1_000_000, recentBytesMax: 1_000_000 })
  const batches = [unread, read, unread].map((partition, index) => appended(partition, 400, index + 1))
  for (const batch of batches) ring.push(batch)
  expect(
    batches.map(({ memory }) => memory.length),
    'none was applied',
  ).toEqual([400, 400, 400])

  ring.applied(3)

  expect(
    batches.map(({ memory }) => memory.length),
    'the last one came after one that stays',
  ).toEqual([0, 400, 400])
  expect(unread.tailStart).toBe(1)
  expect(ring.recentBytes).toBe(2 * (400 + batchOverheadBytes))
})

test('a partition whose batches reach the bound without having been read keeps none until it is read again', () => {
  const partition = readPartition()
  const ring = new TailRing({ unappliedBytesMax: 1_000_000, recentBytesMax: 2 * (400 + batchOverheadBytes) })
  const batches: TailBatch[] = []
  const append = (): void => {
    const sequence = batches.length + 1
    const batch = appended(partition, 400, sequence)
    batches.push(batch)
    ring.push(batch)
    ring.applied(sequence)
  }
  const kept = (): number => batches.filter(({ memory }) => memory.length > 0).length
  for (let count = 0; count < 10; count++) {
    append()
    partition.tailReadAt = batches.length
  }
  expect(kept(), 'read all the time').toBe(2)

  for (let count = 0; count < 3; count++) append()
  expect(kept(), 'not read since').toBe(0)

  partition.tailReadAt = batches.length
  append()
  expect(kept(), 'read again').toBe(1)
})

/** One that somebody reads at the end all the time. */
function readPartition(): Partition {
  const partition = somePartition()
  partition.tailReadAt = Number.MAX_SAFE_INTEGER
  return partition
}

function somePartition(): Partition {
  const info = { name: 'events', id: 'id', partitions: 1, config: defaultTopicConfig }
  const [partition] = new Catalog().promoteCreated(info).partitions
  if (partition === undefined) throw new Error('a topic without partitions')
  return partition
}

function appended(partition: Partition, bytes: number, sequence: number): TailBatch {
  const batch = partition.place(
    { bytes, lastOffsetDelta: 0, maxTimestamp: 0, produced: null },
    { now: 0, leaderEpoch: 0, gap: 0 },
  )
  batch.memory = new Uint8Array(bytes)
  batch.sequence = sequence
  return batch
}
