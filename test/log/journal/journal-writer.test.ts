import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { measureEntry } from '../../../src/log/journal/entry.ts'
import { GroupMemory } from '../../../src/log/journal/group-memory.ts'
import { JournalWriter, type JournalSync } from '../../../src/log/journal/journal-writer.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import { entryPart, recover, replayOf } from './journal-harness.ts'

const groupCount = 12

/** Writes the groups, the first `releasedAfter` of them with one writer and the others with the next. */
function write(disk: MemoryDisk, sync: JournalSync, releasedAfter: number, onReleased: () => void = () => {}): void {
  let writer = new JournalWriter(disk, recover(disk).start, sync)
  const memory = new GroupMemory()
  for (let sequence = 1; sequence <= groupCount; sequence++) {
    const parts = [entryPart(sequence, 900)]
    memory.append(parts, measureEntry(parts), sequence)
    const { bytes, summed } = memory.take()
    writer.write(sequence, bytes, summed)
    // So that a prepared file is sometimes dropped by the release and sometimes used.
    if (sequence % 2 === 0) writer.prepare()
    if (sequence !== releasedAfter) continue
    const start = writer.release()
    onReleased()
    writer = new JournalWriter(disk, start, sync)
    assert.equal(writer.durableSequence, sequence, 'what is released is synced')
  }
  writer.close()
}

describe('a writer that takes over from another', () => {
  test('leaves the same groups as a single writer, sealed and closed', () => {
    const alone = new MemoryDisk()
    write(alone, 'commit', groupCount + 1)
    const expected = replayOf(recover(alone))
    assert.equal(expected.length, groupCount)

    for (let after = 1; after <= groupCount; after++) {
      const disk = new MemoryDisk()
      write(disk, 'commit', after)
      const recovered = recover(disk)
      assert.deepEqual(replayOf(recovered), expected, `released after group ${after}`)
      assert(recovered.closed)
    }
  })

  for (const sync of ['commit', 'os'] as const) {
    test(`with sync: ${sync} keeps the released groups and a prefix of the rest, wherever the power fails`, () => {
      for (let after = 1; after <= groupCount; after++) {
        const disk = new MemoryDisk()
        let synced = 0
        let states = 0
        disk.onOperation = ({ index }) => {
          const groups = replayOf(recover(disk.cut(new SeededRandom(index))))
          assert.deepEqual(
            groups.map((group) => group.entries),
            Array.from({ length: groups.length }, (_none, at) => [at + 1]),
            `released after ${after}, cut before operation ${index}`,
          )
          assert(groups.length >= synced, `${groups.length} groups, synced were ${synced}: operation ${index}`)
          states += 1
        }
        write(disk, sync, after, () => (synced = after))
        assert(states > groupCount)
      }
    })
  }
})
