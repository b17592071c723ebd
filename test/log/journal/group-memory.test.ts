import { expect, test } from 'vitest'
import { crc32c } from '../../../src/base/crc32c.ts'
import { measureEntry } from '../../../src/log/journal/entry.ts'
import { GroupMemory } from '../../../src/log/journal/group-memory.ts'
import { bodyChecksum, completeSums, headerBytes } from '../../../src/log/journal/group.ts'
import { entriesOf, entryPart, viewsOf } from './journal-harness.ts'

const mib = 1024 * 1024

/** Uses the memory as a journal does: one entry per group. */
class Groups {
  readonly memory: GroupMemory
  /** Every memory that ever held a group. */
  readonly buffers = new Set<ArrayBufferLike>()
  #sequence = 0

  constructor(shared: boolean) {
    this.memory = new GroupMemory({ shared })
  }

  add(bytes: number): Buffer {
    const parts = [entryPart(++this.#sequence, bytes)]
    this.memory.append(parts, measureEntry(parts), this.#sequence)
    const { bytes: group } = this.memory.take()
    this.buffers.add(group.buffer)
    return group.subarray(headerBytes)
  }
}

test('memory of released groups is reused, so that allocation is bounded by what was in use at once', () => {
  const groups = new Groups(false)
  const held: Buffer[] = []
  for (let sequence = 1; sequence <= 200; sequence++) {
    held.push(groups.add(200_000))
    if (held.length > 25) held.shift()
    groups.memory.release(sequence - held.length + 1)
    // Whatever was overwritten, the held groups were not.
    const oldest = held[0]
    if (oldest !== undefined) expect(entriesOf(oldest)).toEqual([sequence - held.length + 1])
  }

  const bytes = [...groups.buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)
  expect(bytes).toBeLessThan(25 * 200_000 + 16 * mib)
})

test('the memory of commits of similar sizes is reused', () => {
  const groups = new Groups(true)
  for (let sequence = 1; sequence <= 20; sequence++) {
    groups.add((9 + (sequence % 5)) * mib)
    groups.memory.release(sequence)
  }

  const bytes = [...groups.buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)
  expect(bytes).toBeLessThan(64 * mib)
})

test('a group that is not released is never overwritten', () => {
  const groups = new Groups(false)
  const bodies = Array.from({ length: 40 }, () => groups.add(300_000))
  groups.memory.release(1)
  for (let more = 0; more < 40; more++) groups.add(300_000)

  expect(bodies.flatMap(entriesOf)).toEqual(bodies.map((_body, index) => index + 1))
})

test('the former memory of a group that was moved is kept until the group is released', () => {
  const memory = new GroupMemory({ shared: false })
  const first = entryPart(1, 50_000)
  const [view] = viewsOf(memory.append([first], measureEntry([first]), 1), [first])
  const second = entryPart(2, 500_000)
  memory.append([second], measureEntry([second]), 1)
  memory.take()
  memory.release(1)
  for (let sequence = 2; sequence < 10; sequence++) {
    const part = entryPart(3, 60_000)
    memory.append([part], measureEntry([part]), sequence)
    memory.take()
  }

  if (first.kind !== 'batch' || view === undefined) throw new Error('an entry without its batch')
  expect(Buffer.compare(view, first.bytes)).toBe(0)
})

test('memory for threads is shared, except that of a group of more than 32 MiB', () => {
  const groups = new Groups(true)

  expect(groups.add(100).buffer).toBeInstanceOf(SharedArrayBuffer)
  expect(groups.add(3 * mib).buffer).toBeInstanceOf(SharedArrayBuffer)
  expect(groups.add(31 * mib).buffer).toBeInstanceOf(SharedArrayBuffer)
  expect(groups.add(32 * mib).buffer).toBeInstanceOf(ArrayBuffer)
  expect(groups.add(100).buffer).toBeInstanceOf(SharedArrayBuffer)
})

test('a group’s checksum is the same whether or not parts were summed before, also after the group was moved', () => {
  const memory = new GroupMemory({ shared: false })
  for (let sequence = 1; sequence < 6; sequence++) {
    for (let id = 0; id < 8; id++) {
      const part = entryPart(id, id % 3 === 0 ? 100 : sequence * 30_000 + id)
      if (part.kind !== 'batch') throw new Error('no batch')
      const { bytes } = part
      const parts = [
        entryPart(id, 333),
        bytes.length < 1000
          ? part
          : { ...part, summed: { from: 21, checksum: id % 2 === 0 ? crc32c(bytes, 21) : null } },
      ]
      memory.append(parts, measureEntry(parts), sequence)
    }
    const { bytes, summed } = memory.take()

    expect(summed).toHaveLength(5)
    const complete = completeSums(bytes, summed)
    expect(bodyChecksum(bytes, complete)).toBe(crc32c(bytes, headerBytes))
    expect(bodyChecksum(bytes, [])).toBe(crc32c(bytes, headerBytes))
  }
})
