import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'vitest'
import {
  groupAlignment,
  headerBytes,
  readFileHeader,
  readGroupHeader,
  writeFileHeader,
  writeGroupHeader,
} from '../../../src/log/journal/group.ts'

const sequence = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const u32 = fc.nat({ max: 0xffff_ffff })
const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes))
const ids = { journalId: id, bootId: id, fileNumber: sequence, previousChecksum: u32, durableThrough: sequence }
const groupHeader = fc.record({
  ...ids,
  seal: fc.boolean(),
  closed: fc.boolean(),
  bodyBytes: u32,
  bodyChecksum: u32,
  sequence,
})
const fileHeader = fc.record({
  ...ids,
  version: u32,
  recycled: fc.boolean(),
  previousSequence: sequence,
  incarnation: sequence,
})

test('headers of groups and files are read back as written, with the checksum that was returned', () => {
  fc.assert(
    fc.property(groupHeader, fileHeader, (group, file) => {
      const bytes = Buffer.alloc(headerBytes, 0xff)
      const groupChecksum = writeGroupHeader(group, bytes)
      assert.deepEqual(readGroupHeader(bytes, 0), { ...group, checksum: groupChecksum })
      assert.equal(readFileHeader(bytes), null)

      const fileChecksum = writeFileHeader(file, bytes)
      assert.deepEqual(readFileHeader(bytes), { ...file, checksum: fileChecksum })
      assert.equal(readGroupHeader(bytes, 0), null)
    }),
    { numRuns: 100 },
  )
})

test('a header with any flipped bit, or cut short, is not accepted as a header', () => {
  const bytes = Buffer.alloc(headerBytes)
  const [header] = fc.sample(groupHeader, { numRuns: 1, seed: 7 })
  assert(header)
  writeGroupHeader(header, bytes)

  for (let bit = 0; bit < headerBytes * 8; bit++) {
    const damaged = Buffer.from(bytes)
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.equal(readGroupHeader(damaged, 0), null, `bit ${bit}`)
  }
  assert.equal(readGroupHeader(bytes.subarray(0, headerBytes - 1), 0), null)
  assert.equal(headerBytes % groupAlignment, 0)
})
