import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'vitest'
import { defaultTopicConfig } from '../../../src/log/api/topic.ts'
import { measureEntry, readEntries, writeEntry, type EntryPart } from '../../../src/log/journal/entry.ts'

const id = fc.string({ unit: fc.constantFrom(...'abcXYZ019_-'.split('')), minLength: 1, maxLength: 22 })
const offset = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const partition = fc.nat({ max: 0x7fff_ffff })
const config = fc
  .record(
    { retentionMs: fc.integer({ min: -1 }), keyCodec: fc.string(), cleanupPolicy: fc.constant('compact' as const) },
    { requiredKeys: [] },
  )
  .map((changes) => ({ ...defaultTopicConfig, ...changes }))

const part: fc.Arbitrary<EntryPart> = fc.oneof(
  fc.record({
    kind: fc.constant('batch' as const),
    topicId: id,
    partition,
    leaderEpoch: fc.integer({ min: -1, max: 0x7fff_ffff }),
    segmentBase: offset,
    filePosition: offset,
    bytes: fc.uint8Array({ maxLength: 300 }),
  }),
  fc.record({
    kind: fc.constant('topicCreated' as const),
    topicId: id,
    name: fc.string(),
    partitions: partition,
    config,
  }),
  fc.record({ kind: fc.constant('topicDeleted' as const), topicId: id }),
  fc.record({ kind: fc.constant('topicConfig' as const), topicId: id, config }),
  fc.record({ kind: fc.constant('logStart' as const), topicId: id, partition, offset }),
  fc.record({
    kind: fc.constant('segmentsReplaced' as const),
    topicId: id,
    partition,
    oldBases: fc.array(offset, { maxLength: 5 }),
    newBase: offset,
    newBytes: offset,
  }),
  fc.record({ kind: fc.constant('incarnation' as const), number: offset }),
)

test('entries of all kinds are read back as written, in order, and take exactly the bytes measured', () => {
  fc.assert(
    fc.property(fc.array(fc.array(part, { maxLength: 6 }), { maxLength: 6 }), (entries) => {
      const sizes = entries.map(measureEntry)
      const total = sizes.reduce((sum, size) => sum + size, 0)
      // Memory is reused: earlier content must not show.
      const memory = Buffer.from(new SharedArrayBuffer(total + 64)).fill(0xee, 0, total)
      let at = 0
      for (const [index, entry] of entries.entries()) {
        const starts = writeEntry(entry, memory, at)
        const batches = entry.filter((one) => one.kind === 'batch').map((one) => Buffer.from(one.bytes))
        assert.equal(starts.length, batches.length)
        for (const [place, bytes] of batches.entries()) {
          const start = starts[place] as number
          assert.deepEqual(memory.subarray(start, start + bytes.length), bytes)
        }
        at += sizes[index] as number
      }
      assert(
        memory.subarray(total).every((byte) => byte === 0),
        'nothing is written past the measure',
      )
      const plain = (one: EntryPart): unknown =>
        one.kind === 'batch' ? { ...one, bytes: Buffer.from(one.bytes) } : { ...one }
      assert.deepEqual(
        [...readEntries(memory)].map((entry) => entry.map(plain)),
        entries.map((entry) => entry.map(plain)),
      )
    }),
    { numRuns: 200 },
  )
})

test('batches are read as views of the memory, not as copies', () => {
  const parts: EntryPart[] = [
    {
      kind: 'batch',
      topicId: 'a',
      partition: 0,
      leaderEpoch: 0,
      segmentBase: 0,
      filePosition: 0,
      bytes: Buffer.from('x'),
    },
  ]
  const memory = Buffer.from(new SharedArrayBuffer(measureEntry(parts)))

  writeEntry(parts, memory, 0)
  const [entry] = readEntries(memory)

  assert(entry?.[0]?.kind === 'batch')
  assert.equal(entry[0].bytes.buffer, memory.buffer)
})

test('an unknown kind is NEWER_FORMAT', () => {
  const parts: EntryPart[] = [{ kind: 'incarnation', number: 1 }]
  const memory = Buffer.alloc(measureEntry(parts))
  writeEntry(parts, memory, 0)

  memory[8] = 99

  assert.throws(() => [...readEntries(memory)], { code: 'NEWER_FORMAT' })
})
