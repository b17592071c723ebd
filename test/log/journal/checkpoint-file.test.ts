import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { defaultTopicConfig } from '../../../src/log/api/topic.ts'
import { CheckpointFile } from '../../../src/log/journal/checkpoint-file.ts'
import { encodeCheckpoint, type CheckpointState } from '../../../src/log/journal/checkpoint.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import { checkpointState } from './journal-harness.ts'

const directory = '/log'

function emptyDisk(): MemoryDisk {
  const disk = new MemoryDisk()
  disk.makeDirectory(directory)
  disk.syncDirectory('/')
  return disk
}

const full: CheckpointState = {
  sequence: 2 ** 45,
  incarnation: 3,
  topics: [
    { name: 'orders', id: 'AAAAAAAAAAAAAAAAAAAAAA', partitions: 4, config: { ...defaultTopicConfig, keyCodec: 'x' } },
  ],
  partitions: [
    {
      topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
      partition: 3,
      logStart: 0,
      end: 2 ** 40,
      segments: [
        { base: 0, bytes: 5, firstAppendAt: 1.7e12, lastAppendAt: 1.7e12, maxTimestamp: -1 },
        { base: 9, bytes: 5, firstAppendAt: 0, lastAppendAt: 0, maxTimestamp: 0, checksum: 0xffff_ffff },
      ],
      epochs: [{ epoch: 1, start: 0 }],
    },
  ],
  offsets: [
    { group: 'g', at: { topic: 'orders', partition: 0 }, offset: 7, leaderEpoch: -1, metadata: 'ü', committedAt: 5 },
  ],
  sections: [
    {
      group: 'g',
      section: {
        task: '0_1',
        inputs: [],
        inputCount: 0,
        changelogDigest: 'a',
        outputDigest: '',
        operators: { count: { streamTime: -Infinity, names: 'x', list: [1, 2] } },
        partitionTimes: [],
        streamTime: Number.MIN_SAFE_INTEGER,
        globals: [],
      },
    },
  ],
  deletions: [
    { topicId: 'b', partition: 0, bases: [1, 2] },
    { topicId: 'c', partition: 1 },
  ],
}

test('a checkpoint is read back as it was written', () => {
  const disk = emptyDisk()
  CheckpointFile.open(disk, directory).write(full)

  assert.deepEqual(CheckpointFile.open(disk, directory).newest, full)
})

test('the newest of the two copies is used, and lowerSequence is what both copies cover', () => {
  const disk = emptyDisk()
  const file = CheckpointFile.open(disk, directory)
  assert.deepEqual([file.newest, file.lowerSequence], [null, 0])

  const seen = [5, 9, 12, 20].map((sequence) => {
    file.write(checkpointState(sequence))
    const again = CheckpointFile.open(disk, directory)
    return [again.newest?.sequence, again.lowerSequence, file.lowerSequence]
  })

  assert.deepEqual(seen, [
    [5, 0, 0],
    [9, 5, 5],
    [12, 9, 9],
    [20, 12, 12],
  ])
})

describe('a damaged copy', () => {
  test('with any flipped bit is ignored: the other copy is used, the bad one is overwritten next, nothing is recycled', () => {
    const disk = emptyDisk()
    const file = CheckpointFile.open(disk, directory)
    file.write(checkpointState(5))
    file.write(checkpointState(9))
    const bits = encodeCheckpoint({ counter: 1, state: checkpointState(9) }).length * 8

    for (let bit = 0; bit < bits; bit++) {
      const damaged = disk.clone()
      damaged.flipBit(`${directory}/checkpoint-1`, bit)
      const again = CheckpointFile.open(damaged, directory)

      assert.deepEqual([again.newest?.sequence, again.lowerSequence], [5, 0], `bit ${bit}`)
      again.write(checkpointState(11))
      assert.deepEqual([again.newest?.sequence, again.lowerSequence], [11, 5], `bit ${bit}`)
    }
  })

  test('is CHECKPOINT_ROT when the other copy is damaged or absent, too', () => {
    const disk = emptyDisk()
    const file = CheckpointFile.open(disk, directory)
    file.write(checkpointState(5))
    const one = disk.clone()
    one.flipBit(`${directory}/checkpoint-0`, 200)
    file.write(checkpointState(9))
    disk.flipBit(`${directory}/checkpoint-0`, 200)
    disk.flipBit(`${directory}/checkpoint-1`, 200)

    assert.throws(() => CheckpointFile.open(one, directory), { code: 'CHECKPOINT_ROT' })
    assert.throws(() => CheckpointFile.open(disk, directory), { code: 'CHECKPOINT_ROT' })
  })
})

test('a power cut at any operation leaves either the previous checkpoint or the new one', () => {
  for (let cutAt = 1; ; cutAt++) {
    const disk = emptyDisk()
    const file = CheckpointFile.open(disk, directory)
    file.write(checkpointState(1))
    file.write(checkpointState(2))
    const done = disk.operations
    disk.faults.cutAt = done + cutAt
    let written = false
    try {
      file.write(checkpointState(3))
      written = true
    } catch {
      // The power was cut.
    }
    for (let seed = 0; seed < 20; seed++) {
      const sequence = CheckpointFile.open(disk.cut(new SeededRandom(seed)), directory).newest?.sequence
      assert(sequence === 3 || (!written && sequence === 2), `cut at ${cutAt}, seed ${seed}: ${sequence}`)
    }
    if (written) break
  }
})

test('a checkpoint of a newer format is NEWER_FORMAT', async () => {
  const { crc32c } = await import('../../../src/base/crc32c.ts')
  const disk = emptyDisk()
  const bytes = Buffer.from(encodeCheckpoint({ counter: 0, state: checkpointState(5) }))
  bytes.writeUInt32BE(2, 12)
  bytes.writeUInt32BE(crc32c(bytes, 12), 8)
  disk.open(`${directory}/checkpoint-0`, 'create').write(bytes, 0)

  assert.throws(() => CheckpointFile.open(disk, directory), { code: 'NEWER_FORMAT' })
})
