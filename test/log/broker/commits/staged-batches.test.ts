import { expect, test } from 'vitest'
import { defaultTopicConfig } from '../../../../src/log/api/topic.ts'
import { outgoingRecord } from '../../../../src/log/api/record.ts'
import { batchBytesTarget, type StageMemory, StagedBatches } from '../../../../src/log/broker/commits/staged-batches.ts'
import { Partition } from '../../../../src/log/broker/topics/partition.ts'
import { Topic } from '../../../../src/log/broker/topics/catalog.ts'

const config = { ...defaultTopicConfig, maxMessageBytes: 8 * 1024 * 1024 }
const topic = new Topic({ name: 'counts', id: 'AAAAAAAAAAAAAAAAAAAAAA', partitions: 2, config })

function staged(stage: StageMemory, index: number): StagedBatches {
  return new StagedBatches(new Partition(topic, index), stage)
}

/** Stages records of `size` bytes until there are `bytes` of them. */
function fill(batches: StagedBatches, bytes: number, size = 1000): void {
  const record = { ...outgoingRecord(), value: new Uint8Array(size), valueStart: 0, valueEnd: size, timestamp: 0 }
  for (let filled = 0; filled < bytes; filled += size) batches.append(record, 0, 'output')
}

test('the next commit builds its batches in the memory of the last one, whichever partitions it writes to', () => {
  const stage: StageMemory = { bytes: 0, spares: [] }
  const [one, other] = [staged(stage, 0), staged(stage, 1)]
  fill(one, 8 * batchBytesTarget)
  one.clear()
  const spares = [...stage.spares]
  expect(spares.length).toBeGreaterThanOrEqual(7)

  fill(other, 5 * batchBytesTarget)

  expect(stage.spares.length).toBeLessThan(spares.length - 3)
  other.clear()
  expect(new Set(stage.spares)).toEqual(new Set(spares))
})

test('the memory that is kept has a bound, for large commits and for large records', () => {
  const stage: StageMemory = { bytes: 0, spares: [] }
  const [one, other] = [staged(stage, 0), staged(stage, 1)]
  fill(one, 200 * batchBytesTarget)
  one.clear()
  expect(stage.spares).toHaveLength(64)

  stage.spares.length = 0
  fill(other, 5 * 4_000_000, 4_000_000)
  other.clear()

  expect(stage.spares).toEqual([])
})
